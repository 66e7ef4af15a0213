/**
 * P3 while plans change: policies are replaced under drawn traffic, connections go on, and both
 * engines say the same of every packet, with equal connections and counters.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { World } from '../../../src/lab/world.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../../support/clusters.ts';
import { DrawnTraffic } from '../../support/drawn-traffic.ts';
import { udp } from '../../support/packets.ts';
import { speakersOf } from '../../support/speakers.ts';
import { TwinEngine } from '../../support/twin-engine.ts';

t.setTimeout(600_000);

const PACKETS = Number(process.env['ENGINE_RENEWED'] ?? 3000);
const EPOCH = 250;
const SEED = 20_261_121;
const native = findNative();
const skip = native.addon === null ? native.reason : false;

/** Everybody may reach everybody in one; in the others, the shop's rules, and nobody anybody. */
const DENY_ALL = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
`;
const POLICIES = [SHOP_POLICIES, '', DENY_ALL];

for (const stack of ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico']) {
  t.test(`${stack}: policies change, and both engines go on alike`, { skip }, async (t) => {
    const worlds = POLICIES.map((text) => {
      const { cluster, policies } = parseInputs('shop.yaml', `${TWO_NODES_SHOP}---\n${text}`);
      return new World({ cluster, policies, stack: parseStack(stack) });
    });
    const [first] = worlds;
    if (first === undefined) throw new Error('there are worlds');
    let now = first;
    const twin = new TwinEngine(
      { ...first.topology, hosts: (name) => now.topology.hosts(name) },
      { seed: 1 },
    );
    const traffic = new DrawnTraffic(SEED, speakersOf(first, ['203.0.113.9']), { calm: true });
    const nodes = first.network.nodes.map(({ host }) => host);
    const outcomes = worlds.map(() => new Map<string, number>());
    for (let n = 0; n < PACKETS; n++) {
      const epoch = Math.floor(n / EPOCH) % worlds.length;
      if (n % EPOCH === 0) {
        twin.compareState();
        now = worlds[epoch] ?? first;
        twin.reference.renew(nodes);
        twin.compiled.renew(nodes);
      }
      const { outcome } = twin.inject(traffic.next());
      const seen = outcomes[epoch];
      seen?.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    twin.compareState();
    const delivered = outcomes.map((seen) => seen.get('delivered') ?? 0);
    const [rules = 0, open = 0, closed = 0] = delivered;
    t.ok(closed < open && rules < open, `delivered under each: ${delivered}`);
    const { moved } = twin.compiled.statistics();
    t.ok(moved > PACKETS / 10, `${moved} were moved by native code`);
  });
}

t.test(
  'a connection outlives the policy that let it in; a new one does not',
  { skip },
  async (t) => {
    const worldOf = (text: string) => {
      const { cluster, policies } = parseInputs('shop.yaml', `${TWO_NODES_SHOP}---\n${text}`);
      return new World({ cluster, policies, stack: parseStack('azure-bridge+npm') });
    };
    const [open, closed] = [worldOf(''), worldOf(DENY_ALL)];
    let now = open;
    const topology = { ...open.topology, hosts: (name: string) => now.topology.hosts(name) };
    const twin = new TwinEngine(topology, { seed: 1 });
    const [client, web] = [
      { host: 'other/client', ip: '10.240.0.7' },
      { host: 'shop/web', ip: '10.240.0.5' },
    ];
    const ask = udp().to(web.ip, 53).payload('x');
    const send = (from: { readonly host: string }, packet: Uint8Array, nowNs: number) =>
      twin.inject({ as: 'local', host: from.host, frame: 1, packet, nowNs }).outcome;
    t.equal(send(client, ask.from(client.ip, 4000).packet(), 1e9), 'delivered');
    const answer = udp().from(web.ip, 53).to(client.ip, 4000).payload('y').packet();
    t.equal(send(web, answer, 2e9), 'delivered');
    now = closed;
    for (const engine of [twin.reference, twin.compiled]) engine.renew(['node-a']);
    t.equal(send(client, ask.from(client.ip, 4000).packet(), 3e9), 'delivered', 'of the open one');
    t.equal(send(client, ask.from(client.ip, 4001).packet(), 4e9), 'dropped', 'of a new one');
    t.equal(send(web, answer, 5e9), 'delivered', 'the other way');
  },
);
