/**
 * A real AKS node with kubenet and Calico: its filter table and routes as they were collected, and
 * what they let pass.
 *
 * Expected by hand from the rules named beside each row (Felix's own comments say what they are).
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { readDump } from '../../src/dump/read-dump.ts';
import { dumpWorld, files, lines, mistakes, PLAIN, send } from '../support/dumps.ts';
import { type PacketBuilder, rawIp, tcp, udp } from '../support/packets.ts';
import { sharedPath } from '../support/shared.ts';

const folder = sharedPath('data/clusters/aks-kubenet-calico-2023');
const skip = folder === null ? 'needs ../shared' : false;

/** The node's routes, as `route -n` printed them. */
function routes(): string {
  const text = readFileSync(`${folder}/node-facts.txt`, 'utf8');
  const table = /^## route -nv\n([^#]*)##/m.exec(text)?.[1] ?? '';
  return `Kernel IP routing table\n${table}`;
}

function world(rules: 'iptables-save.txt' | 'iptables-list-rules.txt') {
  const { 'iptables-save.txt': _, ...plain } = PLAIN;
  const texts = { [rules]: readFileSync(`${folder}/${rules}`, 'utf8'), 'route.txt': routes() };
  return dumpWorld([readDump('aks-nodepool1-vmss000000', files({ ...plain, ...texts }))]);
}

const AUTOSCALER = '10.244.0.8';
const CONTROLLERS = '10.244.0.4';
const VXLAN = 4789;
const IPIP = 4;

const ROWS: readonly (readonly [what: string, packet: PacketBuilder, from: string, end: string])[] =
  [
    [
      'a pod to another: both profiles accept',
      tcp().to(CONTROLLERS, 443).syn(),
      AUTOSCALER,
      'exited cali55f439ddb0e',
    ],
    ['a pod to the outside', tcp().to('203.0.113.1', 443).syn(), AUTOSCALER, 'exited outside'],
    [
      'the outside to a pod',
      tcp().to(AUTOSCALER, 80).syn(),
      '203.0.113.1',
      'exited cali26cecacb712',
    ],
    [
      'VXLAN out of a pod',
      udp().to('203.0.113.1', VXLAN),
      AUTOSCALER,
      'dropped ruleDenied cali-fw-cali26cecacb712',
    ],
    [
      'IP-in-IP out of a pod',
      rawIp(IPIP).to('203.0.113.1'),
      AUTOSCALER,
      'dropped ruleDenied cali-fw-cali26cecacb712',
    ],
    [
      'the wire server from a pod: below Calico’s chains',
      tcp().to('168.63.129.16', 80).syn(),
      AUTOSCALER,
      'dropped ruleDenied FORWARD',
    ],
    [
      'another port of the wire server',
      tcp().to('168.63.129.16', 32526).syn(),
      AUTOSCALER,
      'exited outside',
    ],
    [
      'a segment of no connection out of a pod',
      tcp().to(CONTROLLERS, 443).rst(),
      AUTOSCALER,
      'dropped ctInvalid cali-fw-cali26cecacb712',
    ],
  ];

for (const form of ['iptables-save.txt', 'iptables-list-rules.txt'] as const) {
  t.test(`${form} of a node with Calico decides as its rules say`, { skip }, async (t) => {
    for (const [what, packet, from, end] of ROWS) {
      const source = packet.from(from, 40000).packet();
      const { outcome, reason, decision, end: at } = send(world(form), source, from);
      const said = outcome === 'dropped' ? `${reason} ${decision?.rule?.chain}` : at.device;
      t.equal(`${outcome} ${said}`, end, what);
    }
  });
}

t.test('the two texts of one table are one table', { skip }, async (t) => {
  const plan = (name: 'iptables-save.txt' | 'iptables-list-rules.txt') =>
    world(name).network.nodes[0]?.tables.flatMap(({ chains }) =>
      chains
        .map((chain) => ({ name: chain.name, policy: chain.policy, rules: chain.rules.length }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    );
  t.strictSame(plan('iptables-list-rules.txt'), plan('iptables-save.txt'));
});

t.test('a list that stops in the middle of a rule names its line', { skip }, async (t) => {
  const text = lines('-P INPUT ACCEPT', '-N a', '-A INPUT -j');
  t.strictSame(mistakes(() => readDump('n', files({ 'rules.txt': text }))).length, 1);
  t.match(mistakes(() => readDump('n', files({ 'rules.txt': text })))[0], /^dump\/rules.txt:3 /);
});
