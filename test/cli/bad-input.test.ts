/**
 * What is wrong is said so that a stranger can act on it, all of it at once, with the right exit
 * code and nothing on standard output. Through the real command.
 * @module
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CASE, caseFolder, forEachRow, NPM, wiretrial } from '../support/command.ts';

// A process each takes a third of a second, and this machine may have others to run.
t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;

function file(name: string, text: string | Uint8Array): string {
  writeFileSync(join(cwd, name), text);
  return name;
}

interface Row {
  readonly what: string;
  readonly args: readonly string[];
  readonly status: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Each stands in what is said: place, field, found, accepted. */
  readonly says: readonly (string | RegExp)[];
}

async function refuses(t: Test, rows: readonly Row[]): Promise<void> {
  await forEachRow(rows, async ({ what, args, env, status, says }) => {
    const ran = await wiretrial(args, { cwd, ...(env ? { env } : {}) });
    t.equal(ran.status, status, `${what}: exit code (${ran.stderr.trim()})`);
    t.equal(ran.stdout, '', `${what}: nothing on standard output`);
    t.notMatch(ran.stderr, /\n {4}at /, `${what}: no stack trace`);
    for (const text of says) {
      const found = typeof text === 'string' ? ran.stderr.includes(text) : text.test(ran.stderr);
      t.ok(found, `${what}: says ${text} in\n${ran.stderr}`);
    }
  });
}

const POD = (name: string, ip: string) =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: shop}\n` +
  `spec: {nodeName: node-a, containers: [{name: main}]}\nstatus: {podIP: ${ip}}\n`;
const POLICY = (name: string, spec: string) =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: shop}\n` +
  `spec:\n${spec}`;
const doctor = (...files: readonly string[]) => [
  'doctor',
  ...['cluster.yaml', ...files].flatMap((name) => ['-f', name]),
];

t.test('manifests: file, line, field, what was found, what is accepted', async (t) => {
  await refuses(t, [
    {
      what: 'YAML that does not parse',
      args: doctor(file('syntax.yaml', 'apiVersion: v1\nkind: Pod\nmetadata: {name: [a}\n')),
      status: 2,
      says: ['syntax.yaml:3:', '[YAML_SYNTAX]'],
    },
    {
      what: 'JSON that does not parse',
      args: doctor(file('syntax.json', '{"apiVersion": "v1",\n "kind": }\n')),
      status: 2,
      says: ['syntax.json:2:', '[JSON_SYNTAX]'],
    },
    {
      what: 'an unknown field',
      args: doctor(file('field.yaml', POLICY('p', '  podSelector: {}\n  ingres: []\n'))),
      status: 2,
      says: ['field.yaml:6:', 'spec.ingres', 'did you mean "ingress"'],
    },
    {
      what: 'a value of the wrong type',
      args: doctor(file('type.yaml', POLICY('p', '  podSelector: {}\n  policyTypes: Ingress\n'))),
      status: 2,
      says: ['type.yaml:6:', 'spec.policyTypes', 'found "Ingress"'],
    },
    {
      what: 'an invalid CIDR',
      args: doctor(
        file(
          'cidr.yaml',
          POLICY(
            'q',
            '  podSelector: {}\n  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.0/33}}]\n',
          ),
        ),
      ),
      status: 2,
      says: ['cidr.yaml:7:', 'spec.ingress[0].from[0].ipBlock.cidr', '10.0.0.0/33', 'accepted'],
    },
    {
      what: 'two pods with one address',
      args: doctor(file('overlap.yaml', POD('thief', '10.240.0.6'))),
      status: 2,
      says: ['overlap.yaml:1:', 'shop/Pod/thief', '10.240.0.6', 'shop/Pod/db', 'cluster.yaml:27'],
    },
    {
      what: 'ranges that overlap',
      args: doctor(
        file(
          'ranges.yaml',
          'apiVersion: wiretrial/v1\nkind: Wiring\nnetworkPlugin: azure\n' +
            'networkPluginMode: overlay\npodCidr: 10.244.0.0/16\nserviceCidr: 10.244.8.0/24\n',
        ),
      ),
      status: 2,
      says: ['ranges.yaml:', 'serviceCidr', '10.244.8.0/24'],
    },
    {
      what: 'the same object twice',
      args: doctor(file('twice.yaml', POD('web', '10.240.0.99'))),
      status: 2,
      says: ['twice.yaml:1:', 'shop/Pod/web', 'given twice', 'cluster.yaml:'],
    },
    {
      what: 'a file that is not there',
      args: doctor('absent.yaml'),
      status: 3,
      says: ['absent.yaml', 'no such file'],
    },
    {
      what: 'several mistakes in several files',
      args: doctor('field.yaml', 'cidr.yaml', 'overlap.yaml'),
      status: 2,
      says: [/\d problems:/, 'field.yaml:6:', 'cidr.yaml:7:', 'overlap.yaml:1:'],
    },
  ]);
});

