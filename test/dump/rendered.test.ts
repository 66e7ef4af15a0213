/**
 * A rendered node, told as its kernel would tell it, and read back as a dump: the same plan, and the
 * same verdicts between all pods.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { readDump } from '../../src/dump/read-dump.ts';
import { allPairs, Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { printEbtables } from '../../src/plan/ebtables/text.ts';
import { printIpsets } from '../../src/plan/ipset/text.ts';
import type { Interface, Plan, Route } from '../../src/plan/model.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { printSysctls } from '../../src/plan/sysctl-text.ts';
import { printVirtualServers } from '../../src/plan/virtual-server-text.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress, formatPrefix } from '../../src/wire/address/address.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../support/clusters.ts';
import { dumpWorld, files } from '../support/dumps.ts';

function linkJson(device: Interface) {
  const { name, kind, mac, mtu, up, master, hairpin, promiscuous, addresses } = device;
  const flags = [...(up ? ['UP'] : []), ...(promiscuous ? ['PROMISC'] : [])];
  const isTold = kind === 'veth' || kind === 'bridge' || kind === 'dummy';
  const info = isTold ? { info_kind: kind } : {};
  const port = master === undefined ? {} : { info_slave_data: { hairpin: hairpin === true } };
  return {
    ifname: name,
    flags,
    mtu,
    link_type: kind === 'loopback' ? 'loopback' : 'ether',
    address: mac,
    ...(master === undefined ? {} : { master }),
    linkinfo: { ...info, ...port },
    addr_info: addresses.map(({ address, length, scope }) => ({
      family: address.family === 4 ? 'inet' : 'inet6',
      local: formatAddress(address),
      prefixlen: length,
      scope,
    })),
  };
}

function routeJson(route: Route) {
  const { type, destination, table, device, via, source, metric, scope, onlink } = route;
  return {
    ...(type === 'unicast' ? {} : { type }),
    dst: formatPrefix(destination),
    ...(device === undefined ? {} : { dev: device }),
    ...(via === undefined ? {} : { gateway: formatAddress(via) }),
    ...(source === undefined ? {} : { prefsrc: formatAddress(source) }),
    table: String(table),
    metric,
    scope,
    flags: onlink ? ['onlink'] : [],
  };
}

/** The files that the commands would print on such a node. */
function told(plan: Plan) {
  return files(
    {
      'iptables-save.txt': printIptables(plan, 4),
      'ip6tables-save.txt': printIptables(plan, 6),
      'ipset-save.txt': printIpsets(plan),
      'ipvsadm-save.txt': printVirtualServers(plan),
      'ebtables-save.txt': printEbtables(plan),
      'sysctl.txt': printSysctls(plan),
      'uname.txt': plan.kernel,
      'ip-addr.json': JSON.stringify(plan.interfaces.map(linkJson)),
      'ip-route.json': JSON.stringify(plan.routes.map(routeJson)),
      'ip-neigh.json': JSON.stringify(
        plan.neighbors.map(({ address, device, mac, state }) => ({
          dst: formatAddress(address),
          dev: device,
          lladdr: mac,
          state: [state.toUpperCase()],
        })),
      ),
      'bridge-fdb.json': JSON.stringify(
        plan.fdb.map(({ mac, bridge, port, kind }) => ({
          mac,
          ifname: port,
          master: bridge,
          state: kind === 'learned' ? '' : kind,
        })),
      ),
    },
    plan.host,
  );
}

const { cluster, policies } = parseInputs('shop.yaml', `${TWO_NODES_SHOP}\n---\n${SHOP_POLICIES}`);

for (const text of ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico']) {
  t.test(`nodes of ${text} are the same as dumps`, async (t) => {
    const rendered = new World({ cluster, policies, stack: parseStack(text) });
    const dumps = rendered.network.nodes.map((plan) => readDump(plan.host, told(plan)));
    for (const [i, { plan, uplink, warnings }] of dumps.entries()) {
      const before = rendered.network.nodes[i];
      t.equal(uplink, 'eth0');
      t.strictSame(warnings, [], 'nothing is assumed');
      for (const part of ['interfaces', 'routes', 'neighbors', 'fdb'] as const) {
        t.strictSame(plan[part], before?.[part], `${plan.host}: ${part}`);
      }
    }
    const world = dumpWorld(dumps, cluster);
    const here = new Prober(rendered);
    const there = new Prober(world);
    let asked = 0;
    const wrong: string[] = [];
    for (const port of [80, 5432, 8080]) {
      for (const request of allPairs(rendered, port, 'TCP')) {
        asked++;
        const want = here.ask(request);
        const got = there.ask(request);
        if (got.verdict === want.verdict) continue;
        const { from, to } = request;
        wrong.push(`${from} -> ${to}:${port}: ${got.verdict} ${got.reason}, not ${want.verdict}`);
      }
    }
    t.ok(asked > 50, `${asked} probes`);
    t.strictSame(wrong, []);
  });
}

const SERVICE = `---
apiVersion: v1
kind: Service
metadata: { name: api, namespace: shop }
spec: { type: NodePort, clusterIP: 10.0.0.10, selector: { tier: api }, ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }] }
`;

t.test('nodes with virtual servers are the same as dumps', async (t) => {
  const own = parseInputs('shop.yaml', `${TWO_NODES_SHOP}\n${SERVICE}`);
  const stack = parseStack('azure-transparent+none,kube-proxy=ipvs');
  const rendered = new World({ ...own, stack });
  const dumps = rendered.network.nodes.map((plan) => readDump(plan.host, told(plan)));
  for (const [i, { plan, warnings }] of dumps.entries()) {
    const before = rendered.network.nodes[i];
    t.strictSame(warnings, []);
    t.strictSame(plan.interfaces, before?.interfaces);
    t.equal(printVirtualServers(plan), printVirtualServers(before ?? {}));
  }
  const asked = [
    { from: 'pod/other/client', to: '10.0.0.10', port: 80, protocol: 'TCP' },
    { from: 'pod/other/client', to: '10.240.0.4', port: 30_080, protocol: 'TCP' },
    { from: 'pod/other/client', to: '10.0.0.10', port: 81, protocol: 'TCP' },
  ] as const;
  const verdicts = (world: World) => asked.map((request) => new Prober(world).ask(request).verdict);
  t.strictSame(verdicts(dumpWorld(dumps, own.cluster)), ['allowed', 'allowed', 'denied']);
  const partial = rendered.network.nodes.map((plan) => {
    const left = told(plan).filter(({ path }) => !path.endsWith('ipvsadm-save.txt'));
    return readDump(plan.host, left);
  });
  t.match(partial[0]?.warnings, [{ message: /its virtual servers are not known/ }]);
  t.strictSame(verdicts(dumpWorld(partial, own.cluster)), ['unknown', 'unknown', 'denied']);
});
