/**
 * What the verbs print: the shapes that scripts rely on (names, nulls, nesting), every format, and
 * the fates of the small case of command.ts, written by hand.
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parse as parseYaml } from 'yaml';
import {
  CALICO,
  CASE,
  caseFolder,
  FATES,
  NPM,
  SECRET,
  wiretrial,
  writeCapture,
} from '../support/command.ts';
import { udp } from '../support/packets.ts';

// A process each takes a third of a second, and this machine may have others to run.
t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;

async function run(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await wiretrial(args, { cwd });
  t.equal(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

interface Connection {
  readonly id: number;
  readonly verdict: string;
  readonly forward: string;
  readonly reply: string;
  readonly packets: number;
  readonly contradicted: boolean;
}

interface Replayed {
  readonly counts: Readonly<Record<string, number>> & {
    readonly connections: Readonly<Record<string, number>>;
  };
  readonly drops: readonly { readonly packets: number }[];
  readonly connections: readonly Connection[];
}

const OUTCOMES = [
  ...['delivered', 'exited', 'dropped', 'consumed', 'suppressed', 'unknown', 'observed'],
];
const VERDICTS = ['allowed', 'denied', 'broken', 'depends', 'unknown'];

/** SEMANTICS A8, as a table of its own. */
function verdictBy(forward: string, reply: string): string {
  if (forward === 'dropped') return 'denied';
  if (forward !== 'delivered') return 'unknown';
  if (reply === 'dropped') return 'broken';
  return reply === 'unknown' ? 'unknown' : 'allowed';
}

function csvRows(text: string): readonly (readonly string[])[] {
  t.ok(text.endsWith('\r\n'), 'lines end as RFC 4180 wants');
  return text
    .trimEnd()
    .split('\r\n')
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/g)].map(
        (m) => m[1]?.replaceAll('""', '"') ?? m[2] ?? '',
      ),
    );
}

t.test('replay -o json: the shape, the fates, the balance', async (t) => {
  const result = JSON.parse(await run('replay', ...CASE, ...NPM, '-o', 'json')) as Replayed;
  t.match(result, {
    apiVersion: 'wiretrial/v1',
    kind: 'ReplayResult',
    stack: 'azure-bridge+npm',
    tool: { name: 'wiretrial', version: /^\d+\.\d+\.\d+/, engine: 'reference' },
    seed: 1,
    inputs: [{ path: 'case.pcap', sha256: /^[0-9a-f]{64}$/, packets: 12, bytes: Number }],
    generated: { packets: 0 },
    incomplete: false,
  });
  t.strictSame(Object.keys(result).slice(0, 4), ['apiVersion', 'kind', 'tool', 'seed']);
  const want = Object.fromEntries(
    OUTCOMES.map((name) => [name, FATES.filter((fate) => fate === name).length]),
  );
  const { connections, packets, ...outcomes } = result.counts;
  t.strictSame(outcomes, want);
  t.equal(packets, FATES.length);
  t.strictSame(connections, {
    ...{ total: 6, allowed: 3, denied: 2, broken: 0, depends: 0, unknown: 1 },
    contradicted: 1,
  });
  t.strictSame(result.drops, [
    {
      reason: 'policyDenied',
      packets: 2,
      connections: 2,
      node: 'node-a',
      hook: 'forward',
      where: 'filter/AZURE-NPM-INGRESS rule 3',
      policy: 'shop/NetworkPolicy/db-from-api',
      policies: ['shop/NetworkPolicy/db-from-api'],
      source: 'policies.yaml:10',
    },
  ]);
  const { text, ...decidedBy } = (result.connections[1] as unknown as { decidedBy: object })
    .decidedBy as { text: string };
  t.match(text, /^-A AZURE-NPM-INGRESS .* -j DROP$/);
  t.strictSame(decidedBy, {
    node: 'node-a',
    hook: 'forward',
    rule: 'filter/AZURE-NPM-INGRESS rule 3',
    policy: 'shop/NetworkPolicy/db-from-api',
    policies: ['shop/NetworkPolicy/db-from-api'],
    source: 'policies.yaml:10',
  });
  t.strictSame(
    { ...result.connections[1], decidedBy: null },
    {
      ...{ id: 2, protocol: 'tcp', src: '10.240.0.5', sport: 41000, dst: '10.240.0.6' },
      ...{ dport: 5432, from: 'pod/shop/web', to: 'pod/shop/db', verdict: 'denied' },
      ...{ reason: 'policyDenied', decidedBy: null, forward: 'dropped', reply: 'notCaptured' },
      ...{ opening: 'seen', contradicted: true, evidence: 'source', packets: 4, bytes: 182 },
      ...{ firstFrame: 5, translated: null, choice: null },
    },
  );
  t.match(result.connections[5], { from: null, to: null, decidedBy: null, reason: 'notInCluster' });
  t.match(result.connections[2], { protocol: 'icmp', sport: null, dport: null });
});

