/**
 * P3 where openings hang on draws: connections to Services' addresses, opened over and over from few
 * ports, so that names are taken, free again, and met in other orders; refused by policies behind
 * the translation; with hosts renewed in between. Both engines alike on each packet, with the same
 * connections and counters.
 *
 * `ENGINE_OPENINGS` (packets of each stack) and `ENGINE_SEED` roam.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { endsOf } from '../../../src/engine/compiled/decision/outcome-of.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import type { Journey } from '../../../src/engine/engine.ts';
import { buildPacket } from '../../../src/lab/bench/segment.ts';
import { World } from '../../../src/lab/world.ts';
import { lower } from '../../../src/lowering/link.ts';
import { parseIptables } from '../../../src/plan/rule/iptables-text.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import { TcpFlag } from '../../../src/wire/header/tcp.ts';
import { Dice, type Speaker } from '../../support/drawn-traffic.ts';
import { address, udp } from '../../support/packets.ts';
import { SERVICES_SHOP } from '../../support/services-shop.ts';
import { speakersOf } from '../../support/speakers.ts';
import { TwinEngine, twins } from '../../support/twin-engine.ts';
import { routerPlan } from '../../support/walks.ts';

t.setTimeout(3_600_000);

const PACKETS = Number(process.env['ENGINE_OPENINGS'] ?? 4000);
const SEED = Number(process.env['ENGINE_SEED'] ?? 20_261_121);
const native = findNative();
const skip = native.addon === null ? native.reason : false;
const ROUND = 997;
const PORTS = 24;
const FRONTS = ['10.0.0.10', '10.0.0.11', '10.0.0.20', '10.0.0.21', 'fd00:10::10'];
const JUMPS_NS = [31e9, 121e9, 200e9];

const STACKS = [
  'azure-transparent+none',
  'azure-bridge+npm,force=true',
  'azure-transparent+calico,force=true',
  'kubenet+calico,force=true',
  'azure-transparent+none,kube-proxy=nftables',
];

/** One end of a packet, and the other. */
interface Way {
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
  readonly isTcp: boolean;
}

class Openings {
  readonly #dice: Dice;
  readonly #speakers: ReadonlyMap<string, Speaker>;
  readonly #clients: readonly Speaker[];
  /** The answers that openings can be given, and what the client says then. */
  readonly #open: { readonly there: Way; readonly back: Way }[] = [];
  #nowNs = 1e15;
  #frame = 0;

  constructor(seed: number, speakers: readonly Speaker[]) {
    this.#dice = new Dice(seed);
    this.#speakers = new Map(speakers.map((s) => [s.address, s]));
    this.#clients = speakers.filter(({ address }) => !FRONTS.includes(address));
  }

