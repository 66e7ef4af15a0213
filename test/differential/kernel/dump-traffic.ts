/**
 * Packets for a rule set: each is made for one of its rules, so that it has what that rule and the
 * jumps on the way to it ask for; then answers to what came out, errors about it, and repetitions.
 * @module
 */
import type { SetMember } from '../../../src/netfilter/ip-set.ts';
import type { Match, PortRange } from '../../../src/netfilter/match.ts';
import type { Rule, Table } from '../../../src/netfilter/rule.ts';
import type { Plan } from '../../../src/plan/model.ts';
import {
  type Address,
  addToAddress,
  bits,
  type Family,
  formatAddress,
  ipv4,
  ipv6,
  maskAddress,
  type Prefix,
} from '../../../src/wire/address/address.ts';
import * as ethernet from '../../../src/wire/header/ethernet.ts';
import { TcpFlag } from '../../../src/wire/header/tcp.ts';
import { Protocol } from '../../../src/wire/protocol.ts';
import {
  icmpError,
  icmpMessage,
  type PacketBuilder,
  parsed,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../support/packets.ts';
import { deviceName, isSpecial, macOf, routerMac } from './dump-host.ts';
import type { Out } from './harness/ask-engine.ts';
import { answerTo } from './harness/draw/answer.ts';
import type { Shot } from './harness/trial.ts';
import type { Draw } from './rule-space.ts';

/** What a packet must have to meet a rule. */
interface Wanted {
  src?: Address;
  dst?: Address;
  protocol?: number;
  inDevice?: string;
  sport?: number;
  dport?: number;
  mac?: string;
  icmp?: { readonly type: number; readonly code: number };
  flags?: number;
  ttl?: number;
}

type FrameShot = Extract<Shot, { kind: 'frame' }>;

/** A rule, and the jumps that lead to it from a built-in chain. */
interface Way {
  readonly hook: string;
  readonly rules: readonly Rule[];
}

const REMEMBERED = 8;

export class DumpTraffic {
  readonly #draw: Draw;
  readonly #plan: Plan;
  readonly #family: Family;
  readonly #devices: readonly string[];
  readonly #own: readonly Address[];
  readonly #ways: readonly (() => Way)[];
  readonly #outs: Out[] = [];
  #last: FrameShot | null = null;
  #id = 0;

  constructor(draw: Draw, plan: Plan, family: Family) {
    this.#draw = draw;
    this.#plan = plan;
    this.#family = family;
    const devices = plan.interfaces.filter(({ kind }) => kind !== 'loopback');
    this.#devices = devices.map(({ name }) => name);
    this.#own = devices
      .flatMap(({ addresses }) => addresses.map(({ address }) => address))
      .filter((address) => address.family === family);
    this.#ways = plan.tables.flatMap((table) => waysOf(draw, table));
  }

  heard(outs: readonly Out[]): void {
    this.#outs.push(...outs.filter(({ frame }) => isIp(frame)));
    while (this.#outs.length > REMEMBERED) this.#outs.shift();
  }

  next(): FrameShot {
    const shot = this.#drawn();
    this.#last = shot;
    return shot;
  }

  #drawn(): FrameShot {
    const draw = this.#draw;
    const roll = draw.below(100);
    const out = this.#outs.length === 0 ? null : draw.of(this.#outs);
    if (out !== null && roll < 30) return shotOf(out.device, answerTo(draw, out));
    if (out !== null && roll < 34) return shotOf(out.device, errorAbout(out));
    if (this.#last !== null && roll < 40) return this.#last;
    return this.#fresh();
  }

  #fresh(): FrameShot {
    const draw = this.#draw;
    const wanted: Wanted = {};
    const way = this.#ways.length === 0 ? { hook: '', rules: [] } : draw.of(this.#ways)();
    for (const rule of way.rules) this.#want(wanted, rule);
    if (way.hook === 'INPUT' && !(wanted.dst && draw.chance(50))) wanted.dst = draw.of(this.#own);
    const src = usable(wanted.src) ?? this.#somewhere();
    const dst = usable(wanted.dst) ?? (draw.chance(25) ? draw.of(this.#own) : this.#somewhere());
    const device = wanted.inDevice ?? this.#deviceOf(src);
    const index = Math.max(0, this.#devices.indexOf(device));
    const srcMac = wanted.mac ?? routerMac(index);
    const builder = this.#packet(wanted).from(formatAddress(src)).to(formatAddress(dst));
    const ports = hasPorts(wanted.protocol)
      ? builder
          .from(formatAddress(src), wanted.sport ?? draw.of([40_000, 40_001, 1024, 53, 67]))
          .to(formatAddress(dst), wanted.dport ?? draw.of([80, 22, 53, 443, 8080, 30_000]))
      : builder;
    this.#id += 1;
    const dressed = ports
      .id(this.#id)
      .ttl(wanted.ttl ?? 64)
      .dontFragment(draw.chance(60));
    return shotOf(this.#devices[index] ?? device, dressed.frame({ srcMac, dstMac: macOf(index) }));
  }

  /** Where the plan's routes would send an answer: so reverse path tests find it right, mostly. */
  #deviceOf(src: Address): string {
    if (this.#draw.chance(15)) return this.#draw.of(this.#devices);
    const found = this.#plan.routes
      .filter((r) => r.family === src.family && r.device !== undefined)
      .filter(({ destination: d }) => within(d, src))
      .toSorted((a, b) => b.destination.length - a.destination.length);
    return found[0]?.device ?? this.#devices[0] ?? 'eth0';
  }

  #somewhere(): Address {
    const n = this.#draw.below(4);
    const host = this.#draw.below(4) + 2;
    if (this.#family === 6) return ipv6(0x20010db8, n, 0, host);
    return ipv4(([0x0a010000, 0xac100200, 0xc0a80000, 0x08080800][n] ?? 0) + host);
  }

  #packet(wanted: Wanted): PacketBuilder {
    const draw = this.#draw;
    const icmp = this.#family === 4 ? Protocol.icmp : Protocol.icmpv6;
    const { tcp: six, udp: seventeen } = Protocol;
    const protocol = wanted.protocol ?? draw.of([six, six, six, seventeen, seventeen, icmp]);
    wanted.protocol = protocol;
    switch (protocol) {
      case six: {
        const flags =
          wanted.flags ?? (draw.chance(80) ? TcpFlag.syn : draw.of([0x10, 0x12, 4, 1, 0]));
        return tcp().flags(flags).seq(1000);
      }
      case seventeen:
        return udp().payload(draw.of([0, 9, 40]));
      case Protocol.sctp:
        return sctp().tag(0).chunks(sctpInit(7));
      case icmp: {
        const echo = { type: this.#family === 4 ? 8 : 128, code: 0 };
        const { type, code } = wanted.icmp ?? echo;
        // Neighbour discovery is not for routers to pass on.
        if (type >= 133 && type <= 137) return icmpMessage(128, 0, 65_537).payload(8);
        return icmpMessage(type, code, 65_536 * draw.below(3) + 1).payload(draw.of([8, 20]));
      }
      default:
        return rawIp(protocol === 0 ? 99 : protocol).payload(12);
    }
  }

  /** Add what a rule asks for; of contradictions the later rule's wish counts. */
  #want(wanted: Wanted, { ip, matches }: Rule): void {
    const draw = this.#draw;
    const { source, destination, protocol, inInterface } = ip;
    if (source && !source.negate) wanted.src = this.#within(source.value);
    if (destination && !destination.negate) wanted.dst = this.#within(destination.value);
    if (protocol && !protocol.negate) wanted.protocol = protocol.value;
    if (inInterface && !inInterface.negate && inInterface.value !== 'lo') {
      const name = deviceName(inInterface.value);
      if (this.#devices.includes(name)) wanted.inDevice = name;
    }
    for (const match of matches) if (draw.chance(92)) this.#wantMatch(wanted, match);
  }

  #wantMatch(wanted: Wanted, match: Match): void {
    const draw = this.#draw;
    const portOf = ({ low, high }: PortRange) =>
      draw.of([low, high, low + draw.below(high - low + 1)]);
    switch (match.kind) {
      case 'tcp':
      case 'udp':
        if (match.kind === 'tcp' && match.flags?.negate === false) {
          wanted.flags = match.flags.value.set;
        }
        if (match.sport && !match.sport.negate) wanted.sport = portOf(match.sport.value);
        if (match.dport && !match.dport.negate) wanted.dport = portOf(match.dport.value);
        return;
      case 'multiport':
        if (match.negate) return;
        if (match.which === 'sports') wanted.sport = portOf(draw.of(match.ports));
        else wanted.dport = portOf(draw.of(match.ports));
        return;
      case 'icmp':
      case 'icmp6': {
        const { type, codes } = match.type.value;
        if (!match.type.negate && type < 255) wanted.icmp = { type, code: codes.low };
        return;
      }
      case 'mac':
        if (!match.negate && /^[0-9a-f:]{17}$/.test(match.address)) wanted.mac = match.address;
        return;
      case 'iprange':
        if (match.source && !match.source.negate) wanted.src = match.source.value.low;
        if (match.destination && !match.destination.negate)
          wanted.dst = match.destination.value.high;
        return;
      case 'addrtype':
        if (match.destination?.value.includes('LOCAL')) wanted.dst = draw.of(this.#own);
        return;
      case 'ttl':
        wanted.ttl = Math.min(255, Math.max(1, match.value + draw.below(3) - 1));
        return;
      case 'set':
        this.#wantMember(wanted, match);
        return;
      default:
        return;
    }
  }

  #wantMember(wanted: Wanted, match: Extract<Match, { kind: 'set' }>): void {
    const set = this.#plan.ipsets.find(({ name }) => name === match.set);
    if (set === undefined || set.members.length === 0) return;
    const member: SetMember = this.#draw.of(set.members);
    if (member.kind === 'set') {
      this.#wantMember(wanted, { ...match, set: member.set });
      return;
    }
    if (member.kind === 'port') {
      if (match.directions[0] === 'src') wanted.sport = member.port;
      else wanted.dport = member.port;
      return;
    }
    const address = 'net' in member ? this.#within(member.net) : member.address;
    if (address.family !== this.#family) return;
    if (match.directions[0] === 'src') wanted.src = address;
    else wanted.dst = address;
    if (!('protocol' in member)) return;
    wanted.protocol = member.protocol;
    if (match.directions[1] === 'src') wanted.sport = member.port;
    else wanted.dport = member.port;
  }

  #within(net: Prefix): Address {
    const width = Math.min(31, bits(net.address.family) - net.length);
    const base = maskAddress(net.address, net.length);
    const size = 2 ** width;
    const at = this.#draw.of([0, 1, size - 1, this.#draw.below(size)]);
    return addToAddress(base, Math.min(size - 1, at));
  }
}

/** For each rule of a table's input side: one of the ways that lead to it. */
function waysOf(draw: Draw, table: Table): readonly (() => Way)[] {
  const callers = new Map<string, { readonly rule: Rule; readonly chain: string }[]>();
  for (const chain of table.chains) {
    for (const rule of chain.rules) {
      if (rule.target.kind !== 'jump' && rule.target.kind !== 'goto') continue;
      const known = callers.get(rule.target.chain) ?? [];
      callers.set(rule.target.chain, [...known, { rule, chain: chain.name }]);
    }
  }
  const builtin = new Set(table.chains.flatMap(({ name, policy }) => (policy ? [name] : [])));
  const wayTo = (chain: string, rule: Rule): Way => {
    const rules = [rule];
    let at = chain;
    for (let i = 0; i < 32 && !builtin.has(at); i++) {
      const from = callers.get(at) ?? [];
      if (from.length === 0) break;
      const caller = draw.of(from);
      rules.unshift(caller.rule);
      at = caller.chain;
    }
    return { hook: at, rules };
  };
  return table.chains.flatMap((chain) => chain.rules.map((rule) => () => wayTo(chain.name, rule)));
}

function within({ address, length }: Prefix, a: Address): boolean {
  return formatAddress(maskAddress(a, length)) === formatAddress(maskAddress(address, length));
}

/** Not what nobody sends, and not what goes to many. */
function usable(address: Address | undefined): Address | undefined {
  return address === undefined || isSpecial(address) ? undefined : address;
}

function hasPorts(protocol: number | undefined): boolean {
  return protocol === Protocol.tcp || protocol === Protocol.udp || protocol === Protocol.sctp;
}

function shotOf(device: string, frame: Uint8Array): FrameShot {
  return { kind: 'frame', device, frame };
}

function isIp(frame: Uint8Array): boolean {
  const type = ethernet.etherType(frame);
  return (type === 0x0800 || type === 0x86dd) && (frame[0]! & 1) === 0;
}

/** The router that the packet went to says that nobody is there. */
function errorAbout({ frame }: Out): Uint8Array {
  const macs = { srcMac: ethernet.destination(frame), dstMac: ethernet.source(frame) };
  const { src, dst } = parsed(frame.slice());
  const error = icmpError(frame.slice(ethernet.payloadOffset(frame)));
  return error.from(formatAddress(dst)).to(formatAddress(src)).frame(macs);
}