t.test('replay -o jsonl: one line a packet, in capture order', async (t) => {
  const lines = (await run('replay', ...CASE, ...NPM, '-o', 'jsonl')).trimEnd().split('\n');
  const rows = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  t.strictSame(
    rows.map((row) => row['outcome']),
    FATES,
  );
  t.strictSame(
    rows.map((row) => row['frame']),
    FATES.map((_, i) => i + 1),
  );
  t.strictSame(rows[0], {
    frame: 1,
    time: '2023-11-14T22:13:20.000000000Z',
    ...{ src: '10.240.0.5', dst: '10.240.0.36', protocol: 'tcp', sport: 40000, dport: 8080 },
    ...{ from: 'pod/shop/web', to: 'pod/shop/api', outcome: 'delivered', reason: null },
    ...{ node: 'node-b', hook: 'forward', rule: 'filter/AZURE-NPM-ACCEPT rule 1' },
    ...{ policy: 'shop/NetworkPolicy/api-from-web', source: 'policies.yaml:7', connection: 1 },
    out: { src: '10.240.0.5', dst: '10.240.0.36', sport: 40000, dport: 8080 },
  });
  t.match(rows[9], { outcome: 'exited', out: { src: '10.240.0.4' } }, 'masqueraded');
  const closed = await run('replay', ...CASE, ...NPM, '-o', 'jsonl', '--rows', 'connections');
  t.strictSame(
    closed
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as Connection).id),
    [1, 2, 3, 4, 5, 6],
  );
});

t.test('packets that nodes make carry no frame number but their cause', async (t) => {
  const dying = udp().from('10.240.0.5', 1000).to('10.240.0.36', 53).ttl(1).payload('x');
  await writeCapture(join(cwd, 'ttl.pcap'), [dying]);
  const args = ['replay', ...CASE.slice(0, 4), '-r', 'ttl.pcap', ...CALICO];
  const where = ['--vantage', 'ttl.pcap=pod/shop/web'];
  const lines = (await run(...args, ...where, '-o', 'jsonl', '-o', 'json=ttl.json')).trimEnd();
  const rows = lines.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  t.match(rows, [
    { frame: 1, outcome: 'dropped', reason: 'ttlExpired', node: 'node-a' },
    { frame: null, cause: 1, protocol: 'icmp', from: 'node/node-a', to: 'pod/shop/web' },
  ]);
  const result = JSON.parse(readFileSync(join(cwd, 'ttl.json'), 'utf8')) as Replayed;
  t.match(result, { counts: { packets: 1, dropped: 1 }, generated: { packets: 1 } });
});

