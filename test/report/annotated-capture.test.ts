/**
 * `-w`: what stock tools make of the annotated capture, and what our own reader makes of it.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { readAll } from '../support/captures.ts';
import { CASE, COMMAND, caseFolder, FATES, hasTool, NPM, wiretrial } from '../support/command.ts';

// A process each takes a third of a second, and this machine may have others to run.
t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;
const written = join(cwd, 'out.pcapng');
const ran = await wiretrial(['replay', ...CASE, ...NPM, '-w', written, '-o', 'jsonl=rows'], {
  cwd,
});
const TSHARK = { skip: hasTool('tshark') ? false : 'needs tshark' };

/** tc verdicts: TC_ACT_OK 0 and TC_ACT_SHOT 2; none where no node judged. */
const VERDICTS: Readonly<Record<string, string>> = { delivered: '0', exited: '0', dropped: '2' };

function tshark(path: string, ...fields: readonly string[]): readonly (readonly string[])[] {
  const args = [
    '-r',
    path,
    '-T',
    'fields',
    '-E',
    'separator=/t',
    ...fields.flatMap((f) => ['-e', f]),
  ];
  const { status, stdout, stderr } = spawnSync('tshark', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
}

t.test('every packet once, in order, with its bytes, its time and its fate', async (t) => {
  t.equal(ran.status, 0, ran.stderr);
  const before = await readAll([join(cwd, 'case.pcap')]);
  const after = await readAll([written]);
  t.equal(after.records.length, FATES.length);
  for (const [i, record] of after.records.entries()) {
    const { data, timeNs, wireLength } = before.records[i]!;
    t.same(
      { data: record.data, timeNs: record.timeNs, wireLength: record.wireLength },
      {
        ...{ data, timeNs, wireLength },
      },
    );
    const [comment = ''] = record.comments ?? [];
    t.ok(comment.startsWith(String(FATES[i]).toUpperCase()), `frame ${i + 1}: ${comment}`);
    t.equal(record.annotations?.packetId, BigInt(i + 1));
  }
  t.same(
    after.records[4]?.comments,
    [
      'DROPPED policyDenied: a rule that a NetworkPolicy caused dropped it | ' +
        'node-a forward filter/AZURE-NPM-INGRESS rule 3 | -A AZURE-NPM-INGRESS -m mark ' +
        '--mark 0x400/0x400 -m comment --comment "DROP-ON-INGRESS-DROP-MARK-0x400/0x400" -j DROP | ' +
        'shop/NetworkPolicy/db-from-api (policies.yaml:10)',
    ],
    'outcome, reason, rule, policy, file and line',
  );
  const names = new Map(after.names.map((n) => [n.address, n.name]));
  t.equal(names.get('10.240.0.6'), 'db.shop.pod');
  t.equal(names.get('10.240.0.4'), 'node-a.node');
});

t.test('tshark shows comment, verdict, interface and packet id', TSHARK, async (t) => {
  const rows = tshark(
    written,
    ...['frame.number', 'frame.comment', 'frame.verdict.ebpf_tc', 'frame.interface_name'],
    ...['frame.packet_id', 'ip.dst_host'],
  );
  t.equal(rows.length, FATES.length);
  for (const [i, [number, comment = '', verdict = '', iface = '', id]] of rows.entries()) {
    t.equal(number, String(i + 1));
    t.equal(id, String(i + 1));
    t.ok(comment.startsWith(String(FATES[i]).toUpperCase()), comment);
    t.equal(verdict, VERDICTS[String(FATES[i])] ?? '', `frame ${i + 1}: verdict`);
    const wasSent = ['delivered', 'exited', 'dropped'].includes(String(FATES[i]));
    t.match(iface, wasSent ? /^(node-[ab]|shop\/\w+|fabric):\w+$/ : /^not sent$/);
  }
  t.match(rows[4]?.[1], /filter\/AZURE-NPM-INGRESS rule 3.*db-from-api \(policies\.yaml:10\)/);
  t.match(rows[4]?.[3], /^node-a:azv/, 'dropped where the policy stands');
  t.equal(rows[0]?.[3], 'shop/api:eth0', 'delivered where its pod is');
  const named = spawnSync(
    'tshark',
    [
      '-r',
      written,
      '-N',
      'n',
      '-o',
      'nameres.network_name:TRUE',
      '-T',
      'fields',
      '-e',
      'ip.dst_host',
    ],
    { encoding: 'utf8' },
  );
  t.equal(named.stdout.split('\n')[4], 'db.shop.pod', 'names resolve');
});

t.test(
  'capinfos counts packets and interfaces',
  {
    skip: hasTool('capinfos') ? false : 'needs capinfos',
  },
  async (t) => {
    const { stdout } = spawnSync('capinfos', ['-M', written], { encoding: 'utf8' });
    t.match(stdout, /File type: .*pcapng/);
    t.match(stdout, new RegExp(`Number of packets: +${FATES.length}\\n`));
    const names = [...stdout.matchAll(/^ +Name = (.+)$/gm)].map((m) => m[1]);
    t.equal(new Set(names).size, names.length, `one interface a device: ${names.join(', ')}`);
    t.match(stdout, new RegExp(`Number of interfaces in file: ${names.length}\\n`));
    t.match(stdout, /Description = device azv\w+ of node-a, to shop\/\w+/);
  },
);

t.test('tcpdump reads it', { skip: hasTool('tcpdump') ? false : 'needs tcpdump' }, async (t) => {
  const { status, stdout } = spawnSync('tcpdump', ['-nr', written], { encoding: 'utf8' });
  t.equal(status, 0);
  t.equal(stdout.trimEnd().split('\n').length, FATES.length);
});

t.test('compressed, and on standard output', async (t) => {
  const gz = join(cwd, 'out.pcapng.gz');
  await wiretrial(['replay', ...CASE, ...NPM, '-q', '-w', gz], { cwd });
  const plain = readFileSync(written);
  t.ok(gunzipSync(readFileSync(gz)).equals(plain), 'the same capture, compressed');
  const args = [COMMAND, 'replay', ...CASE, ...NPM, '-w', '-'];
  const piped = spawnSync(process.execPath, args, { cwd });
  t.equal(piped.status, 0);
  t.ok(piped.stdout.equals(plain), 'and nothing else on standard output');
  t.equal(piped.stderr.toString(), '');
  writeFileSync(join(cwd, 'piped.pcapng'), piped.stdout);
  const again = await wiretrial(
    ['replay', ...CASE.slice(0, 4), '-r', 'piped.pcapng', ...NPM, '-o', 'jsonl'],
    { cwd },
  );
  t.equal(again.stdout, readFileSync(join(cwd, 'rows'), 'utf8'), 'replayed again, the same fates');
});

t.test('--no-resolve leaves the names out', async (t) => {
  const bare = join(cwd, 'bare.pcapng');
  await wiretrial(['replay', ...CASE, ...NPM, '--no-resolve', '-w', bare, '-q'], { cwd });
  const { names, records } = await readAll([bare]);
  t.strictSame(names, []);
  t.equal(records.length, FATES.length);
});
