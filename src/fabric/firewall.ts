/**
 * Azure Firewall as a host of its own behind the fabric: one NIC, stateful, everything denied that
 * no rule allows.
 *
 *   nat PREROUTING    DNAT collections             its public addresses, first match
 *   filter FORWARD    answers ─ no session: DROP ─ what was DNATed ─ network collections ─ DROP
 *   nat POSTROUTING   DNATed: the firewall's own address; to private ranges: source kept;
 *                     else: a public address, 4,992 ports each (two instances of 2,496)
 *
 * An answer whose opening did not pass here has no session: that drops the answers of a public load
 * balancer where the subnet's default route leads to the firewall. azure-docs
 * firewall/rule-processing `05c11e58`, firewall/snat-private-range `0440832a`; DNAT with SNAT:
 * Azure Architecture Center, "Firewall and Application Gateway for virtual networks" (packet walk).
 * @module
 */
import type {
  Firewall,
  FirewallApplicationRule,
  FirewallCollection,
  FirewallNetworkRule,
  FirewallSide,
} from '../cluster/azure/network.ts';
import type { Match } from '../netfilter/match.ts';
import type { Provenance } from '../netfilter/rule.ts';
import { PlanBuilder, type RuleParts } from '../plan/builder.ts';
import type { Plan } from '../plan/model.ts';
import { type Address, hostPrefix, type Prefix } from '../wire/address/address.ts';
import { Protocol } from '../wire/protocol.ts';
import { snatRules } from './outbound.ts';
import {
  ANY,
  comment,
  ctstate,
  device,
  FABRIC_MAC,
  head,
  loopback,
  OUTSIDE,
  routeVia,
  rule,
} from './parts.ts';

/** The firewall's only device. */
export const FIREWALL_NIC = 'eth0';

const PORTS = { low: 1024, high: 1024 + 2 * 2496 - 1 };

/** Host name of a firewall in the network. */
export function firewallHost(firewall: Firewall): string {
  return `firewall/${firewall.name}`;
}

/** A MAC like those of Azure's NICs; one a firewall. */
export function firewallMac(index: number): string {
  return `00:0d:3a:fe:00:${(index + 1).toString(16).padStart(2, '0')}`;
}

/** Write the firewall's plan. */
export function renderFirewall(firewall: Firewall, index: number): Plan {
  const builder = new PlanBuilder(firewallHost(firewall), 'fabric');
  builder.evidence = 'documentation';
  const own = [firewall.privateAddress, ...firewall.publicAddresses].filter((a) => a.family === 4);
  builder.interfaces.push(loopback(), {
    ...device(FIREWALL_NIC, firewallMac(index)),
    addresses: [
      { address: firewall.privateAddress, length: 32, scope: 'global' },
      ...own.slice(1).map((address) => ({ address, length: 32, scope: 'global' as const })),
    ],
  });
  const via = OUTSIDE[4];
  builder.routes.push(routeVia(ANY[4], { via, device: FIREWALL_NIC }));
  builder.neighbors.push({
    address: via,
    device: FIREWALL_NIC,
    mac: FABRIC_MAC,
    state: 'permanent',
  });
  addFilter(builder, firewall);
  addNat(builder, firewall);
  Object.assign(builder.sysctls, {
    'net.ipv4.ip_forward': '1',
    'net.ipv4.conf.all.rp_filter': '0',
    'net.ipv4.conf.default.rp_filter': '0',
    'net.ipv4.conf.all.send_redirects': '0',
    'net.ipv4.conf.default.send_redirects': '0',
    // Only an opening begins a session.
    'net.netfilter.nf_conntrack_tcp_loose': '0',
  });
  return builder.build();
}

function addFilter(builder: PlanBuilder, firewall: Firewall): void {
  const forward = (...rules: RuleParts[]) => builder.append(4, 'filter', 'FORWARD', ...rules);
  forward(
    rule({}, 'accept', ctstate('RELATED', 'ESTABLISHED'), comment('answers')),
    rule({}, 'drop', ctstate('INVALID'), comment('no session: its opening did not pass here')),
    rule({}, 'accept', ctstate('DNAT'), comment('what a DNAT rule translated is allowed')),
  );
  for (const collection of firewall.networkCollections) {
    for (const one of collection.rules) forward(...networkRules(firewall, collection, one));
  }
  for (const collection of firewall.applicationCollections) {
    for (const one of collection.rules) {
      forward(...applicationRules(builder, firewall, collection, one));
    }
  }
  const nobody = rule({}, 'drop', comment('no rule of the firewall allows it'));
  forward(nobody);
  builder.append(4, 'filter', 'INPUT', nobody);
}

function originOf(
  firewall: Firewall,
  collection: Pick<FirewallCollection<unknown>, 'name' | 'place'>,
  name: string,
): readonly Provenance[] {
  return [
    {
      object: `AzureFirewall/${firewall.name}`,
      effect: 'platform',
      field: `${collection.name}/${name}`,
      source: `${collection.place.file}:${collection.place.line}`,
    },
  ];
}

