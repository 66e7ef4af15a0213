/**
 * Where things come from and go to: standard input, pipes, folders, gzip, several files, time
 * bounds, filters, mapping; readers that go away, interruptions, gates, colour, help.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import {
  CASE,
  COMMAND,
  caseFolder,
  forEachRow,
  hasTool,
  NPM,
  start,
  wiretrial,
  writeCapture,
} from '../support/command.ts';
import { tcp, udp } from '../support/packets.ts';

// A process each takes a third of a second, and this machine may have others to run.
t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;
const CLUSTER = CASE.slice(0, 4);

interface Replayed {
  readonly counts: { readonly packets: number; readonly [name: string]: unknown };
  readonly inputs: readonly { readonly path: string; readonly packets: number }[];
  readonly incomplete: boolean;
  readonly connections: readonly {
    readonly from: string | null;
    readonly to: string | null;
    readonly opening: string;
  }[];
}

async function replay(...args: readonly string[]): Promise<Replayed> {
  const { status, stdout, stderr } = await wiretrial(['replay', ...NPM, ...args, '-o', 'json'], {
    cwd,
  });
  t.equal(status, 0, `${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as Replayed;
}

t.test('a capture comes from a file, gzip, a folder, standard input or a pipe', async (t) => {
  const bytes = readFileSync(join(cwd, 'case.pcap'));
  writeFileSync(join(cwd, 'case.pcap.gz'), gzipSync(bytes));
  mkdirSync(join(cwd, 'ring'));
  copyFileSync(join(cwd, 'case.pcap'), join(cwd, 'ring', 'one.pcap'));
  writeFileSync(join(cwd, 'ring', 'notes.txt'), 'not a capture');
  mkdirSync(join(cwd, 'tmp'));
  const env = { TMPDIR: join(cwd, 'tmp') };
  const plain = await replay(...CASE);
  for (const path of ['case.pcap.gz', 'ring', 'ring/one.pcap']) {
    const other = await replay(...CLUSTER, '-r', path);
    t.strictSame(other.counts, plain.counts, path);
    t.equal(other.inputs[0]?.path, path === 'ring' ? 'ring/one.pcap' : path);
  }
  for (const input of [bytes, gzipSync(bytes)]) {
    const args = ['replay', ...CLUSTER, ...NPM, '-r', '-', '-o', 'json'];
    const piped = await wiretrial(args, { cwd, input, env });
    t.equal(piped.status, 0, piped.stderr);
    const result = JSON.parse(piped.stdout) as Replayed;
    t.strictSame(result.counts, plain.counts, 'standard input is read twice all the same');
    t.match(result.inputs, [{ path: '-', packets: 12 }]);
  }
  const shell = spawnSync(
    'bash',
    [
      '-c',
      `"$0" "$1" replay ${CLUSTER.join(' ')} ${NPM.join(' ')} -r <(cat case.pcap) -o json`,
      process.execPath,
      COMMAND,
    ],
    { cwd, encoding: 'utf8', env: { ...process.env, ...env } },
  );
  t.strictSame((JSON.parse(shell.stdout) as Replayed).counts, plain.counts, 'a pipe of the shell');
  t.strictSame(readdirSync(env.TMPDIR), [], 'what was kept is gone');
  const manifest = readFileSync(join(cwd, 'cluster.yaml'));
  const args = [
    'replay',
    '-f',
    '-',
    '-f',
    'policies.yaml',
    '-r',
    'case.pcap',
    ...NPM,
    '-o',
    'json',
  ];
  const read = await wiretrial(args, { cwd, input: manifest });
  t.strictSame((JSON.parse(read.stdout) as Replayed).counts, plain.counts, '-f -');
});

t.test('what is written into a folder of captures is not read with them', async (t) => {
  mkdirSync(join(cwd, 'both'));
  writeFileSync(join(cwd, 'both', 'case.pcap'), readFileSync(join(cwd, 'case.pcap')));
  const args = ['replay', ...CLUSTER, ...NPM, '-r', 'both', '-w', 'both/verdicts.pcapng'];
  const first = await wiretrial([...args, '-o', 'json'], { cwd });
  t.equal(first.status, 0, first.stderr);
  t.match(JSON.parse(first.stdout), { inputs: [{ path: 'both/case.pcap' }] });
  const again = await wiretrial(args, { cwd });
  t.equal(again.status, 2, 'the second time it is one of them');
  t.match(again.stderr, /-w: would write over a file which is read/);
});

t.test('a run that judges nothing says so', async (t) => {
  for (const verb of [
    ['replay', ...NPM],
    ['compare', ...NPM, '--stack', 'azure-bridge+none'],
  ]) {
    const ran = await wiretrial([...verb, ...CASE, 'tcp port 1'], { cwd });
    t.equal(ran.status, 0);
    t.match(ran.stderr, /warning: nothing was judged: .* none of 12 packets/);
  }
  const strange = ['replay', ...CLUSTER, ...NPM, '-r', 'strange.pcap', '--fail-on', 'denied'];
  const ours = readFileSync(join(cwd, 'case.pcap'));
  ours.writeUInt32LE(147, 20);
  writeFileSync(join(cwd, 'strange.pcap'), ours);
  const unknown = await wiretrial(strange, { cwd });
  t.match(unknown.stderr, /warning: nothing was judged: 12 packets are unknown: .*link type/);
  const slip = await wiretrial(['replay', ...CASE, ...NPM, '--map', '1.2.3.4=node/node-a'], {
    cwd,
  });
  t.match(slip.stderr, /warning: --map: no packet has the address 1\.2\.3\.4/);
});

t.test('several files are one capture by time; clocks can be set right', async (t) => {
  const half = (a: number) => 1_700_000_000_000_000_000n + BigInt(a) * 1_000_000_000n;
  const there = tcp().from('10.240.0.5', 50_000).to('10.240.0.36', 8080);
  const back = tcp().from('10.240.0.36', 8080).to('10.240.0.5', 50_000);
  await writeCapture(join(cwd, 'there.pcap'), [there.seq(1).syn()], half(0));
  await writeCapture(join(cwd, 'back.pcap'), [back.seq(7).syn().ack(2)], half(-5));
  const files = ['-r', 'back.pcap', '-r', 'there.pcap'];
  const asIs = await replay(...CLUSTER, ...files);
  t.match(asIs.connections, [{ opening: 'assumed' }], 'the answer seems to come first');
  const right = await replay(...CLUSTER, ...files, '--clock-offset', 'back.pcap=+5.1s');
  t.match(right.connections, [{ opening: 'seen', from: 'pod/shop/web' }]);
  t.match(right.inputs, [{ path: 'back.pcap' }, { path: 'there.pcap' }]);
});

t.test('filter words, time bounds and a count choose packets', async (t) => {
  const rows: readonly (readonly [readonly string[], number])[] = [
    [['tcp', 'port', '5432'], 4],
    [['tcp port 5432 or icmp'], 5],
    [['not', '(', 'tcp', 'or', 'udp', ')'], 1],
    [['host', '203.0.113.9'], 2],
    [['-c', '3'], 3],
    [['-c', '2', 'udp'], 2],
    [['--since', '2023-11-14T22:13:20.008Z'], 4],
    [['--until', '2023-11-14T22:13:20.003Z'], 4],
    [['--since', '3ms'], 4],
    [['--since', '10ms', '--until', '3ms'], 8],
  ];
  await forEachRow(rows, async ([args, packets]) => {
    t.equal((await replay(...CASE, ...args)).counts.packets, packets, args.join(' '));
  });
});

t.test('a capture from elsewhere is mapped onto the cluster', async (t) => {
  const there = udp().from('192.168.7.1', 5000).to('192.168.7.2', 8080).payload('x');
  await writeCapture(join(cwd, 'else.pcap'), [there]);
  const args = [...CLUSTER, '-r', 'else.pcap'];
  t.match((await replay(...args)).connections, [{ from: null, to: null }]);
  const both = ['--map', '192.168.7.1=pod/shop/web', '--map', '192.168.7.2=10.240.0.36'];
  const mapped = await replay(...args, ...both);
  t.match(mapped.connections, [{ from: 'pod/shop/web', to: 'pod/shop/api' }]);
  const auto = await replay(...args, '--map', '192.168.7.2=pod/shop/api', '--map', 'auto');
  t.match(auto.connections, [{ to: 'pod/shop/api' }]);
  const all = await replay(...args, '--map', 'auto');
  const ends = all.connections.flatMap((c) => [c.from, c.to]);
  t.ok(
    ends.some((end) => end?.startsWith('pod/')),
    `somebody of the cluster: ${ends.join()}`,
  );
});

t.test('gates: what makes a run that worked exit 1', async (t) => {
  const rows: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['--fail-on', 'broken'], 0, /^$/],
    [['--fail-on', 'denied,broken'], 1, /gate failed: --fail-on denied: 2/],
    [['--fail-on', 'contradicted'], 1, /gate failed: --fail-on contradicted: 1/],
    [['--fail-on', 'unknown', '--max-drops', '1'], 1, /unknown: 1\n.*--max-drops 1: 2 packets/],
    [['--max-drops', '2'], 0, /^$/],
  ];
  await forEachRow(rows, async ([args, status, says]) => {
    const ran = await wiretrial(['replay', ...CASE, ...NPM, ...args], { cwd });
    t.equal(ran.status, status, args.join(' '));
    t.match(ran.stderr, says, args.join(' '));
    t.match(ran.stdout, /^REPLAY/, 'the result is printed all the same');
  });
});

t.test('standard error: no bar, no colour and no word of workers off a terminal', async (t) => {
  for (const env of [{ NO_COLOR: '1' }, { NO_COLOR: '' }]) {
    const { stderr, stdout } = await wiretrial(['replay', ...CASE, ...NPM], { cwd, env });
    t.equal(stderr, '', 'nothing to say');
    t.notOk(stdout.includes('\u001b'));
    const wrong = await wiretrial(['replay'], { cwd, env });
    t.match(wrong.stderr, /^error: 2 problems:\n/);
  }
  // A few packets are judged in one process: that there is nothing to share out is not worth a word.
  const workers = await wiretrial(['replay', ...CASE, ...NPM, '--workers', '3'], { cwd });
  t.equal(workers.stderr, '');
});

t.test('what has no effect is not passed over in silence', async (t) => {
  const silent = await wiretrial(['replay', ...CASE], { cwd });
  t.match(silent.stderr, /warning: 3 NetworkPolicies have no effect: .*--stack/);
  const other = 'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: c}\n';
  writeFileSync(join(cwd, 'cilium.yaml'), other);
  const args = ['replay', ...CASE, '-f', 'cilium.yaml', ...NPM];
  const refused = await wiretrial(args, { cwd });
  t.equal(refused.status, 2);
  t.match(refused.stderr, /cilium\.yaml:.*CiliumNetworkPolicy/);
  const skipped = await wiretrial([...args, '--ignore-unsupported'], { cwd });
  t.equal(skipped.status, 0);
  t.match(skipped.stderr, /warning: 1 cilium\.io\/v2 CiliumNetworkPolicy skipped/);
});

t.test(
  'on a terminal: a bar that is gone in the end, colour unless NO_COLOR',
  {
    skip: hasTool('script') ? false : 'needs script (util-linux)',
  },
  async (t) => {
    const tty = (args: readonly string[], env: Readonly<Record<string, string>>) =>
      spawnSync('script', ['-qec', [process.execPath, COMMAND, ...args].join(' '), '/dev/null'], {
        cwd,
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '', ...env },
      }).stdout;
    const red = '\u001b[31m';
    t.ok(tty(['replay'], {}).includes(red), 'an error is red');
    t.notOk(tty(['replay'], { NO_COLOR: '1' }).includes(red), 'unless NO_COLOR');
    const bar = tty(['replay', ...CASE, ...NPM], {});
    t.match(bar, /looking .*% .*replaying .*%/s);
    t.ok(bar.includes('\u001b[2KREPLAY  case.pcap'), 'the line is cleared before the result');
    t.notMatch(tty(['replay', ...CASE, ...NPM, '-q'], {}), /%/);
  },
);

t.test('a reader that goes away ends the run quietly', async (t) => {
  await bigCapture();
  const run = (words: string) =>
    spawnSync(
      'bash',
      ['-c', `set -o pipefail; "$0" "$1" ${words} | head -n 1`, process.execPath, COMMAND],
      { cwd, encoding: 'utf8' },
    );
  for (const words of [
    `replay ${CLUSTER.join(' ')} -r big.pcap ${NPM.join(' ')} -o jsonl`,
    `replay ${CLUSTER.join(' ')} -r big.pcap ${NPM.join(' ')} -w -`,
    'replay --help',
    `plan -f cluster.yaml --node node-a ${NPM.join(' ')}`,
  ]) {
    const { status, stderr, stdout } = run(words);
    t.equal(stderr, '', words);
    t.equal(status, 0, words);
    t.not(stdout, '', words);
  }
  const full = spawnSync(
    'bash',
    ['-c', `"$0" "$1" replay ${CASE.join(' ')} > /dev/full`, process.execPath, COMMAND],
    { cwd, encoding: 'utf8' },
  );
  t.equal(full.status, 4, 'a full disk is no closed pipe');
  t.match(full.stderr, /ENOSPC.*standard output/);
});

/** More rows than a pipe holds. */
async function bigCapture(): Promise<void> {
  const packets = Array.from({ length: 4000 }, (_, i) =>
    udp()
      .from('10.240.0.5', 1024 + (i % 60_000))
      .to('10.240.0.36', 8080)
      .id(i)
      .payload(String(i)),
  );
  await writeCapture(join(cwd, 'big.pcap'), packets);
}