t.test('csv parses, yaml says what json says, several outputs at once', async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'wiretrial-formats-'));
  t.teardown(() => rmSync(out, { recursive: true, force: true }));
  const path = (name: string) => join(out, name);
  const formats = ['json', 'yaml', 'csv', 'jsonl', 'markdown', 'wide', 'table'];
  const several = formats.flatMap((name) => ['-o', `${name}=${path(name)}`]);
  const text = (name: string) => readFileSync(path(name), 'utf8');
  for (const verb of [
    ['replay', ...CASE, ...NPM],
    ['compare', ...CASE, ...NPM, ...CALICO],
    ['probe', ...CASE.slice(0, 4), ...NPM, '--all-pairs', '--port', '8080'],
  ]) {
    const stdout = await run(...verb, ...several);
    t.equal(stdout, '', `${verb[0]}: everything went to files`);
    t.strictSame(parseYaml(text('yaml')), JSON.parse(text('json')), `${verb[0]}: yaml`);
    const rows = csvRows(text('csv'));
    t.ok(rows.length > 1, `${verb[0]}: csv has rows`);
    for (const row of rows) t.equal(row.length, rows[0]?.length, `${verb[0]}: ${row.join(',')}`);
    for (const line of text('jsonl').trimEnd().split('\n')) t.type(JSON.parse(line), 'object');
    for (const name of formats) t.notOk(text(name).includes('\u001b'), `${name} has no colour`);
    for (const name of formats) t.notOk(text(name).includes(SECRET), `${name} has no payload`);
    const wide = (name: string) =>
      Math.max(
        ...text(name)
          .split('\n')
          .map((l) => l.length),
      );
    t.ok(wide('table') <= 165, `${verb[0]}: the table fits a terminal (${wide('table')})`);
    const pipes = text('markdown')
      .split('\n')
      .filter((line) => line.startsWith('|'));
    t.ok(pipes.length > 2, `${verb[0]}: markdown has a table`);
  }
});

t.test('the table of a replay: contradicted first, then drops, then the rest', async (t) => {
  t.equal(
    await run('replay', ...CASE, ...NPM),
    `REPLAY  case.pcap  on azure-bridge+npm  (reference engine)

PACKETS      12: 5 delivered, 1 exited, 2 dropped, 3 suppressed, 1 unknown
CONNECTIONS  6: 3 allowed, 2 denied, 1 unknown
             1 contradicted: answered in the capture, not allowed here: other policies were in force, or the emulation errs
NOTES        3 causeNotDelivered, 1 notInCluster

CONTRADICTED
FRAME   FROM           TO                 PROTOCOL   VERDICT   PACKETS   WHY
5       pod/shop/web   pod/shop/db:5432   tcp        denied    4         shop/NetworkPolicy/db-from-api (policies.yaml:10)

DROPS
PACKETS   CONNECTIONS   REASON         WHERE                                            POLICY
2         2             policyDenied   node-a forward filter/AZURE-NPM-INGRESS rule 3   shop/NetworkPolicy/db-from-api (policies.yaml:10)

NOT ALLOWED
FRAME   FROM               TO               PROTOCOL   VERDICT   PACKETS   WHY
9       pod/other/client   pod/shop/db      icmp       denied    1         shop/NetworkPolicy/db-from-api (policies.yaml:10)
12      203.0.113.8        203.0.113.9:53   udp        unknown   1         notInCluster
`,
  );
  const bare = await run('replay', ...CASE, ...NPM, '--no-resolve');
  t.notMatch(bare, /pod\/shop/);
  t.match(bare, /5 {7}10\.240\.0\.5 +10\.240\.0\.6:5432/);
});

