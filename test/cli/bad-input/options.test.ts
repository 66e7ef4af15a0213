/**
 * Values that options do not take, and options that do not go together: the command says all of them
 * at once, what was found and what is accepted.
 * @module
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CASE, NPM } from '../../support/command.ts';
import { refusalFolder } from '../../support/refusals.ts';

const { path: cwd, file, refuses } = await refusalFolder();

const POLICY =
  'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n' +
  'spec: {podSelector: {}, ingres: []}\n';
const SECRET = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n';
mkdirSync(join(cwd, 'given'));
file('given/all.yaml', readFileSync(join(cwd, 'cluster.yaml')));
mkdirSync(join(cwd, 'ring'));
file('ring/a.cap', readFileSync(join(cwd, 'case.pcap')));

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
      what: 'a manifest, an output and a filter',
      args: [
        'replay',
        '-f',
        file('policy.yaml', POLICY),
        ...['-r', 'case.pcap', '-o', 'jsn'],
        'port',
        'x',
      ],
      status: 2,
      says: ['policy.yaml:4:', 'found jsn', 'filter:1:6', '3 problems'],
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
      args: ['doctor', '-f', file('secret.yaml', SECRET)],
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
      args: ['doctor', '-f', 'cluster.yaml', '--collect'],
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