function networkRules(
  firewall: Firewall,
  collection: FirewallCollection<FirewallNetworkRule>,
  one: FirewallNetworkRule,
): RuleParts[] {
  const text = `${collection.name}/${one.name} (${collection.priority})`;
  const origin = originOf(firewall, collection, one.name);
  const kind = collection.action === 'Allow' ? ('accept' as const) : ('drop' as const);
  return numbersOf(one).flatMap((protocol) =>
    sides(one.source).flatMap((from) =>
      sides(one.destination).flatMap((to) =>
        portMatches(one, protocol).map((ports) => ({
          ip: head({
            ...(from === null ? {} : { from }),
            ...(to === null ? {} : { to }),
            ...(protocol === null ? {} : { protocol }),
          }),
          matches: [...ports, comment(text)],
          target: { kind },
          origin,
        })),
      ),
    ),
  );
}

/** What was let through by an application rule: the firewall itself speaks with the destination. */
const PROXIED = 0x1;

/**
 * The rules of an application rule. One about every name is a rule about ports, whose packets are
 * marked, since what the firewall proxies never keeps its source; any other decides by a name.
 */
function applicationRules(
  builder: PlanBuilder,
  firewall: Firewall,
  collection: FirewallCollection<FirewallApplicationRule>,
  one: FirewallApplicationRule,
): RuleParts[] {
  const text = `${collection.name}/${one.name} (${collection.priority})`;
  const origin = originOf(firewall, collection, one.name);
  const allows = collection.action === 'Allow';
  return sides(one.source).flatMap((from) =>
    one.ports.map((port): RuleParts => {
      const dport = { value: { low: port, high: port }, negate: false };
      const parts = {
        ip: head({ ...(from === null ? {} : { from }), protocol: Protocol.tcp }),
        matches: [{ kind: 'tcp', dport } as const, comment(text)],
        origin,
      };
      if (!one.anyName)
        return { ...parts, target: { kind: 'undocumented', reason: 'nameDecides' } };
      if (!allows) return { ...parts, target: { kind: 'drop' } };
      const mark = { kind: 'mark', value: PROXIED, mask: PROXIED } as const;
      builder.append(4, 'filter', 'FORWARD', { ...parts, target: mark });
      return { ...parts, target: { kind: 'accept' } };
    }),
  );
}

function numbersOf(one: FirewallNetworkRule): readonly (number | null)[] {
  const found = new Set<number | null>();
  for (const protocol of one.protocols) {
    if (protocol === 'TCP') found.add(Protocol.tcp);
    else if (protocol === 'UDP') found.add(Protocol.udp);
    else if (protocol === 'ICMP') found.add(Protocol.icmp);
    else if (one.ports.length === 0) found.add(null);
    else found.add(Protocol.tcp).add(Protocol.udp);
  }
  return [...found];
}

/** Null for everybody. */
function sides(side: FirewallSide): readonly (Prefix | null)[] {
  return side.any ? [null] : side.prefixes.filter((p) => p.address.family === 4);
}

function portMatches(one: FirewallNetworkRule, protocol: number | null): readonly Match[][] {
  const kind = protocol === Protocol.tcp ? 'tcp' : protocol === Protocol.udp ? 'udp' : null;
  if (kind === null || one.ports.length === 0) return [[]];
  return one.ports.map((value) => [{ kind, dport: { value, negate: false } }]);
}

function addNat(builder: PlanBuilder, firewall: Firewall): void {
  for (const collection of firewall.natCollections) {
    for (const one of collection.rules) {
      for (const name of one.protocols) {
        const kind = name === 'TCP' ? ('tcp' as const) : ('udp' as const);
        for (const from of sides(one.source)) {
          builder.append(4, 'nat', 'PREROUTING', {
            ip: head({
              ...(from === null ? {} : { from }),
              to: hostPrefix(one.publicAddress),
              protocol: Protocol[kind],
            }),
            matches: [
              { kind, dport: { value: { low: one.port, high: one.port }, negate: false } },
              comment(`${collection.name}/${one.name} (${collection.priority})`),
            ],
            target: { kind: 'dnat', range: at(one.translatedAddress, one.translatedPort) },
            origin: originOf(firewall, collection, one.name),
          });
        }
      }
    }
  }
  const post = (...rules: readonly RuleParts[]) =>
    builder.append(4, 'nat', 'POSTROUTING', ...rules);
  post(
    rule(
      {},
      { kind: 'snat', range: at(firewall.privateAddress) },
      ctstate('DNAT'),
      comment('answers come back here'),
    ),
  );
  const proxied: Match = { kind: 'mark', value: PROXIED, mask: PROXIED, negate: false };
  const isProxying = firewall.applicationCollections.length > 0;
  for (const to of firewall.privateRanges) {
    if (to.address.family !== 4 || (to.length === 32 && to.address.w3 === 0xffffffff)) continue;
    const why = comment('an application rule let it through: the firewall is the client');
    const own = { kind: 'snat', range: at(firewall.privateAddress) } as const;
    if (isProxying) post(rule({ to }, own, proxied, why));
    post(rule({ to }, 'accept', comment('private range: source kept')));
  }
  const own = firewall.publicAddresses.filter((a) => a.family === 4);
  if (own.length === 0) return;
  const text = `firewall ${firewall.name}`;
  for (const protocol of [Protocol.tcp, Protocol.udp]) {
    post(...snatRules({ from: ANY[4], protocol }, own, PORTS, text));
  }
}

function at(address: Address, port?: number) {
  return {
    low: address,
    high: address,
    ...(port === undefined ? {} : { ports: { low: port, high: port } }),
    random: false,
    randomFully: false,
    persistent: false,
  };
}