t.test('captures: exit 3, and what the file is instead', async (t) => {
  mkdirSync(join(cwd, 'no-captures'));
  file('no-captures/notes.txt', 'nothing here\n');
  const replay = (path: string) => ['replay', '-f', 'cluster.yaml', '-r', path];
  const garbage = Uint8Array.from({ length: 300 }, (_, i) => (i * 31 + 7) & 255);
  await refuses(t, [
    {
      what: 'garbage',
      args: replay(file('garbage.pcap', garbage)),
      status: 3,
      says: ['garbage.pcap: is not a capture', 'accepted: pcap or pcapng'],
    },
    {
      what: 'an empty file',
      args: replay(file('empty.pcap', '')),
      status: 3,
      says: ['empty.pcap', 'CAPTURE_EMPTY'],
    },
    {
      what: 'a folder without captures',
      args: replay('no-captures'),
      status: 3,
      says: ['no-captures: holds no capture', 'accepted: pcap or pcapng'],
    },
    {
      what: 'a file that is not there',
      args: replay('absent.pcap'),
      status: 3,
      says: ['absent.pcap: no such file or directory'],
    },
    {
      what: 'a manifest and a capture that are both wrong',
      args: ['replay', '-f', 'cidr.yaml', '-r', 'case.pcap', '-o', 'jsn', 'port', 'x'],
      status: 2,
      says: ['cidr.yaml:7:', 'found jsn', 'filter:1:6', '3 problems'],
    },
    {
      what: 'several captures that are wrong',
      args: ['replay', '-f', 'cluster.yaml', '-r', 'garbage.pcap', '-r', 'empty.pcap'],
      status: 3,
      says: ['garbage.pcap', 'empty.pcap', '2 problems'],
    },
  ]);
});

t.test('a capture that was cut: what is whole counts, exit 3, marked incomplete', async (t) => {
  const whole = readFileSync(join(cwd, 'case.pcap'));
  file('cut.pcap', whole.subarray(0, whole.length - 5));
  const args = ['replay', '-f', 'cluster.yaml', '-f', 'policies.yaml', '-r', 'cut.pcap', ...NPM];
  const json = await wiretrial([...args, '-o', 'json', '-o', 'jsonl=rows', '-w', 'cut.pcapng'], {
    cwd,
  });
  t.equal(json.status, 3);
  t.match(json.stderr, /cut\.pcap: .*offset \d+; 11 whole packets were read/);
  const result = JSON.parse(json.stdout) as {
    incomplete: boolean;
    counts: { packets: number };
    inputs: { packets: number; truncated: { offset: number; message: string } }[];
  };
  t.equal(result.incomplete, true);
  t.equal(result.counts.packets, 11);
  t.equal(result.inputs[0]?.packets, 11);
  t.type(result.inputs[0]?.truncated.offset, 'number');
  t.equal(readFileSync(join(cwd, 'rows'), 'utf8').trim().split('\n').length, 11);
  const again = await wiretrial(
    ['replay', '-f', 'cluster.yaml', '-r', 'cut.pcapng', '-o', 'json'],
    {
      cwd,
    },
  );
  t.equal(again.status, 0, 'the annotated capture is whole');
  const table = await wiretrial(args, { cwd });
  t.match(table.stdout, /incomplete input/);
  const gated = await wiretrial([...args, '--fail-on', 'denied'], { cwd });
  t.equal(gated.status, 3, 'of a failed gate and a cut input the highest applies');
});

const SECRET = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n';
mkdirSync(join(cwd, 'given'));
writeFileSync(join(cwd, 'given', 'all.yaml'), readFileSync(join(cwd, 'cluster.yaml')));
mkdirSync(join(cwd, 'ring'));
writeFileSync(join(cwd, 'ring', 'a.cap'), readFileSync(join(cwd, 'case.pcap')));