t.test('an interruption prints what there is so far', async (t) => {
  await bigCapture();
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    // The rows fill the pipe and the run waits for us, so it can not be over before the signal.
    const args = [...CLUSTER, '-r', 'big.pcap', ...NPM, '-o', 'jsonl', '-o', 'json=so-far.json'];
    const child = start(['replay', ...args], cwd);
    t.teardown(() => child.kill('SIGKILL'));
    await once(child.stdout!, 'readable');
    child.kill(signal);
    let rows = 0;
    child.stdout!.on('data', (chunk: Buffer) => {
      rows += chunk.toString().split('\n').length - 1;
    });
    const [code] = (await once(child, 'close')) as [number];
    t.equal(code, status, signal);
    const result = JSON.parse(readFileSync(join(cwd, 'so-far.json'), 'utf8')) as Replayed;
    t.equal(result.incomplete, true);
    t.equal(result.counts.packets, rows, 'the summary speaks of the rows that were written');
    t.ok(rows > 0 && rows < 4000, `${rows} rows`);
  }
});

t.test('the schema of the wiring document is there for editors', async (t) => {
  const { status, stdout } = await wiretrial(['doctor', '--schema'], { cwd });
  t.equal(status, 0);
  t.match(JSON.parse(stdout), { $schema: /2020-12/, properties: { networkPlugin: {} } });
});

t.test('help and version, as everywhere', async (t) => {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  for (const flag of ['--version', '-V']) {
    t.strictSame(await wiretrial([flag]), {
      status: 0,
      stdout: `${manifest.version}\n`,
      stderr: '',
    });
  }
  const verbs = ['replay', 'compare', 'probe', 'explain', 'plan', 'doctor'];
  await forEachRow(verbs, async (verb) => {
    const asked = await wiretrial(['help', verb]);
    t.equal(asked.status, 0);
    t.match(asked.stdout, new RegExp(`^Usage: wiretrial ${verb} `));
    t.notMatch(asked.stdout, /default: (\[\]|false)/, `${verb}: no defaults that say nothing`);
    t.strictSame(await wiretrial([verb, '--help']), asked, `${verb} --help`);
  });
  const bare = await wiretrial([]);
  t.equal(bare.status, 2);
  t.match(bare.stderr, /^Usage: wiretrial/);
  t.match((await wiretrial(['help'])).stdout, /Exit codes:/);
});
