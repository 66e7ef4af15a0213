/**
 * Links, addresses, routes, rules and neighbours as commands of ip(8), in the order in which they
 * build the host from an empty network namespace.
 *
 * Everything is written with `replace` or is new, so what the kernel makes by itself (the routes
 * of table local) does not stand in the way, and what it would make on its own and the plan does
 * not have (routes to an address's prefix, IPv6 link-local addresses) is turned off. Without its
 * first word each line is a line of `ip -batch`.
 *
 * Source: iproute2 6.1, ip/iplink.c, ip/ipaddress.c, ip/iproute.c, ip/iprule.c, ip/ipneigh.c.
 * @module
 */
import { formatAddress, formatPrefix } from '../wire/address/address.ts';
import { hex, words } from './match/match-words.ts';
import {
  type Interface,
  MAIN_TABLE,
  type Neighbor,
  type Plan,
  type Route,
  type RoutingRule,
} from './model.ts';

/** The other end of a veth pair: its name, and the network namespace in which it is made. */
export interface VethPeer {
  readonly name: string;
  readonly netns?: string;
}

export interface IpTextOptions {
  /**
   * The far end of an interface that is made as a veth pair. Physical interfaces for which there
   * is none are taken as given; a veth without one gets a peer in the same namespace.
   */
  readonly peerOf?: (device: Interface, index: number) => VethPeer | undefined;
}

/** Print the commands that build the host's links, addresses, neighbours, routes and rules. */
export function printIp(plan: Plan, options: IpTextOptions = {}): string {
  const { interfaces } = plan;
  // Bridges first, so that ports find them; ports join before they are up, as CNI plugins do it.
  const bridgesFirst = interfaces.toSorted((a, b) => rank(a) - rank(b));
  const lines = [
    ...bridgesFirst.flatMap((device) => makeLink(device, interfaces.indexOf(device), options)),
    ...interfaces.filter((device) => device.master !== undefined).map(setMaster),
    ...bridgesFirst.flatMap(setUp),
    ...interfaces.flatMap(addAddresses),
    ...plan.neighbors.map(addNeighbor),
    // A route through a gateway needs the route to the gateway first.
    ...plan.routes
      .toSorted((a, b) => Number(Boolean(a.via)) - Number(Boolean(b.via)))
      .map(addRoute),
    ...plan.routingRules.filter((rule) => !isKernelRule(rule)).map(addRule),
  ];
  return lines.map((line) => `ip ${line}\n`).join('');
}

function rank(device: Interface): number {
  return device.kind === 'bridge' ? 0 : 1;
}

function makeLink(device: Interface, index: number, { peerOf }: IpTextOptions): string[] {
  const { name, kind, mac, mtu } = device;
  const identity = `address ${mac} mtu ${mtu}`;
  if (kind === 'loopback') return [`link set dev ${name} mtu ${mtu}`];
  if (kind === 'bridge') return [`link add name ${name} ${identity} type bridge`];
  if (kind === 'dummy') return [`link add name ${name} ${identity} type dummy`];
  const given = peerOf?.(device, index);
  if (kind === 'physical' && !given) return [`link set dev ${name} ${identity}`];
  const peer = given ?? { name: `peer${index}` };
  const end = words(`peer name ${peer.name}`, peer.netns !== undefined && `netns ${peer.netns}`);
  return [`link add name ${name} ${identity} type veth ${end}`];
}

function setMaster({ name, master }: Interface): string {
  return `link set dev ${name} master ${master}`;
}

function setUp({ name, kind, up, promiscuous }: Interface): string[] {
  const lines: string[] = [];
  if (kind !== 'loopback') lines.push(`link set dev ${name} addrgenmode none`);
  if (promiscuous) lines.push(`link set dev ${name} promisc on`);
  if (up) lines.push(`link set dev ${name} up`);
  return lines;
}

function addAddresses({ name, addresses }: Interface): string[] {
  return addresses.map(({ address, length, scope }) => {
    const place = `${formatPrefix({ address, length })} dev ${name} scope ${scope}`;
    return words(`addr replace ${place} noprefixroute`, address.family === 6 && 'nodad');
  });
}

function addNeighbor({ address, device, mac, state }: Neighbor): string {
  const link = state === 'failed' ? '' : `lladdr ${mac}`;
  return words(`neigh replace ${formatAddress(address)}`, link, `dev ${device} nud ${state}`);
}

/** `unicast` is the type that is not written. */
function addRoute(route: Route): string {
  const { type, destination, table, device, via, source, metric, scope, onlink } = route;
  const isLink = type === 'unicast' || type === 'local' || type === 'broadcast';
  return words(
    'route replace',
    type !== 'unicast' && type,
    formatPrefix(destination),
    via && `via ${formatAddress(via)}`,
    device !== undefined && `dev ${device}`,
    table !== MAIN_TABLE && `table ${table}`,
    isLink && destination.address.family === 4 && `scope ${scope}`,
    source && `src ${formatAddress(source)}`,
    metric !== 0 && `metric ${metric}`,
    onlink && 'onlink',
  );
}

/**
 * The three rules that every namespace starts with (net/ipv4/fib_rules.c
 * `fib_default_rules_init`).
 */
function isKernelRule({ preference, table, ...rest }: RoutingRule): boolean {
  const known: Readonly<Record<number, number>> = { 0: 255, 32766: 254, 32767: 253 };
  const selectors = [rest.from, rest.to, rest.iif, rest.oif, rest.fwmark, rest.negate];
  return known[preference] === table && selectors.every((part) => part === undefined);
}

function addRule(rule: RoutingRule): string {
  const { family, preference, table, from, to, iif, oif, fwmark, negate } = rule;
  const everything = family === 4 ? '0.0.0.0/0' : '::/0';
  return words(
    // Unlike routes, `ip rule add from ::/0` without -6 makes an IPv4 rule (seen, iproute2 6.1).
    family === 6 && '-6',
    `rule add pref ${preference}`,
    negate && 'not',
    `from ${from ? formatPrefix(from) : everything}`,
    to && `to ${formatPrefix(to)}`,
    iif !== undefined && `iif ${iif}`,
    oif !== undefined && `oif ${oif}`,
    fwmark && `fwmark ${hex(fwmark.value)}/${hex(fwmark.mask)}`,
    `lookup ${table}`,
  );
}