t.test('options: every value that is not accepted, all at once', async (t) => {
  const replay = ['replay', ...CASE];
  await refuses(t, [
    {
      what: 'an unknown pod in --map',
      args: [...replay, '--map', '10.9.9.9=pod/shop/wbe', '--map', '10.9.9.8=node/node-x'],
      status: 2,
      says: ['--map', 'pod/shop/wbe', 'did you mean pod/shop/web', 'node-x', '2 problems'],
    },
    {
      what: 'an unknown network and policy engine',
      args: [...replay, '--stack', 'azure+nmp'],
      status: 2,
      says: ['--stack', 'azure', 'azure-bridge', 'nmp', 'npm'],
    },
    {
      what: 'a stack option',
      args: [...replay, '--stack', 'azure-bridge+npm,vrsion=1'],
      status: 2,
      says: ['--stack', 'vrsion', 'version='],
    },
    {
      what: 'a combination that Azure refuses',
      args: [...replay, '--stack', 'azure-bridge+calico'],
      status: 2,
      says: ['--stack', 'azure-bridge+calico'],
    },
    {
      what: 'a filter word',
      args: [...replay, 'tcp', 'prot', '80'],
      status: 2,
      says: ['filter:1:5', 'prot'],
    },
    {
      what: 'everything at once',
      args: [
        ...replay,
        ...['--at', 'pod/web', '--vantage', 'x', '--clock-offset', 'y', '--since', 'noon'],
        ...['--fail-on', 'droped', '-o', 'xml', '--engine', 'reference'],
      ],
      status: 2,
      says: ['--at', '--vantage', '--clock-offset', '--since', 'did you mean dropped', 'xml'],
    },
    {
      what: 'a place that the cluster does not have',
      args: [...replay, '--at', 'node/node-a/eth7'],
      status: 2,
      says: ['--at', 'node/node-a/eth7', 'no such place'],
    },
    {
      what: 'places, addresses and rows that the cluster does not have',
      args: [
        ...replay,
        ...['--at', 'pod/shop/nobody', '--map', '10.9.9.9=pod/shop/wbe', '-n', 'shp'],
        ...['--vantage', 'case.pcap=node/node-x'],
      ],
      status: 2,
      says: ['pod/shop/nobody', 'did you mean pod/shop/web', 'did you mean shop?', '4 problems'],
    },
    {
      what: 'a vantage of an interface that the capture does not have, and one given twice',
      args: [...replay, '--vantage', 'case.pcap:eth9=edge'],
      status: 2,
      says: ['--vantage', 'case.pcap:eth9', 'names none'],
    },
    {
      what: 'two places of one vantage',
      args: [...replay, '--vantage', 'case.pcap=edge', '--vantage', 'case.pcap=node/node-a'],
      status: 2,
      says: ['--vantage', 'a second place', 'case.pcap=node/node-a'],
    },
    {
      what: 'a window that ends before it begins',
      args: [...replay, '--since', '1s', '--until', '2s'],
      status: 2,
      says: ['--since', 'begins after its end'],
    },
    {
      what: 'a vantage of a file that is not read',
      args: [...replay, '--vantage', 'other.pcap=node/node-a'],
      status: 2,
      says: ['--vantage', 'other.pcap', 'case.pcap'],
    },
    {
      what: 'a vantage at no place',
      args: [...replay, '--vantage', 'case.pcap=node/node-z'],
      status: 2,
      says: ['--vantage', 'node/node-z'],
    },
    {
      what: 'a namespace that is not there',
      args: [...replay, '-n', 'shopp'],
      status: 2,
      says: ['-n', 'shopp', 'did you mean shop'],
    },
    {
      what: 'a label selector',
      args: [...replay, '-l', 'a=b,=c'],
      status: 2,
      says: ['-l', '=c', 'a notin (x,y)'],
    },
    {
      what: 'a number',
      args: [...replay, '-c', 'many'],
      status: 2,
      says: ['-c, --count', 'many', 'whole number'],
    },
    {
      what: 'several values that options do not take',
      args: [...replay, '--seed', '1e3', '--workers', '0', '--midstream', 'no', '-c', '-1'],
      status: 2,
      says: ['--seed', '1e3', '--workers', 'found 0', 'assume, kernel, unknown', '4 problems'],
    },
    {
      what: 'a choice',
      args: [...replay, '--checksums', 'maybe'],
      status: 2,
      says: ['--checksums', 'auto, strict, ignore'],
    },
    {
      what: 'neither is there',
      args: ['replay', '-f', 'none.yaml', '-r', 'none.pcap', '-r', 'none2.pcap'],
      status: 3,
      says: ['none.yaml: no such file', 'none.pcap: no such file', 'none2.pcap', '3 problems'],
    },
    {
      what: 'a cluster of nothing, as from a pipeline whose first half failed',
      args: ['replay', '-f', '-', '-r', 'case.pcap'],
      status: 2,
      says: ['-f', 'no objects', 'found none in -'],
    },
    {
      what: 'a cluster of what does not bear on packets',
      args: doctor().map((arg) => (arg === 'cluster.yaml' ? file('secret.yaml', SECRET) : arg)),
      status: 2,
      says: ['found 1 Secret in secret.yaml'],
    },
    {
      what: 'no cluster and no capture',
      args: ['replay'],
      status: 2,
      says: ['-f: no cluster was given', '-r: no capture was given'],
    },
    {
      what: 'one stack to compare',
      args: ['compare', ...CASE, ...NPM],
      status: 2,
      says: ['--stack', 'two stacks'],
    },
    {
      what: 'the compiled engine where nobody built it',
      args: [...replay, '--engine', 'compiled'],
      env: { WIRETRIAL_NATIVE: 'absent.node' },
      status: 4,
      says: ['--engine', 'compiled', 'accepted: auto, reference'],
    },
    {
      what: 'an output that can not be written',
      args: [...replay, '-o', 'json=absent/out.json'],
      status: 4,
      says: ['absent/out.json', 'ENOENT'],
    },
    {
      what: 'a capture that can not be written',
      args: [...replay, '-w', 'absent/out.pcapng'],
      status: 4,
      says: ['absent/out.pcapng', 'ENOENT'],
    },
    {
      what: 'the older capture format',
      args: [...replay, '-w', 'out.pcap'],
      status: 2,
      says: ['-w', 'out.pcap', 'pcapng'],
    },
    {
      what: 'outputs over inputs and over each other',
      args: [...replay, '-o', 'json=policies.yaml', '-o', 'csv=x', '-o', 'jsonl=x'],
      status: 2,
      says: ['policies.yaml', 'which is read', 'which is written already', '2 problems'],
    },
    {
      what: 'outputs over files of folders that are read',
      args: [
        'replay',
        '-f',
        'given',
        '-r',
        'ring',
        '-o',
        'yaml=given/all.yaml',
        '-w',
        'ring/a.cap',
      ],
      status: 2,
      says: ['given/all.yaml', 'ring/a.cap', 'which is read', 'pcap file has no room'],
    },
    {
      what: "a plan over the dump's own file",
      args: ['plan', '--dump', 'given', '-o', 'iptables-save=given/all.yaml'],
      status: 2,
      says: ['-o', 'given/all.yaml', 'which is read'],
    },
    {
      what: 'two results on standard output, two readers of standard input',
      args: ['replay', '-f', '-', '-r', '-', '-o', 'json', '-w', '-'],
      status: 2,
      says: ['-o json -w -', '-f - -r -'],
    },
    {
      what: 'a frame that is not there',
      args: ['explain', ...CASE, '--frame', '99'],
      status: 2,
      says: ['--frame', '99', '1 to 12'],
    },
    {
      what: 'a capture without a frame, ends beside it',
      args: ['explain', ...CASE, '--from', 'pod/shop/web'],
      status: 2,
      says: ['--frame', '--from', 'a frame has its own ends'],
    },
    {
      what: 'half a flow',
      args: ['explain', '-f', 'cluster.yaml', '--to', 'pod/shop/db', '--port', '1'],
      status: 2,
      says: ['--from: is missing'],
    },
    {
      what: 'a node that is not there',
      args: ['plan', '-f', 'cluster.yaml', '--node', 'node-c'],
      status: 2,
      says: ['--node', 'node-c', 'node-a'],
    },
    {
      what: 'no node where there are several',
      args: ['plan', '-f', 'cluster.yaml'],
      status: 2,
      says: ['--node', 'several nodes', 'node-a, node-b'],
    },
    {
      what: 'texts that a plan does not have',
      args: ['plan', '-f', 'cluster.yaml', '--node', 'node-a', '-o', 'image', '-o', 'txt'],
      status: 2,
      says: ['image', 'txt', 'iptables-save'],
    },
    {
      what: 'a misspelt option',
      args: ['replay', '--stak', 'x'],
      status: 2,
      says: ["unknown option '--stak'", '--stack'],
    },
    {
      what: 'options that say nothing beside each other',
      args: ['probe', '-f', 'cluster.yaml', '--all-pairs', '--port', '80', '--host', 'x.example'],
      status: 2,
      says: ['--host', 'beside --all-pairs'],
    },
    {
      what: 'a port name that not every pod has: each pod once',
      args: ['probe', '-f', 'cluster.yaml', '--all-pairs', '--port', 'nosuch'],
      status: 2,
      says: ['nosuch of pod/shop/web', /^error: \d problems/],
    },
    {
      what: 'commands for a node, asked for a cluster',
      args: [...doctor(), '--collect'],
      status: 2,
      says: ['--collect, or -f'],
    },
    {
      what: 'a misspelt verb',
      args: ['repaly'],
      status: 2,
      says: ['no such verb', 'found repaly', 'did you mean replay?'],
    },
    {
      what: 'help for a misspelt verb',
      args: ['help', 'expalin'],
      status: 2,
      says: ['expalin', 'did you mean explain'],
    },
  ]);
});

