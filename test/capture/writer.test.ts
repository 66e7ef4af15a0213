import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import type { PacketAnnotations } from '../../src/capture/record.ts';
import { ByteSink, openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { type PacketOptions, PcapngWriter } from '../../src/capture/write/pcapng-writer.ts';
import { readAll, temporaryFolder } from '../support/captures.ts';

const folder = temporaryFolder();
t.teardown(folder.done);
let made = 0;

function path(suffix: string): string {
  return join(folder.path, `${++made}${suffix}`);
}

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((s) => !s.endsWith('\0'));
const annotations: fc.Arbitrary<PacketAnnotations> = fc.record(
  {
    direction: fc.constantFrom('inbound' as const, 'outbound' as const),
    packetId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    dropCount: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    verdicts: fc.array(
      fc.record({
        type: fc.constantFrom('hardware' as const, 'ebpfTc' as const, 'ebpfXdp' as const),
        value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  },
  { requiredKeys: [] },
);
const packet: fc.Arbitrary<PacketOptions> = fc
  .record(
    {
      interface: fc.nat({ max: 1 }),
      timeNs: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      data: fc.uint8Array({ maxLength: 70 }),
      cut: fc.nat({ max: 1000 }),
      comments: fc.array(text, { minLength: 1, maxLength: 3 }),
      annotations: annotations.filter((a) => Object.keys(a).length > 0),
    },
    { requiredKeys: ['interface', 'timeNs', 'data', 'cut'] },
  )
  .map(({ cut, ...rest }) => ({ ...rest, wireLength: rest.data.length + cut }));

async function writePcapng(file: string, packets: readonly PacketOptions[]): Promise<void> {
  const writer = await PcapngWriter.create(openSink(file));
  await writer.addInterface({ linkType: 1, name: 'eth0', snapLength: 1500 });
  await writer.addInterface({ linkType: 1, name: 'cali1', description: 'pod/shop/web' });
  for (const one of packets) await writer.write(one);
  await writer.close();
}

t.test('what was written to pcapng is read back, compressed or not', async (t) => {
  const law = fc.asyncProperty(
    fc.array(packet, { maxLength: 8 }),
    fc.constantFrom('.pcapng', '.pcapng.gz'),
    async (packets, suffix) => {
      const file = path(suffix);
      await writePcapng(file, packets);
      const { records, summaries } = await readAll([file]);
      const back = records.map(({ frame: _frame, iface, ...rest }) => ({
        interface: iface.name === 'eth0' ? 0 : 1,
        ...rest,
      }));
      if (summaries[0]?.truncated !== null) throw new Error('truncated');
      same(back, packets);
    },
  );
  await fc.assert(law, { seed: 21, numRuns: 150 });
  t.pass('150 files');
});

t.test('what was written to pcap is read back at its resolution', async (t) => {
  const law = fc.asyncProperty(
    fc.array(packet, { maxLength: 8 }),
    fc.constantFrom('nanoseconds' as const, 'microseconds' as const),
    async (packets, resolution) => {
      const file = path('.pcap');
      const writer = await PcapWriter.create(openSink(file), { linkType: 101, resolution });
      const rows = packets.map(({ timeNs, data, wireLength }) => {
        const within = timeNs % (2n ** 32n * 10n ** 9n);
        const time = resolution === 'nanoseconds' ? within : within - (within % 1000n);
        return { timeNs: time, data, wireLength };
      });
      for (const row of rows) await writer.write(row);
      await writer.close();
      const { records } = await readAll([file]);
      same(
        records.map(({ timeNs, data, wireLength }) => ({ timeNs, data, wireLength })),
        rows,
      );
    },
  );
  await fc.assert(law, { seed: 22, numRuns: 100 });
  t.pass('100 files');
});

function same(found: unknown, wanted: unknown): void {
  const print = (value: unknown) =>
    JSON.stringify(value, (key, v) => {
      if (typeof v === 'bigint') return `${v}n`;
      if (v instanceof Uint8Array) return Buffer.from(v).toString('hex');
      const plain = v !== null && typeof v === 'object' && !Array.isArray(v) && key !== 'data';
      return plain ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v;
    });
  if (print(found) !== print(wanted)) throw new Error(`${print(found)}\n${print(wanted)}`);
}

t.test('a slow target makes the writer wait, and still gets every byte', async (t) => {
  const target = new PassThrough({ highWaterMark: 1024 });
  const writer = await PcapWriter.create(new ByteSink('slow', target), { linkType: 1 });
  let received = 0;
  let mostBuffered = 0;
  target.on('data', (chunk: Buffer) => {
    received += chunk.length;
    target.pause();
    setImmediate(() => target.resume());
  });
  const data = new Uint8Array(30_000);
  for (let i = 0; i < 500; i++) {
    await writer.write({ timeNs: BigInt(i), data, wireLength: data.length });
    mostBuffered = Math.max(mostBuffered, target.writableLength);
  }
  await writer.close();
  t.equal(received, 24 + 500 * 30_016);
  t.ok(mostBuffered < 300_000, `${mostBuffered} bytes waited at most`);
});

t.test('a target that can not be written is the environment’s fault', async (t) => {
  const writer = PcapWriter.create(openSink(join(folder.path, 'absent', 'x.pcap')), {
    linkType: 1,
  });
  await t.rejects(
    writer.then((w) => w.close()),
    { fault: 'environment', message: /can not be written: ENOENT/ },
  );
});

function missing(tool: string): string | false {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return `needs ${tool}`;
  }
}

const PING = Buffer.from(
  `020000000002020000000001080045000054000040004001265c0a0000010a0000020800${'00'.repeat(62)}`,
  'hex',
);

/** A file with everything the writer has, as tshark then shows it. */
async function showcase(): Promise<string> {
  const file = path('.pcapng');
  const section = { hardware: 'emulated', os: 'Linux', application: 'wiretrial 0.1' };
  const writer = await PcapngWriter.create(openSink(file), { ...section, comments: ['the run'] });
  const web = await writer.addInterface({
    linkType: 1,
    name: 'azvweb',
    description: 'pod/shop/web',
    os: 'Linux 5.15',
    filter: 'tcp port 80',
  });
  const db = await writer.addInterface({ linkType: 1, name: 'azvdb', description: 'pod/shop/db' });
  await writer.writeNames([
    { address: '10.0.0.1', name: 'web.shop.pod' },
    { address: '10.0.0.2', name: 'db.shop.pod' },
    { address: '2001:db8::1', name: 'six.shop.pod' },
  ]);
  const common = { data: PING, wireLength: PING.length };
  await writer.write({
    ...{ ...common, interface: web, timeNs: 1_700_000_000_123_456_789n },
    comments: ['dropped by shop/deny-all', 'policies.yaml:14'],
    annotations: {
      direction: 'inbound',
      packetId: 7n,
      dropCount: 3n,
      verdicts: [{ type: 'ebpfTc', value: 2n }],
    },
  });
  await writer.write({
    ...{ ...common, interface: db, timeNs: 1_700_000_000_123_456_790n },
    annotations: { direction: 'outbound', verdicts: [{ type: 'ebpfTc', value: 0n }] },
  });
  await writer.writeStatistics(web, {
    timeNs: 1_700_000_001_000_000_000n,
    received: 2n,
    dropped: 1n,
  });
  await writer.close();
  return file;
}

t.test('stock tshark shows all that was written', { skip: missing('tshark') }, async (t) => {
  const file = await showcase();
  const run = (...args: string[]) =>
    execFileSync('tshark', ['-r', file, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim();
  const fields = ['frame.interface_name', 'frame.interface_description', 'frame.comment'];
  fields.push('frame.verdict.ebpf_tc', 'frame.packet_id', 'frame.drop_count');
  fields.push('frame.packet_flags_direction', 'frame.time_epoch');
  const rows = run('-T', 'fields', '-E', 'separator=|', ...fields.flatMap((f) => ['-e', f]));
  const comments = 'dropped by shop/deny-all,policies.yaml:14';
  t.same(rows.split('\n'), [
    `azvweb|pod/shop/web|${comments}|2|7|3|0x00000001|1700000000.123456789`,
    'azvdb|pod/shop/db||0|||0x00000002|1700000000.123456790',
  ]);
  const matching = (filter: string) => run('-Y', filter, '-T', 'fields', '-e', 'frame.number');
  t.equal(matching('frame.verdict.ebpf_tc == 2'), '1');
  t.equal(matching('frame.comment contains "deny-all"'), '1');
  t.equal(matching('frame.interface_name == "azvdb"'), '2');
  t.match(run('-N', 'n'), /web\.shop\.pod → db\.shop\.pod/);
  t.match(run('-q', '-z', 'hosts'), /2001:db8::1\s+six\.shop\.pod/);
  t.match(run('-V', '-c', '1'), /TC_ACT_SHOT \(2\)/);
});

t.test('capinfos lists section and interfaces', { skip: missing('capinfos') }, async (t) => {
  const out = execFileSync('capinfos', [await showcase()], { encoding: 'utf8', stdio: 'pipe' });
  for (const line of [
    /Capture hardware:\s+emulated/,
    /Capture oper-sys:\s+Linux/,
    /Capture application:\s+wiretrial 0\.1/,
    /Capture comment:\s+the run/,
    /Name = azvweb/,
    /Operating system = Linux 5\.15/,
    /Filter string = tcp port 80/,
    /Time precision = nanoseconds \(9\)/,
    /Number of stat entries = 1/,
    /Number of packets:\s+2/,
  ]) {
    t.match(out, line);
  }
});

t.test('tcpdump reads what was written', { skip: missing('tcpdump') }, async (t) => {
  const file = await showcase();
  const args = ['-r', file, '--count', 'icmp'];
  t.match(execFileSync('tcpdump', args, { encoding: 'utf8', stdio: 'pipe' }), /2 packets/);
  t.equal(readFileSync(file).length % 4, 0);
});
