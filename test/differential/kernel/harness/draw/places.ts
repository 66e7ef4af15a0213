/**
 * The kinds of host that trials are made on: who is attached where, and what else has an address.
 * Rules come later (draw-rules.ts); settings are drawn here.
 * @module
 */
import type { Plan } from '../../../../../src/plan/model.ts';
import { hostPlan, iface, prefix, route } from '../../../../support/hosts.ts';
import { address } from '../../../../support/packets.ts';
import type { Draw } from '../../rule-space.ts';

/** Somebody at the far end of a device. */
export interface Station {
  readonly device: string;
  readonly mac: string;
  /** Own addresses first, then those it routes for. */
  readonly addresses: { readonly 4: readonly string[]; readonly 6: readonly string[] };
  /** MAC of the host's end: where it sends what is not on its own link. */
  readonly gateway: string;
  /** Number of the link that it shares with others: they send to each other directly. */
  readonly link: number;
  /** MAC to which it sends what is for the host itself, where that is not the gateway's. */
  readonly host?: string;
}

export interface Place {
  readonly plan: Plan;
  readonly stations: readonly Station[];
  /** The host's own addresses. */
  readonly own: { readonly 4: readonly string[]; readonly 6: readonly string[] };
  /** Addresses that only translation makes reachable. */
  readonly services: { readonly 4: readonly string[]; readonly 6: readonly string[] };
  readonly devices: readonly string[];
}

const GATEWAY_MAC = '02:00:00:00:00:fe';
const SERVICES = { 4: ['172.30.0.1', '172.30.0.2'], 6: ['fd00:5e::1', 'fd00:5e::2'] } as const;
const OUTSIDE = {
  4: ['203.0.113.9', '198.51.100.7'],
  6: ['2001:db8:f::9', '2001:db8:f::7'],
} as const;

function macOf(kind: number, index: number): string {
  const byte = (n: number) => n.toString(16).padStart(2, '0');
  return `02:00:00:00:${byte(kind)}:${byte(index)}`;
}

/** What is always so: the laboratory's packets pass, and only they. */
const BASE = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.conf.all.send_redirects': '0',
  'net.ipv4.conf.default.send_redirects': '0',
};

function settings(draw: Draw, devices: readonly string[]): Record<string, string> {
  const drawn: Record<string, string> = {
    ...BASE,
    'net.ipv4.conf.all.rp_filter': draw.of(['0', '0', '0', '1', '2']),
    'net.ipv4.conf.default.rp_filter': '0',
  };
  const sometimes = (key: string, value: string, percent: number) => {
    if (draw.chance(percent)) drawn[key] = value;
  };
  for (const device of devices) {
    sometimes(`net.ipv4.conf.${device}.rp_filter`, draw.of(['1', '2']), 15);
    sometimes(`net.ipv4.conf.${device}.forwarding`, '0', 4);
    sometimes(`net.ipv4.conf.${device}.accept_local`, '1', 8);
    sometimes(`net.ipv4.conf.${device}.route_localnet`, '1', 8);
    sometimes(`net.ipv4.conf.${device}.src_valid_mark`, '1', 8);
    sometimes(`net.ipv4.conf.${device}.proxy_arp`, '1', 30);
    sometimes(`net.ipv4.conf.${device}.arp_ignore`, draw.of(['1', '2']), 8);
  }
  sometimes('net.ipv4.ip_forward', '0', 3);
  sometimes('net.ipv6.conf.all.forwarding', '0', 3);
  sometimes('net.netfilter.nf_conntrack_tcp_loose', '0', 20);
  sometimes('net.netfilter.nf_conntrack_tcp_be_liberal', '1', 15);
  sometimes('net.netfilter.nf_conntrack_checksum', '0', 20);
  return drawn;
}

