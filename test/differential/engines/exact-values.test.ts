/**
 * P3 where an address decides by itself and no class can stand for it: neighbours that no plan
 * lists, each with a MAC of its own, groups whose MAC is made of their address, and masks with
 * holes.
 * @module
 */
import t from 'tap';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { lower } from '../../../src/lowering/link.ts';
import { Dice } from '../../support/drawn-traffic.ts';
import { address, udp } from '../../support/packets.ts';
import { TwinEngine } from '../../support/twin-engine.ts';
import { prefix, routerPlan } from '../../support/walks.ts';

const native = findNative();
const skip = native.addon === null ? native.reason : false;
const PACKETS = 1500;

/** A router whose neighbours all answer, and that drops sources whose third byte is odd. */
function twinOfRouter(): TwinEngine {
  const builder = routerPlan();
  builder.sysctls['net.ipv4.ip_forward'] = '1';
  builder.sysctls['net.ipv6.conf.all.forwarding'] = '1';
  const holes = { ...prefix('0.0.1.0/32'), mask: address('0.0.1.0') };
  const source = { value: holes, negate: false };
  builder.append(4, 'filter', 'FORWARD', { ip: { source }, target: { kind: 'drop' } });
  const image = lower(builder.build());
  const edges = ['eth0', 'eth1'].map((device) => ({ host: 'router', device }));
  const hosts = (name: string) => (name === 'router' ? image : undefined);
  return new TwinEngine({ hosts, links: [], edges, answered: ['router'] });
}

const KINDS: readonly (readonly [string, (dice: Dice) => readonly [string, string]])[] = [
  [
    'neighbours that nobody lists',
    (dice) => [`10.1.0.${2 + dice.below(200)}`, `10.2.0.${2 + dice.below(200)}`],
  ],
  [
    'IPv6 neighbours that nobody lists',
    (dice) => [`2001:db8:1::${2 + dice.below(90)}`, `2001:db8:2::${2 + dice.below(90)}`],
  ],
  ['groups', (dice) => [`10.1.0.${2 + dice.below(9)}`, `239.1.${dice.below(9)}.${dice.below(9)}`]],
  [
    'masks with holes',
    (dice) => [`10.1.${dice.below(2)}.${2 + dice.below(9)}`, `10.2.0.${2 + dice.below(2)}`],
  ],
];

for (const [name, draw] of KINDS) {
  t.test(`${name}: both engines alike`, { skip }, async (t) => {
    const twin = twinOfRouter();
    const dice = new Dice(1);
    for (let frame = 1; frame <= PACKETS; frame++) {
      const [src, dst] = draw(dice);
      const packet = udp()
        .from(src, 1024 + dice.below(9))
        .to(dst, 53)
        .packet();
      const at = { frame, nowNs: 1e15 + frame * 1e6, host: 'router', device: 'eth0' };
      twin.inject({ as: 'received', ...at, packet });
    }
    twin.compareState();
    const { moved, slow, decisions } = twin.compiled.statistics();
    // Journeys to groups that nobody joined are unknown, and never kept.
    t.ok(
      moved > 0 || name === 'groups',
      `${moved} moved, ${decisions} decisions, ${JSON.stringify(slow)}`,
    );
  });
}
