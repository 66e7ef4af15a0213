/**
 * Real rule sets between formally verified bounds: what the lower closure of a rule set accepts, our
 * walk accepts, and what that accepts, the upper closure accepts.
 *
 * The closures (Iptables_Semantics, ../shared/suites) are lists of `iptables -L -n` over addresses,
 * protocols and ports, for packets of new connections; TCP packets are SYNs, and 127/8 comes in by
 * lo, as their authors assume. Everything else about a packet is drawn, with a fixed seed.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { lower } from '../../src/lowering/link.ts';
import type { Hook } from '../../src/netfilter/hook.ts';
import { runTable } from '../../src/node/hook/walk.ts';
import { parseIptables } from '../../src/plan/rule/iptables-text.ts';
import {
  type Address,
  contains,
  formatAddress,
  ipv4,
  type Prefix,
  parsePrefix,
} from '../../src/wire/address/address.ts';
import { icmpEcho, type PacketBuilder, parsedIp, rawIp, tcp, udp } from '../support/packets.ts';
import { sharedPath } from '../support/shared.ts';
import { contextOf, routerPlan } from '../support/walks.ts';

const ROOT = 'suites/iptables-semantics/thy/Iptables_Semantics/Examples/IPPartEval';

/** Folder, rule set, closures (`PREFIX.lower`, `PREFIX.upper`), hook. */
const SETS: readonly (readonly [folder: string, rules: string, bounds: string, hook: Hook])[] = [
  ['TUM_Net', 'iptables-save-2015-05-15_15-23-41', '.Ln.FWD', 'forward'],
  ['TUM_Net', 'iptables-save-2015-09-03_15-56-50', '.Ln.FWD', 'forward'],
  ['TUM_Net', 'iptables_20.10.2013', '.Ln.FWD', 'forward'],
  ['TUM_Net', 'iptables_25.07.2014', '.Ln.FWD', 'forward'],
  ['config_home_user', 'typical_home_user_iptables-save', 'typical_home_user.Ln.FWD', 'forward'],
  ['config_memphis_testbed', 'iptables-save', 'iptables.Ln.FWD', 'forward'],
  ['config_random_srv', 'iptables-save', 'iptables.INP.Ln', 'input'],
  ['configs_sqrl_shorewall', '2014_sep_iptables-saveakachan', '.Ln.FWD', 'forward'],
  ['configs_sqrl_shorewall', '2015_aug_iptables-save-spoofing-protection', '.Ln.FWD', 'forward'],
  ['configs_sqrl_shorewall', '2015_aug_iptables-save-spoofing-protection', '.Ln.INP', 'input'],
  ['configs_srvs_ufw', 'server2-iptables-save', '.Ln.INP', 'input'],
  [
    'configs_synology_diskstation_ds414',
    'iptables-save_jun_2015_legacyifacerules',
    '.Ln.INP',
    'input',
  ],
  ['configs_ugent', 'iptables-save.v1.4.21', 'iptables.Ln.INP', 'input'],
  ['docker_topos', 'iptables-save.topos4.1', 'iptables-save.Ln.FWD', 'forward'],
  ['gopherproxy.meulie.net', 'iptables-save', '.Ln.INP', 'input'],
  ['linux.gda.pl', 'firewallp.txt', '.Ln.FWD', 'forward'],
  ['medium-sized-company', 'iptables-save', '.Ln.FWD', 'forward'],
  ['medium-sized-company', 'iptables-save', '.Ln.INP', 'input'],
  ['openvpn.eu', 'iptables-save', '.Ln.FWD', 'forward'],
  ['openwrt.org', 'iptables-save-AA.txt_fixed_newline', '.Ln.FWD', 'forward'],
  ['pastebin.com_bbWXHaTn', 'iptables-save', '.Ln.FWD', 'forward'],
  ['rlworkman.net', 'iptables-save', '.Ln.INP', 'input'],
  ['sargon', 'iptables-save.txt', '.Ln.INP', 'input'],
];

/** VLANs of the home network, each with the net of its number; the internet is behind eth1. */
const HOME = [10, 11, 12, 13, 14, 19, 20, 21, 22, 23, 24].map(
  (vlan) => [`192.168.${vlan}.0/24`, `eth0.${vlan}`] as const,
);

/**
 * Which net is behind which device, where the authors assumed it to bring `-i` into addresses; from
 * other devices come all other addresses.
 */
