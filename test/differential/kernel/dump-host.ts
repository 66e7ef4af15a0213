/**
 * A host for rule sets of which only the rules are known: devices with the names that the rules have,
 * each with a net and a router of its own, routes where rules say what comes and goes by which device,
 * and some of the addresses that rules ask for as the host's.
 * @module
 */
import type { IpSet } from '../../../src/netfilter/ip-set.ts';
import type { Rule, Table } from '../../../src/netfilter/rule.ts';
import { type Interface, MAIN_TABLE, type Plan, type Route } from '../../../src/plan/model.ts';
import {
  type Address,
  contains,
  type Family,
  formatAddress,
  formatPrefix,
  maskAddress,
  type Prefix,
} from '../../../src/wire/address/address.ts';
import { hostPlan, iface, prefix, route } from '../../support/hosts.ts';

const MAX_ROUTES = 120;
const MAX_OWN = 6;

/** Nets that are nobody's, or everybody's. */
const SPECIAL = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/8', 'ff00::/8', 'fe80::/10'].map(
  prefix,
);

export function isSpecial(address: Address): boolean {
  return SPECIAL.some((net) => net.address.family === address.family && contains(net, address));
}

export function rulesOf(tables: readonly Table[]): readonly Rule[] {
  return tables.flatMap((table) => table.chains.flatMap((chain) => chain.rules));
}

/** The name of a device that a rule's device stands for (`eth+` also for `eth0`). */
export function deviceName(text: string): string {
  return text.endsWith('+') ? `${text.slice(0, -1)}0` : text;
}

export function macOf(index: number): string {
  return `02:00:00:00:01:${index.toString(16).padStart(2, '0')}`;
}

export function routerMac(index: number): string {
  return `02:00:00:00:02:${index.toString(16).padStart(2, '0')}`;
}

function devicesOf(rules: readonly Rule[]): readonly string[] {
  const named = rules.flatMap(({ ip }) =>
    [ip.inInterface, ip.outInterface].flatMap((one) => (one ? [deviceName(one.value)] : [])),
  );
  return [...new Set([...named, 'eth0'])].filter((name) => name !== 'lo' && name !== '0').sort();
}

/** The address of a device's own end, and of the router there. */
function netOf(family: Family, index: number, host: number): string {
  return family === 4
    ? `10.77.${index}.${host}`
    : `fd77:${index.toString(16)}::${host.toString(16)}`;
}

export function dumpHost(
  tables: readonly Table[],
  ipsets: readonly IpSet[],
): { readonly bare: Plan; readonly plan: Plan } {
  const rules = rulesOf(tables);
  const devices = devicesOf(rules);
  const routed = routesOf(rules, devices);
  const there = new Set(routed.map(({ destination }) => formatAddress(destination.address)));
  const own = ownAddresses(rules).filter((address) => !there.has(formatAddress(address)));
  const length = { 4: 24, 6: 64 } as const;
  const bits = { 4: 32, 6: 128 } as const;
  const interfaces = devices.map((name, i): Interface => {
    const addresses = ([4, 6] as const).map((f) => `${netOf(f, i, 1)}/${length[f]}`);
    const more = name === 'eth0' ? own.map((a) => `${formatAddress(a)}/${bits[a.family]}`) : [];
    return iface(name, macOf(i), { addresses: [...addresses, ...more] });
  });
  const nets = devices.flatMap((device, i) =>
    ([4, 6] as const).map((f) =>
      route(`${netOf(f, i, 0).replace(/::0$/, '::')}/${length[f]}`, { device }),
    ),
  );
  const bare = hostPlan('router', {
    interfaces,
    routes: [...nets, ...routed].map((one) => ({ ...one, table: MAIN_TABLE })),
    neighbors: devices.flatMap((device, i) =>
      ([4, 6] as const).map((f) => [netOf(f, i, 254), device, routerMac(i)] as const),
    ),
    sysctls: {
      'net.ipv4.ip_forward': '1',
      'net.ipv6.conf.all.forwarding': '1',
      'net.ipv4.conf.all.rp_filter': '0',
      'net.ipv4.conf.default.rp_filter': '0',
      'net.ipv4.conf.all.send_redirects': '0',
      'net.ipv4.conf.default.send_redirects': '0',
    },
  });
  return { bare: { ...bare, ipsets }, plan: { ...bare, ipsets, tables } };
}

/** Single addresses that rules name as destinations. */
function ownAddresses(rules: readonly Rule[]): readonly Address[] {
  const named = new Map<string, Address>();
  for (const { ip } of rules) {
    const to = ip.destination?.value;
    if (to === undefined || to.length !== (to.address.family === 4 ? 32 : 128)) continue;
    if (!isSpecial(to.address)) named.set(formatAddress(to.address), to.address);
  }
  const all = [...named.values()];
  const step = Math.max(1, Math.floor(all.length / MAX_OWN));
  return all.filter((_, i) => i % step === 0).slice(0, MAX_OWN);
}

/** Where rules expect nets to be; everything else is behind the first device. */
function routesOf(rules: readonly Rule[], devices: readonly string[]): readonly Route[] {
  const found = new Map<string, Route>();
  const add = (net: Prefix, device: string) => {
    const index = devices.indexOf(device);
    const text = formatPrefix({ ...net, address: maskAddress(net.address, net.length) });
    const isWhole = net.length === 0 || (net.address.family === 6 && net.length < 16);
    if (index < 0 || isWhole || isSpecial(net.address) || found.has(text)) return;
    found.set(text, route(text, { device, via: netOf(net.address.family, index, 254) }));
  };
  for (const { ip } of rules) {
    const { source, destination, inInterface, outInterface } = ip;
    if (source && inInterface && !inInterface.negate) {
      if (source.value.mask === undefined) add(source.value, deviceName(inInterface.value));
    }
    if (destination && outInterface && !outInterface.negate) {
      if (destination.value.mask === undefined)
        add(destination.value, deviceName(outInterface.value));
    }
  }
  const last = devices.length - 1;
  const device = devices[last] ?? 'eth0';
  return [
    ...[...found.values()].slice(0, MAX_ROUTES),
    route('0.0.0.0/0', { device, via: netOf(4, last, 254) }),
    route('::/0', { device, via: netOf(6, last, 254) }),
  ];
}