t.test('compare: the shape, the class and the step where the stacks part', async (t) => {
  const json = await run('compare', ...CASE, ...NPM, ...CALICO, '-o', 'json');
  const result = JSON.parse(json) as {
    stacks: string[];
    counts: Record<string, number>;
    differences: Record<string, unknown>[];
    classes: Record<string, unknown>[];
  };
  const [npm = '', calico = ''] = result.stacks;
  t.strictSame([npm, calico], ['azure-bridge+npm', 'azure-transparent+calico']);
  t.match(result, { apiVersion: 'wiretrial/v1', kind: 'CompareResult', seed: 1, inputs: [{}] });
  t.strictSame(result.counts, { connections: 6, agree: 4, disagree: 1, unknown: 1 });
  const [difference] = result.differences;
  t.match(difference, {
    connection: { id: 5, from: 'pod/shop/api', to: 'node/node-b', firstFrame: 11 },
    class: 'local-node-egress',
    verdicts: { [npm]: 'allowed', [calico]: 'denied' },
    reasons: { [npm]: null, [calico]: 'policyDenied' },
    firstDivergence: { step: Number, [npm]: /^node-b\/input\//, [calico]: /^node-b\/input\/cali-/ },
  });
  t.match(result.classes, [
    { class: 'local-node-egress', connections: 1, packets: 1, explanation: String, source: String },
  ]);
  const table = await run('compare', ...CASE, ...NPM, ...CALICO);
  t.match(table, /CONNECTIONS {2}6: 1 disagree, 4 agree, 1 unknown/);
  t.match(table, /frame 11 {2}pod\/shop\/api -> node\/node-b:10250 tcp {2}\[local-node-egress\]/);
  t.match(table, /shop\/NetworkPolicy\/api-egress \(policies\.yaml:19\)/);
  const gate = await wiretrial(['compare', ...CASE, ...NPM, ...CALICO, '--exit-code', '-q'], {
    cwd,
  });
  t.equal(gate.status, 1);
  t.match(gate.stderr, /gate failed: --exit-code: 1 connections differ/);
});

t.test('probe: the shape, in the order asked; mismatches exit 1', async (t) => {
  const asked = [
    { from: 'pod/shop/web', to: 'pod/shop/api', port: 'http', protocol: 'TCP', expect: 'allowed' },
    { from: 'pod/shop/web', to: 'pod/shop/db', port: 5432, protocol: 'TCP', expect: 'allowed' },
    { from: 'pod/shop/web', to: '10.0.3.4', port: 5432, protocol: 'TCP' },
    { from: '203.0.113.9', to: 'node/node-a', protocol: 'ICMP' },
  ];
  const args = ['probe', ...CASE.slice(0, 4), ...NPM, '--probes', '-', '-o', 'json'];
  const ran = await wiretrial(args, { cwd, input: JSON.stringify(asked) });
  t.equal(ran.status, 1);
  t.match(ran.stderr, /1 of 4 probes are not as expected/);
  const result = JSON.parse(ran.stdout) as { probes: Record<string, unknown>[] };
  t.match(result, {
    ...{ apiVersion: 'wiretrial/v1', kind: 'ProbeResult', seed: 1, inputs: [] },
    counts: { probes: 4, allowed: 2, denied: 1, broken: 0, depends: 0, unknown: 1 },
    mismatches: [{ to: 'pod/shop/db', expect: 'allowed', verdict: 'denied' }],
  });
  t.match(result.probes, [
    { port: 'http', verdict: 'allowed', forward: 'delivered', reply: 'delivered' },
    {
      ...{ verdict: 'denied', reason: 'policyDenied', forward: 'dropped', reply: 'notCaptured' },
      ...{ ingress: 'denied', egress: 'allowed' },
      decidedBy: { policy: 'shop/NetworkPolicy/db-from-api', source: 'policies.yaml:10' },
    },
    { verdict: 'unknown', reason: 'addressUnowned', decidedBy: null },
    { port: null, protocol: 'ICMP', verdict: 'allowed' },
  ]);
  for (const p of result.probes) {
    t.equal(p['verdict'], verdictBy(String(p['forward']), String(p['reply'])));
  }
  const table = await wiretrial(args.slice(0, -2), { cwd, input: JSON.stringify(asked) });
  const [, first] = table.stdout.split('\n');
  t.match(first, /denied \(expected allowed\)/, 'a person sees the mismatch first');
  const narrow = await run(
    'probe',
    ...CASE.slice(0, 4),
    '--all-pairs',
    '--port',
    '80',
    '-n',
    'other',
  );
  t.equal(narrow.match(/^pod\//gm)?.length, 8, 'rows with an end in the namespace');
  t.match(narrow, /\n20 probes on /, 'counts speak of all');
});

t.test('explain: the shape, and the implicit deny with what was tried', async (t) => {
  const flow = ['--from', 'pod/shop/web', '--to', 'pod/shop/db', '--port', '5432'];
  const asked = ['explain', ...CASE.slice(0, 4), ...NPM, ...flow];
  const captured = ['explain', ...CASE, ...NPM, '--frame', '5'];
  for (const args of [asked, captured]) {
    const result = JSON.parse(await run(...args, '-o', 'json')) as Record<string, unknown>;
    t.match(result, {
      ...{ apiVersion: 'wiretrial/v1', kind: 'ExplainResult', seed: 1 },
      ...{ outcome: 'dropped', reason: 'policyDenied', notSent: null },
      counts: { steps: Number, rulesLookedAt: Number, rulesMatched: Number },
      decidedBy: { rule: 'filter/AZURE-NPM-INGRESS rule 3', source: 'policies.yaml:10' },
      isolatedBy: [{ policy: 'shop/NetworkPolicy/db-from-api', direction: 'ingress' }],
      tried: [{ policy: 'shop/NetworkPolicy/db-from-api', matched: false, missed: /--match-set/ }],
    });
    t.strictSame(parseYaml(await run(...args, '-o', 'yaml')), result);
  }
  t.match(JSON.parse(await run(...captured, '-o', 'json')), { inputs: [{ path: 'case.pcap' }] });
  const text = await run(...captured);
  t.match(text, /^frame 5: 10\.240\.0\.5:41000 \(pod\/shop\/web\) > 10\.240\.0\.6:5432/);
  t.match(text, /IMPLICIT DENY/);
  t.match(text, /TRIED\n {2}shop\/NetworkPolicy\/db-from-api .*missed/s);
  t.match(
    await run(...captured, '--no-resolve'),
    /^frame 5: 10\.240\.0\.5:41000 > 10\.240\.0\.6:5432/,
  );
  const unsent = await run('explain', ...CASE, ...NPM, '--frame', '6');
  t.match(
    unsent,
    /NOT SENT {2}suppressed, causeNotDelivered: what its sender answers never reached/,
  );
});

t.test('plan: every text, also to files; doctor: the address plan', async (t) => {
  const plan = ['plan', '-f', 'cluster.yaml', '-f', 'policies.yaml', ...NPM, '--node', 'node-a'];
  const texts: readonly (readonly [string, RegExp])[] = [
    ['iptables-save', /^:AZURE-NPM-INGRESS - /m],
    ['ip6tables-save', /^\*filter$/m],
    ['ipset', /^create azure-npm-\w+ hash:net /m],
    ['ip', /10\.240\.0\.4/],
    ['bridge', /^bridge link set dev azv\w+ hairpin on$/m],
    ['ebtables', /^\*nat$/m],
    ['sysctl', /^net\./m],
    ['json', /^\{/],
  ];
  for (const [format, want] of texts) t.match(await run(...plan, '-o', format), want, format);
  t.match(await run(...plan), texts[0]?.[1], 'iptables-save is the default');
  await run(...plan, '-o', 'ipset=sets.txt', '-o', 'json=plan.json');
  t.match(readFileSync(join(cwd, 'sets.txt'), 'utf8'), /^create /m);
  t.type(JSON.parse(readFileSync(join(cwd, 'plan.json'), 'utf8')), 'object');
  t.match(await run('plan', '-f', 'cluster.yaml', '--fabric'), /^\*mangle$/m);
  t.match(
    await run('plan', '-f', 'cluster.yaml', '--pod', 'shop/web', '-o', 'ip'),
    /10\.240\.0\.5/,
  );

  const doctor = JSON.parse(await run('doctor', '-f', 'cluster.yaml', '-o', 'json')) as object;
  t.match(doctor, {
    ...{ apiVersion: 'wiretrial/v1', kind: 'DoctorResult' },
    counts: { nodes: 2, namespaces: 2, pods: 5, networkPolicies: 0 },
    addressPlan: { inferred: true, vnet: Array, serviceCidrs: Array },
  });
  t.match(await run('doctor'), /^iptables-restore +(yes|no) /m);
  const several = ['-o', 'json=doctor.json', '-o', 'table=doctor.txt'];
  const input = readFileSync(join(cwd, 'cluster.yaml'));
  const piped = await wiretrial(['doctor', '-f', '-', ...several], { cwd, input });
  t.strictSame([piped.status, piped.stdout], [0, ''], 'one reading, two files');
  const { files, ...stored } = JSON.parse(readFileSync(join(cwd, 'doctor.json'), 'utf8'));
  t.strictSame({ ...stored, files: ['cluster.yaml'] }, doctor, `${files}: as the file`);
  t.match(readFileSync(join(cwd, 'doctor.txt'), 'utf8'), /^pods +5$/m);
  t.match(JSON.parse(await run('doctor', '-o', 'json')), { tools: [{ tool: 'iptables-restore' }] });
  t.match(await run('doctor', '--collect'), /^ipset save > ipset-save\.txt$/m);
});

t.test('narrowing hides rows, never counts', async (t) => {
  const json = (...more: readonly string[]) =>
    run('replay', ...CASE, ...NPM, '-o', 'json', ...more).then((s) => JSON.parse(s) as Replayed);
  const all = await json('-A');
  const ids = (r: Replayed) => r.connections.map((c) => c.id);
  t.strictSame(ids(all), [1, 2, 3, 4, 5, 6]);
  for (const [args, want] of [
    [
      ['-n', 'other'],
      [3, 4],
    ],
    [
      ['-l', 'tier=db'],
      [2, 3],
    ],
    [
      ['-l', 'tier in (api, none)'],
      [1, 5],
    ],
    [
      ['-l', 'tier!=web,app=shop'],
      [1, 2, 3, 5],
    ],
    [
      ['-l', '!tier'],
      [3, 4],
    ],
    [
      ['-n', 'shop', '-l', 'tier'],
      [1, 2, 3, 5],
    ],
  ] as const) {
    const narrow = await json(...args);
    t.strictSame(ids(narrow), want, args.join(' '));
    t.strictSame(narrow.counts, all.counts);
  }
});

t.test(
  'laws: counts balance, verdicts follow from directions, nothing depends on chance',
  async (t) => {
    const stacks = ['azure-bridge+npm', 'azure-transparent+calico', 'azure-transparent+none'];
    const captures = [
      CASE,
      ['-f', 'cluster.yaml', '-r', 'case.pcap', '--open-loop'],
      [
        '-f',
        'policies.yaml',
        '-f',
        'cluster.yaml',
        '-r',
        'case.pcap',
        '--midstream',
        'kernel',
        'tcp',
      ],
    ];
    for (const stack of stacks) {
      for (const args of captures) {
        const name = `${stack} ${args.join(' ')}`;
        const outputs = ['-o', 'json', '-o', 'jsonl=rows.jsonl', '-w', 'out.pcapng'];
        const replay = ['replay', ...outputs, '--stack', stack, ...args];
        const stdout = await run(...replay);
        const files = ['rows.jsonl', 'out.pcapng'].map((f) => readFileSync(join(cwd, f)));
        const { counts, connections, drops } = JSON.parse(stdout) as Replayed;
        const sum = OUTCOMES.reduce((n, o) => n + (counts[o] ?? Number.NaN), 0);
        t.equal(sum, counts['packets'], `${name}: every packet has one outcome`);
        const verdicts = VERDICTS.reduce((n, v) => n + (counts.connections[v] ?? Number.NaN), 0);
        t.equal(verdicts, counts.connections['total'], `${name}: every connection one verdict`);
        t.equal(connections.length, verdicts);
        t.equal(
          drops.reduce((n, d) => n + d.packets, 0),
          counts['dropped'],
          `${name}: the drop table names every dropped packet`,
        );
        for (const c of connections) t.equal(c.verdict, verdictBy(c.forward, c.reply), name);
        t.notOk(stdout.includes(SECRET), `${name}: no payload`);
        t.equal(
          await run(...replay, '--workers', '4', '-q'),
          stdout,
          `${name}: the same bytes again`,
        );
        const again = ['rows.jsonl', 'out.pcapng'].map((f) => readFileSync(join(cwd, f)));
        t.ok(
          files.every((bytes, i) => bytes.equals(again[i]!)),
          `${name}: the same files again`,
        );
      }
    }
  },
);
