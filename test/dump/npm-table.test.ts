/**
 * A real AKS node with Azure NPM, from its own dump: the connectivity table that was measured on it.
 *
 * The dump holds rules and sets only; pods are named by cluster objects, made of the node's own
 * cache. Nothing is known of its devices and routes, and nothing in the table depends on them.
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { readDumpFolder } from '../../src/dump/file/dump-file.ts';
import { readDump } from '../../src/dump/read-dump.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { dumpWorld } from '../support/dumps.ts';
import { sharedPath } from '../support/shared.ts';

interface Cache {
  readonly NodeName: string;
  readonly NsMap: Readonly<Record<string, unknown>>;
  readonly PodMap: Readonly<
    Record<string, { readonly Name: string; readonly Namespace: string; readonly PodIP: string }>
  >;
}

const folder = sharedPath('data/clusters/aks-azure-npm-v2-2022');
const skip = folder === null ? 'needs ../shared' : false;

function cache(): Cache {
  return JSON.parse(readFileSync(`${folder}/npmcache.json`, 'utf8')) as Cache;
}

/** The pods of the cache, all on the node that the dump is of. */
function clusterOf({ NodeName, NsMap, PodMap }: Cache) {
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: NodeName },
    status: { addresses: [{ type: 'InternalIP', address: '10.224.0.35' }] },
  };
  const namespaces = Object.keys(NsMap).map((name) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name },
  }));
  const pods = Object.values(PodMap).map(({ Name, Namespace, PodIP }) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: Name, namespace: Namespace },
    spec: { nodeName: NodeName, containers: [{ name: 'c', image: 'i' }] },
    status: { phase: 'Running', podIP: PodIP, podIPs: [{ ip: PodIP }] },
  }));
  const items = [node, ...namespaces, ...pods];
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  return parseInputs('npmcache.json', text).cluster;
}

const COLUMNS = ['x/a', 'x/b', 'x/c', 'y/a', 'y/b', 'y/c', 'z/a', 'z/b', 'z/c'];
const PROBES = [
  [80, 'TCP'],
  [81, 'TCP'],
  [80, 'UDP'],
  [81, 'UDP'],
] as const;

/** `x/a y/a TCP/80` → `.` or `X`, from the table in the policy's header. */
function expected(): ReadonlyMap<string, string> {
  const text = readFileSync(`${folder}/netpol-with-expected-table.yaml`, 'utf8');
  const table = new Map<string, string>();
  for (const [, from = '', row = ''] of text.matchAll(/^# \| ([xyz]\/[abc]) +\|(.*)\|$/gm)) {
    row.split('|').forEach((cell, column) => {
      const marks = cell.trim().split(' ');
      for (const [i, [port, protocol]] of PROBES.entries()) {
        table.set(`${from} ${COLUMNS[column]} ${protocol}/${port}`, marks[i] ?? '');
      }
    });
  }
  return table;
}

t.test("a node's rules and sets give the table that was measured on it", { skip }, async (t) => {
  const known = cache();
  const dump = readDump(known.NodeName, readDumpFolder(folder ?? ''));
  const prober = new Prober(dumpWorld([dump], clusterOf(known)));
  const table = expected();
  t.equal(table.size, 9 * 9 * 4, 'cells of the table');
  const wrong: string[] = [];
  for (const [cell, mark] of table) {
    const [from = '', to = '', service = ''] = cell.split(' ');
    if (from === to) continue;
    const [protocol, port] = service.split('/');
    const { verdict, reason } = prober.ask({
      from: `pod/${from}`,
      to: `pod/${to}`,
      port: Number(port),
      protocol: protocol === 'TCP' ? 'TCP' : 'UDP',
    });
    if (verdict === (mark === '.' ? 'allowed' : 'denied')) continue;
    wrong.push(`${cell}: ${verdict} (${reason}), not ${mark}`);
  }
  t.strictSame(wrong, []);
});

t.test('without its sets, what the sets decide is not judged', { skip }, async (t) => {
  const known = cache();
  const files = readDumpFolder(folder ?? '').filter(({ path }) => !path.includes('ipset'));
  const dump = readDump(known.NodeName, files);
  t.match(
    dump.warnings.map((w) => w.message).join('\n'),
    /no ipset save: what is in the 1?\d sets/,
  );
  const prober = new Prober(dumpWorld([dump], clusterOf(known)));
  const ask = { from: 'pod/x/a', to: 'pod/y/a', port: 80, protocol: 'TCP' } as const;
  const { verdict, reason, decidedBy } = prober.ask(ask);
  t.strictSame([verdict, reason], ['unknown', 'dumpIncomplete']);
  t.match(decidedBy?.text, /-j AZURE-NPM-INGRESS-\d+$/, 'the rule that names the sets');
});