  send(twin: TwinEngine): void {
    const dice = this.#dice;
    this.#nowNs += 1e6;
    if (dice.oneIn(80)) this.#nowNs += dice.pick(JUMPS_NS);
    if (this.#open.length > 0 && dice.below(10) < 4) {
      const { there, back } = dice.pick(this.#open);
      const isBack = dice.oneIn(2);
      const flags = isBack ? TcpFlag.syn | TcpFlag.ack : TcpFlag.ack;
      this.#inject(twin, isBack ? back : there, flags);
      return;
    }
    const way = this.#opening();
    const journey = this.#inject(twin, way, TcpFlag.syn);
    if (journey.packet === null || journey.outcome !== 'delivered') return;
    const { src, dst, sport, dport } = endsOf(journey.packet);
    const ends = { src: formatAddress(dst), dst: formatAddress(src), sport: dport, dport: sport };
    this.#open.push({ there: way, back: { ...ends, isTcp: way.isTcp } });
    if (this.#open.length > 40) this.#open.shift();
  }

  #opening(): Way {
    const dice = this.#dice;
    const { address: src } = dice.pick(this.#clients);
    const isV6 = src.includes(':');
    const fronts = FRONTS.filter((front) => front.includes(':') === isV6);
    const pods = this.#clients.filter(({ address }) => address.includes(':') === isV6);
    const isDirect = dice.oneIn(6);
    const dst = isDirect ? dice.pick(pods).address : dice.pick(fronts);
    const sport = 20_000 + dice.below(PORTS);
    return { src, dst, sport, dport: isDirect ? 8080 : 80, isTcp: dice.oneIn(2) };
  }

  #inject(twin: TwinEngine, { src, dst, sport, dport, isTcp }: Way, flags: number): Journey {
    const speaker = this.#speakers.get(src);
    if (speaker === undefined) throw new RangeError(`nobody has ${src}`);
    this.#frame += 1;
    const size = this.#dice.below(40);
    const isOpening = flags === TcpFlag.syn;
    const numbers = isOpening ? { seq: 1000, ack: 0 } : { seq: 1001, ack: 1001 };
    const rest = { ...numbers, flags, size: isTcp && isOpening ? 0 : size };
    const packet = buildPacket(address(src), address(dst), { sport, dport, isTcp, ...rest });
    return twin.inject({ ...speaker.enter(packet), frame: this.#frame, nowNs: this.#nowNs });
  }
}

t.test('what an opening becomes is kept once, however often it is walked', { skip }, async (t) => {
  const { world, twin } = shopOn('azure-transparent+none');
  const [speaker] = speakersOf(world, []).filter(({ address }) => address === '10.240.0.11');
  if (speaker === undefined) throw new Error('a pod of the shop');
  const at = { nowNs: 1e15, frame: 0 };
  const SERVICE = '10.0.0.11';
  const open = (sport: number, dst: string, dport: number) => {
    at.frame += 1;
    const said = { sport, dport, isTcp: true, seq: 9, ack: 0, flags: TcpFlag.syn, size: 0 };
    const packet = buildPacket(address('10.240.0.11'), address(dst), said);
    const { outcome } = twin.inject({ ...speaker.enter(packet), ...at });
    t.equal(outcome, 'delivered');
  };
  // Nodes learn their neighbours from the first; the next is remembered, and so moves the third.
  for (let sport = 19_990; sport < 19_993; sport++) open(sport, SERVICE, 80);
  t.equal(twin.compiled.statistics().specialOpenings, 1);
  const kept: number[] = [];
  for (let sport = 20_000; sport < 20_010; sport++) {
    // Has the name that the next one is given: it is over by then, but nobody has looked.
    open(sport, '10.240.0.41', 8080);
    at.nowNs += 200e9;
    open(sport, SERVICE, 80);
    kept.push(twin.compiled.statistics().decisions);
  }
  t.equal(twin.compiled.statistics().specialOpenings, 1, 'the others are walked');
  t.equal(new Set(kept).size, 1, `decisions: ${kept.join(' ')}`);
});

const DRAWN_TWICE = `*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 10.9.9.9/32 -p udp -m udp --dport 80 -j DNAT --to-destination 10.2.0.5:8080
COMMIT
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -m statistic --mode random --probability 0.50000000000 -j DROP
COMMIT
`;

t.test('what is drawn behind a translation is drawn for each packet', { skip }, async (t) => {
  const builder = routerPlan();
  builder.sysctls['net.ipv4.ip_forward'] = '1';
  const image = lower({ ...builder.build(), tables: parseIptables(DRAWN_TWICE, 'test', 4) });
  const edges = ['eth0', 'eth1'].map((device) => ({ host: 'router', device }));
  const hosts = (name: string) => (name === 'router' ? image : undefined);
  const twin = new TwinEngine({ hosts, links: [], edges, answered: ['router'] });
  const outcomes = Array.from({ length: 200 }, (_, frame) => {
    const packet = udp()
      .from('10.1.0.7', 20_000 + frame)
      .to('10.9.9.9', 80)
      .packet();
    const at = { frame, nowNs: 1e15 + frame * 1e6, host: 'router', device: 'eth0' };
    return twin.inject({ as: 'received', ...at, packet }).outcome;
  });
  const dropped = outcomes.filter((outcome) => outcome === 'dropped').length;
  t.ok(dropped > 60 && dropped < 140, `${dropped} of 200 are dropped`);
});

/** The shop on a stack, through both engines. */
function shopOn(stack: string) {
  const made: TwinEngine[] = [];
  const { cluster, policies } = parseInputs('shop.yaml', SERVICES_SHOP);
  const makeEngine = twins((twin) => made.push(twin));
  const world = new World({ cluster, policies, stack: parseStack(stack), makeEngine });
  const [twin] = made;
  if (twin === undefined) throw new Error('a world has an engine');
  return { world, twin };
}

for (const [i, stack] of STACKS.entries()) {
  t.test(`openings that draw on ${stack}: both engines alike`, { skip }, async (t) => {
    const { world, twin } = shopOn(stack);
    const openings = new Openings(new Dice(SEED + i).next(), speakersOf(world, FRONTS));
    for (let n = 1; n <= PACKETS; n++) {
      openings.send(twin);
      if (n % ROUND === 0) twin.compareState();
      if (n % (2 * ROUND) !== 0) continue;
      const [node] = world.cluster.nodes;
      for (const engine of [twin.reference, twin.compiled]) engine.renew([node?.name ?? '']);
    }
    twin.compareState();
    const { specialOpenings, translatedOpenings, slow } = twin.compiled.statistics();
    t.comment(JSON.stringify({ specialOpenings, translatedOpenings, slow }));
    // Rules of nft are left to the walk.
    const least = stack.includes('nftables') ? 0 : PACKETS / 40;
    t.ok(specialOpenings >= least, `${specialOpenings} openings without a walk`);
  });
}
