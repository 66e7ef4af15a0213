/**
 * Property P1 by the command: the same bytes out, whatever the number of workers; and what happens
 * when a worker fails, when the run is interrupted, and when it can not be shared out.
 * @module
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { LinkType } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { start, wiretrial } from '../support/command.ts';
import { CROWD_CLUSTER, crowd } from '../support/crowd.ts';
import { icmpError, udp } from '../support/packets.ts';

t.setTimeout(900_000);
const cwd = mkdtempSync(join(tmpdir(), 'wiretrial-workers-'));
t.teardown(() => rmSync(cwd, { recursive: true }));

/** A little more than is judged in one process. */
const PACKETS = 10_400;

writeFileSync(join(cwd, 'crowd.yaml'), CROWD_CLUSTER);
const writer = await PcapWriter.create(openSink(join(cwd, 'crowd.pcap')), {
  linkType: LinkType.ethernet,
});
const packets = crowd({ packets: PACKETS, seed: 21, payload: 200 });
for (const [i, { timeNs, data, wireLength }] of packets.entries()) {
  await writer.write({ timeNs, data, wireLength });
  if (i % 200 > 0) continue;
  // Errors about what nobody captured, on many ways: each is judged by one worker.
  const [from, to] = [
    `10.240.0.${10 + ((i / 200) % 6)}`,
    `10.240.1.${10 + (Math.floor(i / 1200) % 6)}`,
  ];
  const about = udp()
    .from(from, 1000 + i)
    .to(to, 53)
    .payload(3);
  const error = icmpError(about.packet()).from(to).to(from).frame();
  await writer.write({ timeNs, data: error, wireLength: error.length });
}
await writer.close();

const CROWD = ['-f', 'crowd.yaml', '-r', 'crowd.pcap'];
const OUTPUTS = ['rows.jsonl', 'rows.csv', 'all.json', 'all.yaml', 'table.txt', 'verdicts.pcapng'];

async function replayed(workers: number, ...more: readonly string[]) {
  const name = (file: string) => `${workers}-${file}`;
  const outputs = [
    ...['-o', `jsonl=${name('rows.jsonl')}`, '-o', `csv=${name('rows.csv')}`],
    ...['-o', `json=${name('all.json')}`, '-o', `yaml=${name('all.yaml')}`],
    ...['-o', `wide=${name('table.txt')}`, '-w', name('verdicts.pcapng')],
  ];
  const args = ['replay', ...CROWD, '--workers', String(workers), ...outputs, ...more];
  const ran = await wiretrial(args, { cwd });
  return { ran, read: (file: string) => readFileSync(join(cwd, name(file))) };
}

t.test('one, two and three workers write the same bytes', async (t) => {
  const stack = ['--stack', 'azure-transparent+calico'];
  const one = await replayed(1, ...stack);
  t.match(one.ran, { status: 0, stderr: '' });
  for (const workers of [2, 3]) {
    const several = await replayed(workers, ...stack);
    t.equal(several.ran.status, 0, several.ran.stderr);
    const note = new RegExp(
      `^note: ${workers} workers; \\d+ of \\d+ connections were judged in order`,
    );
    t.match(several.ran.stderr, note);
    for (const file of OUTPUTS) {
      t.ok(several.read(file).equals(one.read(file)), `${file} by ${workers}`);
      t.ok(one.read(file).length > 1000, file);
    }
  }
});

t.test('rows of connections, narrowed, and gates do not depend on workers', async (t) => {
  const args = ['replay', ...CROWD, '--stack', 'azure-bridge+npm', '-o', 'jsonl', '--rows'];
  const more = ['connections', '-n', 'shop', '-l', 'tier=api', '--fail-on', 'denied', '-q'];
  const [one, two] = await Promise.all(
    ['1', '2'].map((n) => wiretrial([...args, ...more, '--workers', n], { cwd })),
  );
  t.equal(one?.status, 1);
  t.ok((one?.stdout.length ?? 0) > 1000);
  t.strictSame(two, one);
});

t.test(
  'of a beginning of the capture, files are said and digested as one worker does',
  async (t) => {
    const args = ['replay', ...CROWD, '--stack', 'azure-transparent+none', '-o', 'json', '-q'];
    const [one, two] = await Promise.all(
      ['1', '2'].map((n) => wiretrial([...args, '-c', '10050', '--workers', n], { cwd })),
    );
    const { inputs, counts } = JSON.parse(one?.stdout ?? '{}');
    t.equal(counts.packets, 10_050);
    const sha256 = createHash('sha256').update(readFileSync(join(cwd, 'crowd.pcap')));
    t.equal(inputs[0].sha256, sha256.digest('hex'));
    t.strictSame(two, one);
  },
);

t.test('stacks compare the same by several workers', async (t) => {
  const stacks = ['--stack', 'azure-bridge+npm', '--stack', 'azure-transparent+calico'];
  const compared = async (workers: number) => {
    const table = ['-o', `table=compare-${workers}.txt`, '--workers', String(workers)];
    const ran = await wiretrial(['compare', ...CROWD, ...stacks, '-o', 'json', '-q', ...table], {
      cwd,
    });
    return { ran, table: readFileSync(join(cwd, `compare-${workers}.txt`), 'utf8') };
  };
  const one = await compared(1);
  t.equal(one.ran.status, 0);
  t.strictSame(await compared(2), one);
});

t.test('what can not be shared out is judged by one, who says so', async (t) => {
  const args = ['replay', ...CROWD, '--stack', 'azure-transparent+none', '-o', 'json'];
  const at = ['--at', 'node/node-a', '--workers', '2'];
  const ran = await wiretrial([...args, ...at], { cwd });
  t.equal(ran.status, 0);
  t.match(
    ran.stderr,
    /^note: one worker judges everything: --at sends all packets in at one place/,
  );
});

t.test('an interrupted run says so, and what it has is one beginning of the capture', async (t) => {
  const long = crowd({ packets: 80_000, seed: 22, payload: 200 });
  const capture = await PcapWriter.create(openSink(join(cwd, 'long.pcap')), {
    linkType: LinkType.ethernet,
  });
  for (const { timeNs, data, wireLength } of long)
    await capture.write({ timeNs, data, wireLength });
  await capture.close();
  const args = ['replay', '-f', 'crowd.yaml', '-r', 'long.pcap', '--stack', 'azure-bridge+npm'];
  const child = start([...args, '-o', 'json', '--workers', '2', '-o', 'jsonl=cut.jsonl'], cwd);
  const out: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  // The first rows say that the workers are at work.
  const watch = setInterval(() => {
    if (sizeOf('cut.jsonl') === 0) return;
    clearInterval(watch);
    child.kill('SIGINT');
  }, 10);
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  t.equal(status, 130);
  const { counts, incomplete } = JSON.parse(Buffer.concat(out).toString());
  const rows = readFileSync(join(cwd, 'cut.jsonl'), 'utf8').trimEnd().split('\n');
  const frames = rows.map((row) => JSON.parse(row).frame).filter((frame) => frame !== null);
  t.strictSame(
    frames,
    Array.from({ length: counts.packets }, (_, i) => i + 1),
  );
  // A signal behind the last batch finds everything judged.
  t.ok(incomplete || counts.packets === long.length, `${counts.packets} of ${long.length}`);
});

function sizeOf(file: string): number {
  try {
    return readFileSync(join(cwd, file)).length;
  } catch {
    return 0;
  }
}
