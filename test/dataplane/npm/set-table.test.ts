/**
 * Who is in NPM's sets.
 *
 * Source: azure-container-networking `npm/pkg/controlplane/controllers/v2/podController.go`.
 * @module
 */
import t from 'tap';
import type { Cluster } from '../../../src/cluster/model.ts';
import { SetTable } from '../../../src/dataplane/npm/set-table.ts';
import { npmBehavior } from '../../../src/dataplane/npm/version.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import { cluster, node, pod, port } from '../objects.ts';

function sets(of: Cluster, options = ''): Map<string, string[]> {
  const table = new SetTable(npmBehavior(parseStack(`azure-bridge+npm${options}`)));
  table.addCluster(of);
  const built = table.build();
  const describe = new Map(built.map((set) => [set.name, set.describes ?? '']));
  return new Map(
    built.map((set) => [
      set.describes ?? '',
      set.members.map((m) => {
        if (m.kind === 'net') return formatAddress(m.net.address);
        if (m.kind === 'set') return describe.get(m.set) ?? '';
        return m.kind === 'ip,port' ? `${formatAddress(m.address)}:${m.protocol}:${m.port}` : '';
      }),
    ]),
  );
}

const nodes = [node('n', '10.0.0.4')];

t.test('pods that NPM does not track are in no set', async (t) => {
  for (const [name, of] of [
    ['on the host’s network', pod('x/h', 'n', '10.0.0.4', { app: 'h' }, { hostNetwork: true })],
    ['succeeded', pod('x/s', 'n', '10.0.0.6', { app: 's' }, { phase: 'Succeeded' })],
    ['failed', pod('x/f', 'n', '10.0.0.7', { app: 'f' }, { phase: 'Failed' })],
    ['without an address', pod('x/p', 'n', [], { app: 'p' }, { phase: 'Pending' })],
    ['IPv6 first', pod('x/6', 'n', ['fd00::6', '10.0.0.8'], { app: '6' })],
  ] as const) {
    const got = sets(cluster({ nodes, pods: [of] }));
    t.strictSame(got.get('pods of namespace x'), [], name);
    t.notOk(got.has('pods with label app'), name);
  }
});

t.test('a pending pod with an address is tracked, by its IPv4 address', async (t) => {
  const of = pod('x/a', 'n', ['10.0.0.5', 'fd00::5'], { app: 'web' }, { phase: 'Pending' });
  const got = sets(cluster({ nodes, pods: [of] }));
  t.strictSame(got.get('pods of namespace x'), ['10.0.0.5']);
  t.strictSame(got.get('pods with label app'), ['10.0.0.5']);
  t.strictSame(got.get('pods labelled app=web'), ['10.0.0.5']);
});

t.test('namespaces are in the lists of their labels and in the list of all', async (t) => {
  const got = sets(
    cluster({
      nodes,
      pods: [pod('x/a', 'n', '10.0.0.5')],
      namespaces: { x: { team: 'red' }, y: { team: 'blue' } },
    }),
  );
  const [x, y] = ['pods of namespace x', 'pods of namespace y'];
  t.strictSame(got.get('pods of all namespaces'), [x, y]);
  t.strictSame(got.get('pods of namespaces with label team'), [x, y]);
  t.strictSame(got.get('pods of namespaces labelled team=red'), [x]);
});

t.test('named ports are of containers, not of init containers', async (t) => {
  const ports = [port('http', 8080), port('dns', 53, { protocol: 'UDP' })];
  const init = port('setup', 99, { init: true });
  const got = sets(
    cluster({ nodes, pods: [pod('x/a', 'n', '10.0.0.5', {}, { ports: [...ports, init] })] }),
  );
  t.strictSame(got.get('container ports named http'), ['10.0.0.5:6:8080']);
  t.strictSame(got.get('container ports named dns'), ['10.0.0.5:17:53']);
  t.notOk(got.has('container ports named setup'));
});

t.test('a 32-bit collision merges two sets until 1.6.45', async (t) => {
  const of = cluster({
    nodes,
    pods: [
      pod('msobb-target/victim', 'n', '10.0.0.5'),
      pod('evil/attacker', 'n', '10.0.0.6', { x: 'YMaaIZ' }),
    ],
  });
  const merged = [...sets(of, ',version=1.6.45')].find(([name]) => name.includes('; '));
  t.strictSame(merged, [
    'pods of namespace msobb-target; pods labelled x=YMaaIZ',
    ['10.0.0.5', '10.0.0.6'],
  ]);
  t.strictSame(sets(of, ',version=1.6.46').get('pods of namespace msobb-target'), ['10.0.0.5']);
});

t.test('hash sets stand before the lists that name them', async (t) => {
  const table = new SetTable(npmBehavior(parseStack('azure-bridge+npm')));
  table.addCluster(cluster({ nodes, pods: [pod('x/a', 'n', '10.0.0.5', { a: 'b' })] }));
  const types = table.build().map((set) => set.type);
  t.ok(types.lastIndexOf('hash:net') < types.indexOf('list:set'));
});