t.test('probe files: line, probe, field, found, accepted', async (t) => {
  let count = 0;
  const probes = (text: string) => [
    'probe',
    ...['-f', 'cluster.yaml', '--probes', file(`p${count++}.json`, text)],
  ];
  const good = '{"from":"pod/shop/web","to":"pod/shop/db","port":5432,"protocol":"TCP"}';
  await refuses(t, [
    { what: 'no JSON', args: probes('[\n{"from": }]'), status: 2, says: ['p0.json:2:10'] },
    { what: 'no list', args: probes(good), status: 2, says: ['p1.json:1:1', 'is no list'] },
    {
      what: 'wrong fields',
      args: probes(
        `[${good},\n{"from":"","to":"pod/shop/db","prot":80,"protocol":"tcp"},\n` +
          `{"from":"pod/shop/web","port":70000,"protocol":"UDP","expect":"maybe","expct":"x"}, 7]`,
      ),
      status: 2,
      says: [
        /p2\.json:2:\d+: \[1\]\.from: .*found ""/,
        /p2\.json:2:\d+: \[1\]\.prot: unknown field \(accepted: from, to, port/,
        /\[2\]\.expct: unknown field \(accepted: did you mean expect/,
        /\[1\]\.protocol: .*found "tcp"; accepted: TCP, UDP/,
        /\[1\]\.port: is missing/,
        /p2\.json:3:\d+: \[2\]\.to: is missing/,
        /\[2\]\.port: .*found 70000; accepted: 1 to 65535/,
        /\[2\]\.expect: .*found "maybe"; accepted: allowed, denied/,
        /\[3\]: is no probe .*found 7/,
      ],
    },
    {
      what: 'ends and ports that the cluster does not have',
      args: probes(
        `[\n{"from":"pod/shop/wbe","to":"pod/shop/db","port":1,"protocol":"TCP"},\n` +
          `{"from":"pod/shop/web","to":"pod/shop/db","port":"htp","protocol":"TCP"}]`,
      ),
      status: 2,
      says: [/p3\.json:2:1: .*pod\/shop\/wbe.*did you mean pod\/shop\/web/, /p3\.json:3:1: .*htp/],
    },
    {
      what: 'a probe file that is not there',
      args: ['probe', '-f', 'cluster.yaml', '--probes', 'absent.json'],
      status: 3,
      says: ['absent.json', 'ENOENT'],
    },
    {
      what: 'nothing to probe',
      args: ['probe', '-f', 'cluster.yaml'],
      status: 2,
      says: ['nothing to probe', '--probes FILE', 'a port is needed'],
    },
    {
      what: 'two ways to ask',
      args: ['probe', '-f', 'cluster.yaml', '--all-pairs', '--from', 'pod/shop/web', '--port', '1'],
      status: 2,
      says: ['--all-pairs --from/--to'],
    },
  ]);
});