const NETS: Readonly<Record<string, readonly (readonly [net: string, device: string])[]>> = {
  config_home_user: [
    ...HOME,
    ['10.0.0.0/8', 'elsewhere0'],
    ['172.16.0.0/12', 'elsewhere0'],
    ['192.168.0.0/16', 'elsewhere0'],
    ['0.0.0.0/0', 'eth1'],
  ],
  'medium-sized-company': [['172.16.2.0/24', 'eth0']],
  'openvpn.eu': [
    ['192.168.0.0/24', 'eth0'],
    ['192.168.2.0/24', 'eth1'],
  ],
  'rlworkman.net': [['192.168.13.0/24', 'eth0']],
};

interface Bound {
  readonly accept: boolean;
  readonly protocol: number | null;
  readonly src: Prefix;
  readonly dst: Prefix;
  readonly sports: readonly [number, number];
  readonly dports: readonly [number, number];
}

interface Probe {
  readonly protocol: number;
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number;
  readonly dport: number;
}

const NUMBERS: Readonly<Record<string, number | null>> = {
  ...{ all: null, icmp: 1, tcp: 6, udp: 17, gre: 47, esp: 50, ah: 51, ipv6: 41, sctp: 132 },
};

/** The rules of the one chain that a closure is about: its built-in chains but that one are empty. */
function readBounds(text: string, hook: Hook): { rules: readonly Bound[]; policy: boolean } {
  const chain = hook.toUpperCase();
  const section = new RegExp(`^Chain ${chain} \\(policy (\\w+)\\)\\n.*\\n((?:.+\\n?)*)`, 'm');
  const [, policy = '', body = ''] = section.exec(text) ?? [];
  const rules = body.split('\n').flatMap((line): Bound[] => {
    const m = /^(ACCEPT|DROP) +(\S+) +-- +(\S+) +(\S+) *(.*)$/.exec(line);
    if (!m) {
      if (line.trim() === '') return [];
      throw new Error(`not a line of a closure: ${line}`);
    }
    const [, verdict, name = '', src = '', dst = '', rest = ''] = m;
    const protocol = NUMBERS[name] === undefined ? Number(name) : (NUMBERS[name] ?? null);
    return [
      {
        accept: verdict === 'ACCEPT',
        protocol,
        src: net(src),
        dst: net(dst),
        sports: ports(rest, 'spt'),
        dports: ports(rest, 'dpt'),
      },
    ];
  });
  return { rules, policy: policy === 'ACCEPT' };
}

function net(text: string): Prefix {
  const parsed = parsePrefix(text.includes('/') ? text : `${text}/32`);
  if (parsed === null) throw new Error(`not a net: ${text}`);
  return parsed;
}

function ports(text: string, key: string): readonly [number, number] {
  const m = new RegExp(`${key}s?:(\\d+)(?::(\\d+))?`).exec(text);
  return m ? [Number(m[1]), Number(m[2] ?? m[1])] : [0, 65535];
}

function boundAccepts(bounds: ReturnType<typeof readBounds>, p: Probe): boolean {
  const within = ([low, high]: readonly [number, number], port: number) =>
    port >= low && port <= high;
  const found = bounds.rules.find(
    (rule) =>
      (rule.protocol === null || rule.protocol === p.protocol) &&
      contains(rule.src, p.src) &&
      contains(rule.dst, p.dst) &&
      within(rule.sports, p.sport) &&
      within(rule.dports, p.dport),
  );
  return found?.accept ?? bounds.policy;
}

/** A small generator of its own, so that the packets stay the same for good (mulberry32). */
function generator(seed: number): (range: number) => number {
  let state = seed;
  return (range) => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) % range;
  };
}

const PACKETS = 1500;

/** Packets at and beside the borders that the closures draw, with a device that the rules know. */
function* probes(bounds: readonly Bound[], devices: readonly string[]) {
  const draw = generator(20260821);
  const pick = <T>(list: readonly T[]): T | undefined => list[draw(list.length)];
  const addressOf = (prefix: Prefix | undefined): Address => {
    if (prefix === undefined || draw(8) === 0) return ipv4((draw(2 ** 31) * 2 + draw(2)) >>> 0);
    const size = 2 ** (32 - prefix.length);
    const base = (prefix.address.w3 - (prefix.address.w3 % size)) >>> 0;
    const at = [0, size - 1, size, -1, draw(size)][draw(5)] ?? 0;
    return ipv4((base + at) >>> 0);
  };
  for (let i = 0; i < PACKETS; i++) {
    const rule = pick(bounds);
    const other = draw(4) === 0 ? pick(bounds) : rule;
    const protocol = rule?.protocol ?? [6, 17, 1, 6, 17, 50][draw(6)] ?? 6;
    const port = ([low, high]: readonly [number, number]) =>
      ([low, high, high + 1, low - 1, draw(65536)][draw(5)] ?? 0) & 0xffff;
    const hasPorts = protocol === 6 || protocol === 17;
    const probe: Probe = {
      protocol,
      src: addressOf(rule?.src),
      dst: addressOf(other?.dst),
      sport: hasPorts ? port(rule?.sports ?? [0, 65535]) : 0,
      dport: hasPorts ? port(other?.dports ?? [0, 65535]) : 0,
    };
    const inDevice = probe.src.w3 >>> 24 === 127 ? 'lo' : (pick(devices) ?? 'eth0');
    yield { probe, inDevice, outDevice: pick(devices) ?? 'eth1' };
  }
}

