/**
 * A node of the running kernel, collected as `wiretrial doctor --collect` says, and read back: both
 * forms of every text come to the same plan, and that is the node that was built. Needs root.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readDumpFolder } from '../../../src/dump/file/dump-file.ts';
import { type DumpNode, readDump } from '../../../src/dump/read-dump.ts';
import { lower } from '../../../src/lowering/link.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { formatAddress, formatPrefix } from '../../../src/wire/address/address.ts';
import { kernelMissing } from './harness/laboratory.ts';

const skip = kernelMissing(['iptables-save', 'ipset', 'bridge', 'sysctl']) ?? false;

/** A routed pod, a container on a bridge, policy routing, sets, rules and neighbours. */
const BUILD = `
set -e
ip link set lo up
ip link add eth0 type veth peer name far
ip addr add 10.1.0.4/16 dev eth0
ip addr add fd00::4/64 dev eth0 nodad
ip link add br0 type bridge
ip addr add 10.9.0.1/24 dev br0
ip link add pod1 type veth peer name podx
ip link add c1 type veth peer name cx
ip link set c1 master br0
for dev in eth0 far br0 pod1 podx c1 cx; do ip link set $dev addrgenmode none up; done
bridge link set dev c1 hairpin on
ip route add default via 10.1.0.1 dev eth0
ip route add 10.244.0.2 dev pod1
ip route add blackhole 10.8.0.0/16
ip route add 10.7.0.0/16 via 10.1.0.9 dev eth0 table 100
ip route add fd00:1::/64 via fd00::9 dev eth0
ip rule add from 10.2.0.0/16 fwmark 0x1/0xff lookup 100
ip -6 rule add iif pod1 lookup 200
ip neigh add 10.244.0.2 lladdr 02:00:00:00:0a:02 dev pod1
ip neigh add 10.9.0.2 lladdr 02:00:00:00:0b:02 dev br0
bridge fdb add 02:00:00:00:0b:02 dev c1 master static
ipset create pods hash:net
ipset add pods 10.244.0.0/16
iptables -N SVC
iptables -A FORWARD -m set --match-set pods src -j SVC
iptables -A SVC -p tcp -m tcp --dport 80 -j ACCEPT
iptables -P FORWARD DROP
ip6tables -A INPUT -s fd00::/8 -j ACCEPT
sysctl -qw net.ipv4.ip_forward=1
`;

/** The same lists without `-j`. */
const TEXT = `
ip addr > ip-addr.txt
ip -d link > ip-link.txt
ip route show table all > ip-route.txt
ip -6 route show table all > ip-6-route.txt
ip rule > ip-rule.txt
ip -6 rule > ip-6-rule.txt
ip neigh > ip-neigh.txt
ip -6 neigh > ip-6-neigh.txt
bridge -d link > bridge-link.txt
bridge fdb > bridge-fdb.txt
`;

/** What of a plan must be the same whatever the form; rules carry the folder in their places. */
function told({ plan, uplink, warnings }: DumpNode) {
  const { tables: _, ...rest } = plan;
  return { ...rest, uplink, warnings: warnings.map((w) => w.message) };
}

function device(plan: Plan, name: string) {
  const found = plan.interfaces.find((i) => i.name === name);
  if (found === undefined) return null;
  const { kind, up, master, hairpin, addresses } = found;
  return { kind, up, master, hairpin, addresses: addresses.map(formatPrefix) };
}

t.test('a collected node reads back as it was built, in JSON and in text', { skip }, async (t) => {
  const name = `wt${process.pid}-dump`;
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-dump-'));
  spawnSync('ip', ['netns', 'add', name]);
  t.teardown(() => {
    spawnSync('ip', ['netns', 'del', name]);
    rmSync(folder, { recursive: true, force: true });
  });
  const inside = (script: string) => {
    const all = ['netns', 'exec', name, 'sh', '-c', `cd ${folder}\n${script}`];
    const { status, stderr } = spawnSync('ip', all, { encoding: 'utf8' });
    return status === 0 ? '' : stderr;
  };
  t.equal(inside(BUILD), '', 'the node is built');
  const cli = join(import.meta.dirname, '../../../src/cli/main.js');
  const collect = spawnSync(process.execPath, [cli, 'doctor', '--collect'], { encoding: 'utf8' });
  inside(collect.stdout);
  inside(`cp -r node-dump texts && cd texts && rm ip-*.json bridge-*.json${TEXT}`);
  const json = readDump('node-a', readDumpFolder(join(folder, 'node-dump')));
  const text = readDump('node-a', readDumpFolder(join(folder, 'texts')));
  t.strictSame(told(text), told(json), 'both forms say the same');
  const { plan } = json;
  t.ok(lower(plan), 'and a kernel would take it');
  t.equal(json.uplink, 'eth0');
  t.strictSame(
    json.warnings.filter((w) => !/conntrack/.test(w.message)),
    [],
    'nothing is assumed',
  );
  t.strictSame(device(plan, 'eth0'), {
    kind: 'veth',
    up: true,
    master: undefined,
    hairpin: undefined,
    addresses: ['10.1.0.4/16', 'fd00::4/64'],
  });
  t.match(device(plan, 'c1'), { kind: 'veth', master: 'br0', hairpin: true });
  t.match(device(plan, 'br0'), { kind: 'bridge', addresses: ['10.9.0.1/24'] });
  const routes = plan.routes.map(({ destination, via, table, type }) => {
    return [formatPrefix(destination), via ? formatAddress(via) : type, table].join(' ');
  });
  for (const route of [
    '0.0.0.0/0 10.1.0.1 254',
    '10.244.0.2/32 unicast 254',
    '10.8.0.0/16 blackhole 254',
    '10.7.0.0/16 10.1.0.9 100',
    'fd00:1::/64 fd00::9 254',
  ]) {
    t.ok(routes.includes(route), route);
  }
  t.match(
    plan.routingRules.find((rule) => rule.table === 100),
    {
      family: 4,
      fwmark: { value: 1, mask: 255 },
    },
  );
  t.match(
    plan.routingRules.find((rule) => rule.table === 200),
    { family: 6, iif: 'pod1' },
  );
  t.match(
    plan.neighbors.map(({ device: dev, mac }) => `${dev} ${mac}`),
    [/pod1 02:00:00:00:0a:02|br0 02:00:00:00:0b:02/],
  );
  t.match(
    plan.fdb.find(({ mac }) => mac === '02:00:00:00:0b:02'),
    { bridge: 'br0', port: 'c1', kind: 'static' },
  );
  t.equal(plan.ipsets[0]?.name, 'pods');
  const forward = plan.tables.find((one) => one.family === 4 && one.name === 'filter');
  t.equal(forward?.chains.find((chain) => chain.name === 'FORWARD')?.policy, 'DROP');
});