/** Pods behind veths with a route each, uplink with a gateway: a node in transparent mode. */
export function routedPlace(draw: Draw): Place {
  const ids = Array.from({ length: 1 + draw.below(3) }, (_, i) => i + 1);
  const pods = ids.map((i) => ({
    device: `azv${i}`,
    mac: macOf(1, i),
    host: macOf(2, i),
    4: `10.1.0.1${i}`,
    6: `fd00:b::1${i}`,
  }));
  const uplinkMac = macOf(3, 0);
  const own = { 4: ['192.168.0.1'], 6: ['fd00:a::1'] };
  const devices = ['eth0', ...pods.map((pod) => pod.device)];
  const plan = hostPlan('node', {
    interfaces: [
      iface('eth0', uplinkMac, {
        addresses: ['192.168.0.1/24', 'fd00:a::1/64'],
        mtu: draw.of([1500, 1500, 1400]),
      }),
      ...pods.map((pod) => iface(pod.device, pod.host)),
    ],
    routes: [
      ...uplinkRoutes('eth0', draw),
      ...pods.map((pod) => route(`${pod[4]}/32`, { device: pod.device })),
      ...pods.map((pod) => route(`${pod[6]}/128`, { device: pod.device })),
      ...refusals(draw),
    ],
    neighbors: [
      ['192.168.0.254', 'eth0', GATEWAY_MAC],
      ['fd00:a::fe', 'eth0', GATEWAY_MAC],
      ...pods.map((pod) => [pod[4], pod.device, pod.mac] as const),
      ...pods.map((pod) => [pod[6], pod.device, pod.mac] as const),
    ],
    sysctls: settings(draw, devices),
  });
  const stations: Station[] = pods.map((pod, i) => ({
    device: pod.device,
    mac: pod.mac,
    addresses: { 4: [pod[4]], 6: [pod[6]] },
    gateway: pod.host,
    link: i + 1,
  }));
  stations.push(gatewayStation('eth0', uplinkMac, 0));
  return { plan, stations, own, services: SERVICES, devices };
}

function uplinkRoutes(device: string, draw: Draw) {
  const source = draw.chance(70) ? { source: '192.168.0.1' } : {};
  return [
    route('192.168.0.0/24', { device, ...source }),
    route('fd00:a::/64', { device }),
    route('0.0.0.0/0', { device, via: '192.168.0.254' }),
    route('::/0', { device, via: 'fd00:a::fe' }),
  ];
}

function gatewayStation(device: string, gateway: string, link: number): Station {
  return {
    device,
    mac: GATEWAY_MAC,
    addresses: {
      4: ['192.168.0.254', ...OUTSIDE[4]],
      6: ['fd00:a::fe', ...OUTSIDE[6]],
    },
    gateway,
    link,
  };
}

/** Destinations that routes refuse in every way. */
function refusals(draw: Draw) {
  if (!draw.chance(60)) return [];
  return [
    route('10.66.0.0/16', { type: 'blackhole' }),
    route('10.67.0.0/16', { type: 'prohibit' }),
    route('10.68.0.0/16', { type: 'unreachable' }),
    route('fd00:66::/48', { type: 'blackhole', device: 'lo' }),
    route('fd00:67::/48', { type: 'prohibit', device: 'lo' }),
    route('fd00:68::/48', { type: 'unreachable', device: 'lo' }),
  ];
}

/** Pods on a bridge; the uplink is a port of it, or a device of its own. */
export function bridgedPlace(draw: Draw): Place {
  const ids = Array.from({ length: 2 + draw.below(2) }, (_, i) => i + 1);
  const uplinked = draw.chance(50);
  const bridgeMac = macOf(11, 0);
  const hairpin = draw.chance(50);
  const call4 = draw.chance(75);
  const call6 = draw.chance(60);
  const pods = ids.map((i) => ({
    device: `p${i}`,
    mac: macOf(1, i),
    4: `10.1.0.1${i}`,
    6: `fd00:b::1${i}`,
  }));
  const own = uplinked
    ? { 4: ['10.1.0.1', '192.168.0.1'], 6: ['fd00:b::1', 'fd00:a::1'] }
    : { 4: ['10.1.0.1', '192.168.0.1'], 6: ['fd00:b::1', 'fd00:a::1'] };
  const uplinkMac = macOf(3, 0);
  const uplink = uplinked
    ? iface('eth0', uplinkMac, { master: 'br0' })
    : iface('eth0', uplinkMac, { addresses: ['192.168.0.1/24', 'fd00:a::1/64'] });
  const addresses = ['10.1.0.1/24', 'fd00:b::1/64'];
  if (uplinked) addresses.push('192.168.0.1/24', 'fd00:a::1/64');
  const out = uplinked ? 'br0' : 'eth0';
  const ports = pods.map((pod, i) =>
    iface(pod.device, macOf(2, i + 1), { master: 'br0', hairpin: hairpin && i !== 1 }),
  );
  const warm = draw.chance(60);
  const plan = hostPlan('node', {
    interfaces: [
      iface('br0', bridgeMac, { kind: 'bridge', addresses, promiscuous: draw.chance(15) }),
      ...ports,
      uplink,
    ],
    routes: [
      route('10.1.0.0/24', { device: 'br0', source: '10.1.0.1' }),
      route('fd00:b::/64', { device: 'br0' }),
      ...uplinkRoutes(out, draw),
      ...refusals(draw),
    ],
    neighbors: [
      ['192.168.0.254', out, GATEWAY_MAC],
      ['fd00:a::fe', out, GATEWAY_MAC],
      ...pods.map((pod) => [pod[4], 'br0', pod.mac] as const),
      ...pods.map((pod) => [pod[6], 'br0', pod.mac] as const),
    ],
    sysctls: {
      ...settings(draw, ['br0', 'eth0']),
      'net.bridge.bridge-nf-call-iptables': call4 ? '1' : '0',
      'net.bridge.bridge-nf-call-ip6tables': call6 ? '1' : '0',
    },
    extend: (builder) => {
      if (!warm) return;
      for (const pod of pods) {
        builder.fdb.push({ mac: pod.mac, bridge: 'br0', port: pod.device, kind: 'static' });
      }
    },
  });
  const stations: Station[] = pods.map((pod) => ({
    device: pod.device,
    mac: pod.mac,
    addresses: { 4: [pod[4]], 6: [pod[6]] },
    gateway: bridgeMac,
    link: 1,
  }));
  stations.push(gatewayStation('eth0', uplinked ? bridgeMac : uplinkMac, uplinked ? 1 : 0));
  return {
    plan,
    stations,
    own,
    services: SERVICES,
    devices: ['br0', 'eth0', ...pods.map((p) => p.device)],
  };
}

