/**
 * Members of IP sets as ipset(8) prints and reads them: `ADDRESS`, `NETWORK [nomatch]`,
 * `ADDRESS,PROTOCOL:PORT`, `NETWORK,PROTOCOL:PORT [nomatch]`,
 * `ADDRESS,PROTOCOL:PORT,ADDRESS`, `ADDRESS,PROTOCOL:PORT,NETWORK [nomatch]`, `PORT`, or the name
 * of a set.
 *
 * Source: ipset 7.17, lib/print.c, lib/parse.c, lib/icmp.c, lib/icmpv6.c.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { IpSet, SetMember } from '../../netfilter/ip-set.ts';
import {
  bits,
  type Family,
  formatAddress,
  maskAddress,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { icmpNameOf, icmpTypeByName } from '../rule/icmp-names.ts';
import { formatProtocol, parseProtocol } from '../rule/protocol-name.ts';

/** One member as `ipset save` prints it. */
export function formatMember(member: SetMember): string {
  switch (member.kind) {
    case 'ip':
      return formatAddress(member.address);
    case 'net':
      return formatNet(member.net) + formatNomatch(member);
    case 'ip,port':
      return `${formatAddress(member.address)},${formatService(member, member.address.family)}`;
    case 'net,port': {
      const service = formatService(member, member.net.address.family);
      return `${formatNet(member.net)},${service}${formatNomatch(member)}`;
    }
    case 'ip,port,ip': {
      const service = formatService(member, member.address.family);
      return `${formatAddress(member.address)},${service},${formatAddress(member.second)}`;
    }
    case 'ip,port,net': {
      const service = formatService(member, member.address.family);
      const net = formatNet(member.within) + formatNomatch(member);
      return `${formatAddress(member.address)},${service},${net}`;
    }
    case 'port':
      return String(member.port);
    case 'set':
      return member.set;
    default:
      return unreachable(member);
  }
}

function formatNomatch(member: { readonly nomatch: boolean }): string {
  return member.nomatch ? ' nomatch' : '';
}

function formatNet({ address, length }: Prefix): string {
  const network = formatAddress(maskAddress(address, length));
  return length === bits(address.family) ? network : `${network}/${length}`;
}

interface Service {
  readonly protocol: number;
  readonly port: number;
}

/**
 * `PROTOCOL:PORT`; ICMP has type and code in the port's place (lib/print.c
 * `ipset_print_proto_port`).
 */
function formatService({ protocol, port }: Service, family: Family): string {
  const name = formatProtocol(protocol);
  const isIcmp = protocol === (family === 4 ? Protocol.icmp : Protocol.icmpv6);
  if (!isIcmp) return `${name}:${port}`;
  const [type, code] = [port >> 8, port & 0xff];
  return `${name}:${icmpNameOf(type, code, family) ?? `${type}/${code}`}`;
}

/** The member, or what would have been accepted. */
export function parseMember(
  { type, family }: Pick<IpSet, 'type' | 'family'>,
  element: string,
  nomatch: boolean,
): SetMember | string {
  if (type === 'list:set') return { kind: 'set', set: element };
  if (type === 'bitmap:port') {
    const port = portNumber(element);
    return port === undefined ? 'a port of 0 to 65535' : { kind: 'port', port };
  }
  if (type === 'hash:ip,port,ip' || type === 'hash:ip,port,net') {
    return parseTriple(type, element, { family: family ?? 4, nomatch });
  }
  const comma = element.indexOf(',');
  const [first, second] =
    comma < 0 ? [element, undefined] : [element.slice(0, comma), element.slice(comma + 1)];
  const service = second === undefined ? undefined : parseService(second, family ?? 4);
  const address = parseAddress(first);
  const read = parsePrefix(first);
  const isAddress = address?.family === family;
  const net = read !== null && isMember(read, family) ? networkOf(read) : undefined;
  switch (type) {
    case 'hash:ip':
      return address && isAddress && second === undefined
        ? { kind: 'ip', address }
        : `an IPv${family} address`;
    case 'hash:net':
      return net && second === undefined
        ? { kind: 'net', net, nomatch }
        : `an IPv${family} network of length 1 or more`;
    case 'hash:ip,port':
      return address && isAddress && service
        ? { kind: 'ip,port', address, ...service }
        : `IPv${family} ADDRESS,PROTOCOL:PORT`;
    case 'hash:net,port':
      return net && service
        ? { kind: 'net,port', net, ...service, nomatch }
        : `IPv${family} NETWORK,PROTOCOL:PORT`;
    default:
      return unreachable(type);
  }
}

function parseTriple(
  type: 'hash:ip,port,ip' | 'hash:ip,port,net',
  element: string,
  { family, nomatch }: { readonly family: Family; readonly nomatch: boolean },
): SetMember | string {
  const [first = '', middle = '', last = '', ...more] = element.split(',');
  const address = parseAddress(first);
  const service = parseService(middle, family);
  const isWhole = address?.family === family && service !== undefined && more.length === 0;
  if (type === 'hash:ip,port,ip') {
    const second = parseAddress(last);
    return isWhole && second?.family === family
      ? { kind: 'ip,port,ip', address, ...service, second }
      : `IPv${family} ADDRESS,PROTOCOL:PORT,ADDRESS`;
  }
  const net = parsePrefix(last);
  return isWhole && net !== null && isMember(net, family)
    ? { kind: 'ip,port,net', address, ...service, within: networkOf(net), nomatch }
    : `IPv${family} ADDRESS,PROTOCOL:PORT,NETWORK`;
}

/** The kernel has no sets of networks of length 0. */
function isMember(net: Prefix, family: Family | undefined): boolean {
  return net.address.family === family && net.length > 0;
}

function networkOf({ address, length }: Prefix): Prefix {
  return { address: maskAddress(address, length), length };
}

/** `[PROTOCOL:]PORT`; TCP when the protocol is not given. */
function parseService(text: string, family: Family): Service | undefined {
  const [name, rest] = text.includes(':') ? text.split(':', 2) : ['tcp', text];
  const protocol = parseProtocol(name ?? '');
  if (protocol === null || rest === undefined) return undefined;
  if (protocol === (family === 4 ? Protocol.icmp : Protocol.icmpv6)) {
    const port = icmpPort(rest, family);
    return port === undefined ? undefined : { protocol, port };
  }
  const port = portNumber(rest);
  return port === undefined ? undefined : { protocol, port };
}

function portNumber(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  return port < 0 || port > 0xffff ? undefined : port;
}

/** `TYPE/CODE` or a name, as type · 256 + code. */
function icmpPort(text: string, family: Family): number | undefined {
  const m = /^(\d{1,3})\/(\d{1,3})$/.exec(text);
  if (m) {
    const [type, code] = [Number(m[1]), Number(m[2])];
    return type > 255 || code > 255 ? undefined : type * 256 + code;
  }
  const named = icmpTypeByName(text, family);
  return named && named.type * 256 + named.codes.low;
}