function packetOf({ protocol, src, dst, sport, dport }: Probe) {
  const kinds: Readonly<Record<number, PacketBuilder>> = {
    6: tcp().syn(),
    17: udp(),
    1: icmpEcho(),
  };
  const builder = kinds[protocol] ?? rawIp(protocol);
  const hasPorts = protocol === 6 || protocol === 17;
  const from = formatAddress(src);
  const to = formatAddress(dst);
  const whole = hasPorts ? builder.from(from, sport).to(to, dport) : builder.from(from).to(to);
  return parsedIp(whole.packet());
}

/**
 * Without rules that no iptables since 1.4 reads: to the closures, their conditions may hold or not.
 */
function readable(rules: string): string {
  return rules.replaceAll(/^.* --days .*\n/gm, '');
}

/** Both directions of the connection that the packet would open. */
function tuples({ protocol, src, dst, sport, dport }: Probe) {
  const original = { protocol, src, dst, sport, dport };
  return { original, reply: { protocol, src: dst, dst: src, sport: dport, dport: sport } };
}

/** The device that the packet comes by, where nets are assigned to devices. */
function deviceFor(place: string, src: Address, drawn: string): string {
  const nets = NETS[place];
  if (nets === undefined || drawn === 'lo') return drawn;
  return nets.find(([text]) => contains(net(text), src))?.[1] ?? 'elsewhere0';
}

const folder = sharedPath(ROOT);

for (const [place, rules, name, hook] of SETS) {
  const prefix = name.startsWith('.') ? rules + name : name;
  t.test(
    `${place}/${rules} ${hook} stays between its bounds`,
    {
      skip: folder === null ? 'needs ../shared' : false,
    },
    async (t) => {
      const read = (file: string) => readFileSync(join(folder ?? '', place, file), 'utf8');
      const tables = parseIptables(readable(read(rules)), rules, 4).filter(
        (table) => table.name === 'filter',
      );
      const ctx = contextOf(lower({ ...routerPlan().build(), tables }));
      const low = readBounds(read(`${prefix}.lower`), hook);
      const high = readBounds(read(`${prefix}.upper`), hook);
      const text = read(rules);
      const devices = [...text.matchAll(/ -[io] (\S+)/g)].map((m) =>
        (m[1] ?? '').replace('+', '0'),
      );
      const known = [...new Set(devices)].filter((device) => device !== 'lo').concat('eth0');
      const counts = { accepted: 0, refused: 0, unknown: 0 };
      const wrong: string[] = [];
      for (const { probe, inDevice, outDevice } of probes([...low.rules, ...high.rules], known)) {
        const packet = packetOf(probe);
        packet.ctState = 'new';
        packet.connection = { mark: 0, snat: false, dnat: false, ...tuples(probe) };
        packet.inDevice = deviceFor(place, probe.src, inDevice);
        packet.outDevice = hook === 'input' ? '' : outDevice;
        const { kind } = runTable(ctx, 'filter', hook, packet);
        const isUnknown = kind === 'unknown';
        const isAccepted = kind === 'accept';
        counts[isUnknown ? 'unknown' : isAccepted ? 'accepted' : 'refused']++;
        if (isUnknown) continue;
        if (isAccepted && !boundAccepts(high, probe)) wrong.push(`above: ${JSON.stringify(probe)}`);
        if (!isAccepted && boundAccepts(low, probe)) {
          wrong.push(`below: ${JSON.stringify(probe)} ${inDevice}`);
        }
      }
      t.strictSame(wrong.slice(0, 5), []);
      t.comment(JSON.stringify(counts));
      t.ok(counts.accepted > 0 && counts.unknown < PACKETS / 2, 'packets are judged');
    },
  );
}
