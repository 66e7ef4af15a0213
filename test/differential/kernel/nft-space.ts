/**
 * Random rulesets of nft over the whole vocabulary, and packets for them, from a seed.
 *
 * Rulesets are drawn as text, so that the reader is tried as well. Every rule counts, behind all that
 * it asks: what it counted is whether it held.
 * @module
 */

import { setU8, setU16 } from '../../../src/wire/bytes.ts';
import {
  icmpMessage,
  type PacketBuilder,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../support/packets.ts';
import type { Shot } from './harness/trial.ts';
import { ROUTER_MAC } from './router.ts';
import type { Draw } from './rule-space.ts';
import { ROUTER_OUT_MAC } from './stateful-lab.ts';

type Family = 'ip' | 'ip6' | 'inet';
type Net = 'ip' | 'ip6';

/** Addresses that rules speak of, by family, and whether rules translate. */
export interface NftWorld {
  readonly near: { readonly ip: readonly string[]; readonly ip6: readonly string[] };
  readonly far: { readonly ip: readonly string[]; readonly ip6: readonly string[] };
  readonly own: { readonly ip: readonly string[]; readonly ip6: readonly string[] };
  readonly nets: { readonly ip: readonly string[]; readonly ip6: readonly string[] };
  /** Two of the host's devices; rules by index need them to be there. */
  readonly devices: readonly [string, string];
  readonly translates: boolean;
}

/** The two sides of the bare router. */
const ROUTER: NftWorld = {
  near: { ip: ['10.1.0.2', '10.1.0.3'], ip6: ['2001:db8:1::2', '2001:db8:1::3'] },
  far: { ip: ['10.2.0.2', '10.2.0.3'], ip6: ['2001:db8:2::2', '2001:db8:2::3'] },
  own: { ip: ['10.1.0.1', '10.2.0.1'], ip6: ['2001:db8:1::1', '2001:db8:2::1'] },
  nets: {
    ip: ['10.1.0.0/24', '10.0.0.0/8', '10.2.0.2/31', '0.0.0.0/0', '10.1.0.2-10.1.0.9'],
    ip6: ['2001:db8:1::/64', '2001:db8::/32', '2001:db8:2::2/127', '2001:db8:1::2-2001:db8:1::9'],
  },
  devices: ['eth0', 'eth1'],
  translates: true,
};

const PORTS = ['53', '80', '443', '1000-2000', '22', '5000'];
const PORT_NUMBERS = [53, 80, 443, 1500, 22, 5000];

export interface NftCase {
  readonly text: string;
  readonly tracked: boolean;
}

/** Draws one ruleset. */
export class RulesetDraw {
  readonly #draw: Draw;
  readonly #world: NftWorld;
  readonly #tracked: boolean;
  /** What is deleted takes room until the kernel sweeps: either deletes, or a set that fills up. */
  readonly #deletes: boolean;
  #sets: string[] = [];
  #names = 0;

  constructor(draw: Draw, world = ROUTER) {
    this.#draw = draw;
    this.#world = world;
    this.#tracked = draw.chance(60);
    this.#deletes = draw.chance(50);
  }

  draw(): NftCase {
    const tables = Array.from({ length: 1 + this.#draw.below(3) }, (_, i) => this.#table(i));
    return { text: tables.join(''), tracked: this.#tracked };
  }

  #table(index: number): string {
    const d = this.#draw;
    const family: Family = d.of(['ip', 'ip', 'ip6', 'inet', 'inet']);
    this.#sets = [];
    const net = (): Net => (family === 'inet' ? d.of(['ip', 'ip6']) : family);
    const chains: string[] = [];
    const users = ['u0', 'u1', 'u2'].slice(0, d.below(4));
    const hooks = ['prerouting', 'input', 'forward', 'forward', 'output', 'postrouting'];
    for (let i = 0; i <= d.below(4); i++) {
      const hook = d.of(hooks);
      const priority = d.of([
        'raw',
        'mangle',
        'filter',
        'filter',
        'security',
        '-110',
        'mangle - 5',
      ]);
      const policy = d.chance(6) ? 'drop' : 'accept';
      const rules = [...silence(family, hook), ...this.#rules(family, net, hook, users, 6)];
      chains.push(
        chain(`b${i}`, `type filter hook ${hook} priority ${priority}; policy ${policy};`, rules),
      );
    }
    if (this.#world.translates && this.#tracked && d.chance(60))
      chains.push(...this.#nat(family, net));
    for (const [i, name] of users.entries()) {
      chains.push(chain(name, null, this.#rules(family, net, null, users.slice(0, i), 4)));
    }
    // Chains must be there before rules lead to them: text in order of need is nft's own business.
    const objects = '\tcounter named {\n\t\tpackets 0 bytes 0\n\t}\n';
    return `table ${family} t${index} {\n${objects}${this.#sets.join('')}${chains.join('')}}\n`;
  }

  #rules(
    family: Family,
    net: () => Net,
    hook: string | null,
    users: readonly string[],
    most: number,
  ): string[] {
    const d = this.#draw;
    return Array.from({ length: 1 + d.below(most) }, () => {
      const own = net();
      const drawn = Array.from({ length: d.below(4) }, () => this.#match(own, family, hook));
      const parts = d.chance(97) ? ofOneProtocol(drawn) : drawn;
      if (d.chance(12)) parts.push(this.#effect(own, hook, family));
      if (d.chance(8) && users.length > 0)
        return `${parts.join(' ')} counter ${this.#vmap(own, users)}`;
      const end = d.chance(55) ? '' : this.#verdict(users, hook, family);
      return `${parts.join(' ')} counter ${end}`;
    });
  }

  #verdict(users: readonly string[], hook: string | null, family: Family): string {
    const d = this.#draw;
    const roll = d.below(100);
    if (roll < 45 && users.length > 0) return `${d.of(['jump', 'jump', 'goto'])} ${d.of(users)}`;
    if (roll < 65) return d.of(['accept', 'return', 'continue']);
    if (roll < 75) return 'counter name "named"';
    if (roll < 85 && hook !== null && ['input', 'forward', 'output'].includes(hook)) {
      return d.of([
        'reject',
        'reject with tcp reset',
        family === 'inet' ? 'reject with icmpx admin-prohibited' : 'reject',
      ]);
    }
    return roll < 92 ? 'drop' : 'accept';
  }

  #match(net: Net, family: Family, hook: string | null): string {
    const d = this.#draw;
    const not = d.chance(20) ? '!= ' : '';
    // What the kernel sends by itself has numbers and labels that it drew.
    const isArriving = hook === 'prerouting' || hook === 'forward';
    const kinds = [
      () => `${net} ${d.of(['saddr', 'daddr'])} ${not}${this.#address(net)}`,
      () => `${net} ${d.of(['saddr', 'daddr'])} ${not}@${this.#addressSet(net)}`,
      () =>
        `meta l4proto ${not}${d.of(['tcp', 'udp', '{ tcp, udp }', 'sctp', net === 'ip' ? 'icmp' : 'ipv6-icmp'])}`,
      () => `${d.of(['tcp', 'udp'])} ${d.of(['sport', 'dport'])} ${not}${d.of(PORTS)}`,
      () => `${d.of(['tcp', 'udp', 'sctp', 'th'])} dport ${not}{ ${this.#some(PORTS).join(', ')} }`,
      () => `th ${d.of(['sport', 'dport'])} ${d.of(['<', '>', '<=', '>='])} ${d.of(PORT_NUMBERS)}`,
      () =>
        `tcp flags ${d.of(['syn', '! syn', '== syn', '!= syn', 'syn,ack / syn,ack,rst', '{ syn, ack, syn | ack }', '& (syn | fin) == syn'])}`,
      () => this.#concat(net),
      () => `meta length ${d.of(['<', '>', '==', '!='])} ${d.of([48, 60, 68, 100])}`,
      () =>
        net === 'ip'
          ? `ip ttl ${d.of(['< 20', '20', '> 19', '{ 18, 19, 20 }'])}`
          : `ip6 hoplimit ${d.of(['< 20', '20', '{ 18, 20 }'])}`,
      () => `${net} dscp ${not}${d.of(['cs0', 'ef', 'cs2', '{ cs0, cs2 }'])}`,
      () =>
        net === 'ip'
          ? `icmp type ${not}${d.of(['echo-request', '{ echo-request, echo-reply }'])}`
          : `icmpv6 type ${not}${d.of(['echo-request', '{ echo-request, packet-too-big }'])}`,
      () =>
        net === 'ip'
          ? d.of([
              'ip protocol tcp',
              'ip protocol != udp',
              'ip frag-off & 0x1fff != 0',
              'ip hdrlength 5',
              'ip version 4',
              ...(isArriving ? ['ip id & 1 == 1'] : []),
            ])
          : d.of([
              'ip6 nexthdr tcp',
              'ip6 nexthdr != udp',
              'ip6 version 6',
              ...(isArriving ? ['ip6 flowlabel & 1 == 0'] : []),
            ]),
      () =>
        d.of([
          '@th,16,16 & 0xff == 0x50',
          '@th,0,8 0x0',
          '@nh,8,8 & 0x10 == 0x10',
          '@th,24,24 & 0xff00 == 0x0',
        ]),
      () =>
        `meta mark ${d.of(['0x1', '!= 0x1', '& 0x3 == 0x1', '& 0x2 != 0x0', '{ 0x0, 0x2 }', '0-3'])}`,
      () => `iifname ${not}${d.of(['"eth0"', '"eth*"', '{ "eth0", "wg*" }'])}`,
      () =>
        `oifname ${not}${d.of(['"eth1"', '"eth*"', '""', '{ "eth1", "lo" }'].filter((one) => one !== '""'))}`,
      () =>
        d.of([
          `iif "${this.#world.devices[0]}"`,
          `oif "${this.#world.devices[1]}"`,
          'meta iiftype ether',
          'meta oiftype != loopback',
          'meta pkttype host',
        ]),
      () =>
        family === 'inet'
          ? `meta nfproto ${net === 'ip' ? 'ipv4' : 'ipv6'}`
          : `meta protocol ${net}`,
      () =>
        `fib ${d.of(['saddr', 'daddr'])} type ${not}${d.of(['local', 'unicast', '{ local, broadcast }'])}`,
      ...this.#routes(hook),
      () => `numgen inc mod 3 ${d.of(['0', '< 2', '{ 1, 2 }'])}`,
      () => `jhash ${net} saddr . ${net} daddr mod 3 seed 0x1234 ${d.of(['0', '{ 0, 2 }'])}`,
      () => `quota ${d.of(['', 'over '])}${d.of([400, 2000])} bytes`,
      () => `${net} saddr @${this.#dynamic(net)}`,
      ...(this.#tracked ? this.#ctMatches(net, not) : []),
    ];
    return d.of(kinds)();
  }

  /** What the kernel lets be asked of routes, by hook (`nft_fib_validate`). */
  #routes(hook: string | null): (() => string)[] {
    const d = this.#draw;
    const isIn = hook === 'prerouting' || hook === 'input' || hook === 'forward';
    const answer = () =>
      d.of(['exists', 'missing', ...this.#world.devices.map((name) => `"${name}"`)]);
    return [
      ...(isIn ? [() => `fib saddr . iif oif ${answer()}`] : []),
      ...(isIn
        ? [() => `fib ${d.of(['saddr', 'daddr'])} . iif type ${d.of(['local', 'unicast'])}`]
        : []),
      ...(hook === 'prerouting' ? [() => `fib ${d.of(['daddr', 'saddr'])} oif ${answer()}`] : []),
      ...(hook === 'prerouting'
        ? [() => `fib saddr . mark oifname ${d.of(['"eth0"', '"eth1"'])}`]
        : []),
    ];
  }

  #ctMatches(net: Net, not: string): (() => string)[] {
    const d = this.#draw;
    return [
      () =>
        `ct state ${d.of(['new', 'established', 'new,established', 'invalid', '! new', '!= new', '{ new, invalid }', '== established'])}`,
      () => `ct status ${d.of(['snat', 'dnat', '! dnat', 'seen-reply', 'confirmed', 'assured'])}`,
      () => `ct direction ${d.of(['original', 'reply'])}`,
      () => `ct mark ${not}${d.of(['0x1', '0x0'])}`,
      () => `ct original ${net} ${d.of(['saddr', 'daddr'])} ${not}${this.#address(net)}`,
      () =>
        `meta l4proto tcp ct ${d.of(['original', 'reply'])} ${d.of(['proto-src', 'proto-dst'])} ${not}${d.of(PORT_NUMBERS)}`,
      () => 'ct zone 0',
      () => `ct expiration ${d.of(['< 60s', '> 60s'])}`,
    ];
  }

  /** Several fields at once, against ranges of them. */
  #concat(net: Net): string {
    const d = this.#draw;
    const name = this.#name('c');
    const isRanged = d.chance(50);
    const ports = isRanged ? ['53', '80', '443', '1000-2000', '22'] : ['53', '80', '443', '22'];
    const sides = isRanged
      ? this.#some(this.#world.nets[net].slice(0, 2))
      : [...this.#world.near[net]];
    const elements = sides.flatMap((one, i) =>
      i > 0 && isRanged ? [] : this.#some(ports).map((port) => `${one} . tcp . ${port}`),
    );
    const type = net === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
    const flags = isRanged ? '\t\tflags interval\n' : '';
    this.#sets.push(
      `\tset ${name} {\n\t\ttype ${type} . inet_proto . inet_service\n${flags}\t\telements = { ${elements.join(', ')} }\n\t}\n`,
    );
    return `${net} saddr . meta l4proto . th dport ${d.chance(20) ? '!= ' : ''}@${name}`;
  }

  #vmap(net: Net, users: readonly string[]): string {
    const d = this.#draw;
    const targets = () =>
      d.of([
        ...users.map((name) => `jump ${name}`),
        `goto ${d.of(users)}`,
        'accept',
        'drop',
        'return',
        'continue',
      ]);
    if (d.chance(50))
      return `tcp dport vmap { 22 : ${targets()}, 80 : ${targets()}, 1000-2000 : ${targets()} }`;
    if (d.chance(30)) return `numgen inc mod 2 vmap { 0 : ${targets()}, 1 : ${targets()} }`;
    const name = this.#name('v');
    const type = net === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
    const elements = this.#world.near[net].map(
      (one, i) => `${one} . ${['udp', 'tcp'][i]} . ${d.of(PORT_NUMBERS)} : ${targets()}`,
    );
    const rest = d.chance(30) ? [`* : ${targets()}`] : [];
    this.#sets.push(
      `\tmap ${name} {\n\t\ttype ${type} . inet_proto . inet_service : verdict\n\t\telements = { ${[...elements, ...rest].join(', ')} }\n\t}\n`,
    );
    return `${net} saddr . meta l4proto . th dport vmap @${name}`;
  }

  #address(net: Net): string {
    const d = this.#draw;
    const all = [...this.#world.near[net], ...this.#world.far[net], ...this.#world.own[net]];
    return d.chance(60)
      ? d.of(all)
      : d.chance(50)
        ? d.of(this.#world.nets[net])
        : `{ ${this.#some(all).join(', ')} }`;
  }

  #addressSet(net: Net): string {
    const d = this.#draw;
    const name = this.#name('s');
    const type = net === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
    const isInterval = d.chance(50);
    const elements = isInterval
      ? [d.of(this.#world.nets[net])]
      : this.#some([...this.#world.near[net], ...this.#world.far[net]]);
    const flags = isInterval ? '\t\tflags interval\n' : '';
    this.#sets.push(
      `\tset ${name} {\n\t\ttype ${type}\n${flags}\t\telements = { ${elements.join(', ')} }\n\t}\n`,
    );
    return name;
  }

  #dynamic(net: Net): string {
    const name = `d${net}`;
    const type = net === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
    const text = `\tset ${name} {\n\t\ttype ${type}\n\t\tsize ${this.#deletes ? 65535 : 3}\n\t\tflags dynamic\n\t\telements = { ${this.#world.near[net][0]} }\n\t}\n`;
    if (!this.#sets.includes(text)) this.#sets.push(text);
    return name;
  }

  #effect(net: Net, hook: string | null, family: Family): string {
    const d = this.#draw;
    const effects = [
      () =>
        `meta mark set ${d.of(['0x1', '0x2', 'meta mark | 0x2', 'meta mark & 0xfffffffd', 'meta mark ^ 0x1'])}`,
      () =>
        `meta mark set ${net} saddr map { ${this.#world.near[net].map((one, i) => `${one} : 0x${i + 1}`).join(', ')} }`,
      () =>
        `${d.of(this.#deletes ? ['add', 'update', 'delete'] : ['add', 'update'])} @${this.#dynamic(net)} { ${net} ${d.of(['saddr', 'daddr'])} }`,
      ...(net === 'ip'
        ? [() => `ip ttl set ${d.of([5, 64])}`, () => 'ip dscp set cs3']
        : [() => 'ip6 hoplimit set 9', () => 'ip6 dscp set cs3']),
      ...(this.#tracked
        ? [
            () => `ct mark set ${d.of(['0x1', 'meta mark', 'ct mark | 0x2'])}`,
            () => 'meta mark set ct mark',
          ]
        : []),
      ...(hook === 'prerouting' && d.chance(30) ? [() => 'notrack'] : []),
    ];
    return family === ('' as Family) ? '' : d.of(effects)();
  }

  #nat(family: Family, net: () => Net): string[] {
    const d = this.#draw;
    const said = (own: Net) => (family === 'inet' ? `${own} ` : '');
    const pre = Array.from({ length: 1 + d.below(3) }, () => {
      const own = net();
      const to = this.#world.far[own][0];
      const range = own === 'ip' ? '10.2.0.2-10.2.0.3' : '2001:db8:2::2-2001:db8:2::3';
      const withPort = own === 'ip' ? `${to}:8080` : `[${to}]:8080`;
      const rule = d.of([
        `${own} daddr ${this.#world.far[own][1]} counter dnat ${said(own)}to ${to}`,
        `${own} daddr ${this.#world.far[own][1]} tcp dport 80 counter dnat ${said(own)}to ${withPort}`,
        `${own} daddr ${this.#world.far[own][1]} udp dport 53 counter dnat ${said(own)}to ${range}`,
        'tcp dport 22 counter redirect to :2222',
        `tcp dport 5000 counter dnat ${own} to tcp dport map { 5000 : ${to} . 81 }`,
        `counter dnat ${own} to ${own} daddr map { ${this.#world.far[own][1]} : ${to} }`,
        `${own} saddr ${this.#world.near[own][1]} counter accept`,
      ]);
      return rule;
    });
    const post = Array.from({ length: 1 + d.below(2) }, () => {
      const own = net();
      return d.of([
        `${own} saddr ${this.#world.near[own][0]} oifname "eth1" counter masquerade`,
        `${own} saddr ${this.#world.near[own][1]} oifname "eth1" counter snat ${said(own)}to ${this.#world.own[own][1]}`,
        `ct status dnat oifname "eth1" counter masquerade`,
        `${own} saddr ${this.#world.near[own][0]} meta l4proto tcp counter masquerade to :3000-3100`,
      ]);
    });
    return [
      chain(
        'npre',
        `type nat hook prerouting priority ${d.of(['dstnat', 'dstnat + 5'])}; policy accept;`,
        pre,
      ),
      chain('npost', 'type nat hook postrouting priority srcnat; policy accept;', post),
    ];
  }

  #some<T>(items: readonly T[]): T[] {
    const kept = items.filter(() => this.#draw.chance(50));
    return kept.length > 0 ? kept : [this.#draw.of(items)];
  }

  #name(letter: string): string {
    this.#names += 1;
    return `${letter}${this.#names}`;
  }
}

/** Without matches of another transport protocol than the first; nft refuses them. */
function ofOneProtocol(parts: readonly string[]): string[] {
  let first: string | undefined;
  return parts.filter((part) => {
    const fields = /^(tcp|udp|sctp|icmp|icmpv6) /.exec(part)?.[1];
    const said = /^(?:meta l4proto|ip protocol|ip6 nexthdr) (tcp|udp|sctp|icmp|ipv6-icmp|\{)/.exec(
      part,
    )?.[1];
    const own = (fields ?? said)?.replace('ipv6-icmp', 'icmpv6');
    first ??= own;
    return own === undefined || own === first;
  });
}

/** What the kernel says of its own accord (neighbours, listeners) is not counted. */
function silence(family: Family, hook: string): string[] {
  return hook !== 'forward' && family !== 'ip' ? ['ip6 daddr ff02::/16 accept'] : [];
}

function chain(name: string, base: string | null, rules: readonly string[]): string {
  const lines = [...(base === null ? [] : [base]), ...rules.map((rule) => rule.trim())];
  return `\tchain ${name} {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n`;
}

/** Packets from either side, and answers to some of them. */
export function drawShots(draw: Draw, tracked: boolean, count: number): readonly Shot[] {
  return Array.from({ length: count }, (_, i) => drawShot(draw, tracked, i + 1));
}

function drawShot(draw: Draw, tracked: boolean, id: number): Shot {
  const net: Net = draw.chance(60) ? 'ip' : 'ip6';
  const isBack = draw.chance(30);
  const near = draw.of(ROUTER.near[net]);
  const far = draw.chance(85) ? draw.of(ROUTER.far[net]) : draw.of(ROUTER.own[net]);
  const [from, to] =
    isBack && ROUTER.far[net].some((one) => one === far) ? [far, near] : [near, far];
  const device = from === far ? 'eth1' : 'eth0';
  const [low, high] = [draw.of([4000, 4001, 1500]), draw.of([...PORT_NUMBERS, 8080])];
  const [sport, dport] = device === 'eth1' ? [high, low] : [low, high];
  const ports = (one: PacketBuilder) => one.from(from, sport).to(to, dport);
  const roll = draw.below(100);
  let builder: PacketBuilder;
  if (roll < 45) {
    const flags = [0x02, 0x12, 0x10, 0x04, 0x11];
    builder = ports(tcp()).flags(device === 'eth1' ? draw.of([0x12, 0x10, 0x14]) : draw.of(flags));
  } else if (roll < 75) builder = ports(udp().payload(draw.below(40)));
  else if (roll < 80) builder = ports(sctp().chunks(sctpInit(7)));
  else if (roll < 95) {
    const types = net === 'ip' ? [8, 8, 0, 13] : [128, 128, 129];
    builder = icmpMessage(draw.of(types), 0, draw.below(3)).payload(24).from(from).to(to);
  } else builder = rawIp(47).payload(20).from(from).to(to);
  builder = builder
    .id(id)
    .ttl(19 + draw.below(3))
    .tos(draw.of([0, 0x10, 0xb8, 0x40]));
  if (!tracked && draw.chance(12)) builder = builder.fragment(draw.of([0, 8, 16]), true, 8);
  const frame = builder.frame({ dstMac: device === 'eth1' ? ROUTER_OUT_MAC : ROUTER_MAC });
  if (net === 'ip6') {
    setU8(frame, 15, 0);
    setU16(frame, 16, id);
  }
  return { kind: 'frame', device, frame };
}