/** Three networks, a route of each refusing kind, and policy routing by mark and source. */
export function routerPlace(draw: Draw): Place {
  const nets = [1, 2, 3];
  const name = (i: number) => `eth${i - 1}`;
  const own = { 4: nets.map((i) => `10.${i}.0.1`), 6: nets.map((i) => `2001:db8:${i}::1`) };
  const devices = nets.map(name);
  const last = 'eth2';
  const plan = hostPlan('node', {
    interfaces: nets.map((i) =>
      iface(name(i), macOf(3, i), {
        addresses: [`10.${i}.0.1/24`, `2001:db8:${i}::1/64`],
        mtu: i === 3 ? draw.of([1500, 1280, 1400]) : 1500,
      }),
    ),
    routes: [
      ...nets.map((i) => route(`10.${i}.0.0/24`, { device: name(i), source: `10.${i}.0.1` })),
      ...nets.map((i) => route(`2001:db8:${i}::/64`, { device: name(i) })),
      ...(draw.chance(80) ? [route('203.0.113.0/24', { device: last, via: '10.3.0.2' })] : []),
      ...(draw.chance(80)
        ? [route('2001:db8:f::/48', { device: last, via: '2001:db8:3::2' })]
        : []),
      ...refusals(draw),
    ],
    neighbors: nets.flatMap((i) =>
      [2, 3].flatMap((n) => [
        [`10.${i}.0.${n}`, name(i), macOf(1, i)] as const,
        [`2001:db8:${i}::${n}`, name(i), macOf(1, i)] as const,
      ]),
    ),
    sysctls: settings(draw, devices),
    extend: (builder) => {
      if (!draw.chance(50)) return;
      const table = 100;
      for (const family of [4, 6] as const) {
        const fwmark = { value: 1, mask: 1 };
        builder.routingRules.push({ family, preference: 100, table, fwmark });
        const via = address(family === 4 ? '10.2.0.3' : '2001:db8:2::3');
        const destination = prefix(family === 4 ? '0.0.0.0/0' : '::/0');
        const base = { family, type: 'unicast', destination, table, via } as const;
        builder.routes.push({ ...base, device: 'eth1', metric: 0, scope: 'global' });
      }
    },
  });
  const stations = nets.map(
    (i): Station => ({
      device: name(i),
      mac: macOf(1, i),
      addresses: {
        4: [`10.${i}.0.2`, `10.${i}.0.3`, ...(i === 3 ? ['203.0.113.9'] : [])],
        6: [`2001:db8:${i}::2`, `2001:db8:${i}::3`, ...(i === 3 ? ['2001:db8:f::9'] : [])],
      },
      gateway: macOf(3, i),
      link: i,
    }),
  );
  return { plan, stations, own, services: SERVICES, devices };
}
