/**
 * What an id means under its qualifiers: `80` after `port`, `10.0` after `net`, a MAC address.
 *
 * Source: libpcap 1.10.3 `gencode.c`: gen_ncode, gen_mcode, gen_mcode6, gen_ecode, gen_scode.
 * Host and network names are refused: no name is looked up.
 * @module
 */

import type { UserError } from '../../diagnostic/diagnostic.ts';
import {
  type Address,
  equalAddress,
  maskAddress,
  parseAddress,
} from '../../wire/address/address.ts';
import { filterError } from './error.ts';
import type { Token } from './lex.ts';
import { IP_PROTOCOLS, LINK_PROTOCOLS, type NamedPort, PORTS } from './names.ts';
import type { Node, PortProtocol, Qualifiers } from './syntax.ts';

/** An id as written: a token, perhaps with a mask or a prefix length. */
export interface QualifiedId {
  readonly token: Token;
  readonly mask?: Token;
  readonly length?: number;
}

const ALL_ONES = 0xffffffff;
const PORT_MAX = 65535;

/** Resolve an id. Throws a UserError naming its column when the qualifiers do not take it. */
export function makeId(id: QualifiedId, q: Qualifiers): Node {
  const { token } = id;
  switch (token.kind) {
    case 'number':
      return numberId(token, q);
    case 'ipv4':
      return ipv4Id(id, q);
    case 'ipv6':
      return ipv6Id(id, q);
    case 'mac':
      return macId(token, q);
    case 'name':
      return nameId(token, q);
    default:
      throw filterError('FILTER_UNSUPPORTED', token.at, 'ARCNET addresses are not supported', {
        found: token.text,
      });
  }
}

function numberId(token: Token, q: Qualifiers): Node {
  switch (q.kind) {
    case 'port':
    case 'portrange':
      return portsNode(token, q, portNumber(token), portNumber(token), null);
    case 'proto':
      return protocolNode(token, q, token.value);
    case 'net': {
      const { value, mask } = promote(token.value);
      return addressNode(token, q, value, mask);
    }
    default:
      return addressNode(token, q, token.value, ALL_ONES);
  }
}

/** A short network number stands for its leading bytes: `net 10` is 10.0.0.0/8. */
function promote(number: number): { value: number; mask: number } {
  let value = number;
  let mask = ALL_ONES;
  while (value !== 0 && value < 0x1000000) {
    value = (value << 8) >>> 0;
    mask = (mask << 8) >>> 0;
  }
  return { value, mask };
}

function ipv4Id(id: QualifiedId, q: Qualifiers): Node {
  const { token } = id;
  addressOnly(token, q);
  const { value, bits } = dotted(token);
  if (id.mask === undefined && id.length === undefined) {
    return addressNode(token, q, value, bitsMask(bits));
  }
  if (q.kind !== 'net') throw masksAreForNets(token);
  const mask = id.mask === undefined ? lengthMask(id.length ?? 0, token) : dotted(id.mask).value;
  if ((value & ~mask) !== 0) throw hostBits(token);
  return addressNode(token, q, value, mask);
}

/** Two to four numbers, left-justified: `10.1` is 10.1.0.0 with 16 bits. */
function dotted(token: Token): { value: number; bits: number } {
  const parts = token.text.split('.').map(Number);
  if (parts.some((part) => !(part <= 255))) {
    throw filterError('FILTER_VALUE', token.at, 'not an IPv4 address', { found: token.text });
  }
  const bits = parts.length * 8;
  const number = parts.reduce((sum, part) => sum * 256 + part, 0);
  return { value: (number * 2 ** (32 - bits)) >>> 0, bits };
}

function bitsMask(bits: number): number {
  return bits === 0 ? 0 : (ALL_ONES << (32 - bits)) >>> 0;
}

function lengthMask(length: number, token: Token): number {
  if (length <= 32) return bitsMask(length);
  throw filterError('FILTER_VALUE', token.at, 'no IPv4 prefix is that long', {
    found: `/${length}`,
    accepted: '/0 to /32',
  });
}

function ipv6Id(id: QualifiedId, q: Qualifiers): Node {
  const { token } = id;
  addressOnly(token, q);
  if (q.protocol !== null && q.protocol !== 'ip6') {
    throw filterError(
      'FILTER_SYNTAX',
      token.at,
      `'${q.protocol}' does not go with an IPv6 address`,
    );
  }
  const address = parseAddress(token.text);
  if (address === null) {
    throw filterError('FILTER_VALUE', token.at, 'not an IPv6 address', { found: token.text });
  }
  const length = id.length ?? 128;
  if (length > 128) {
    throw filterError('FILTER_VALUE', token.at, 'no IPv6 prefix is that long', {
      found: `/${length}`,
      accepted: '/0 to /128',
    });
  }
  if (length !== 128 && q.kind !== 'net') throw masksAreForNets(token);
  if (hasHostBits(address, length)) throw hostBits(token);
  return {
    kind: 'address6',
    direction: q.direction ?? 'or',
    prefix: { address, length },
    at: token.at,
  };
}

function hasHostBits(address: Address, length: number): boolean {
  return !equalAddress(address, maskAddress(address, length));
}

function hostBits(token: Token): UserError {
  return filterError('FILTER_VALUE', token.at, 'bits behind the mask are set', {
    found: token.text,
  });
}

function masksAreForNets(token: Token): UserError {
  return filterError('FILTER_SYNTAX', token.at, 'a mask goes with net only', {
    accepted: `net ${token.text}/…`,
  });
}

/** `port`, `portrange` and `proto` take no address. */
function addressOnly(token: Token, q: Qualifiers): void {
  if (q.kind === null || q.kind === 'host' || q.kind === 'net') return;
  throw filterError('FILTER_SYNTAX', token.at, `'${q.kind}' takes no address`, {
    found: token.text,
  });
}

function addressNode(token: Token, q: Qualifiers, value: number, mask: number): Node {
  const { protocol } = q;
  if (protocol !== null && protocol !== 'ip' && protocol !== 'arp' && protocol !== 'rarp') {
    throw filterError('FILTER_SYNTAX', token.at, `'${protocol}' does not go with an IPv4 address`, {
      found: token.text,
      accepted: protocol === 'ether' ? 'a MAC address' : 'ip, arp, rarp, or no protocol',
    });
  }
  return {
    kind: 'address4',
    protocol,
    direction: q.direction ?? 'or',
    value: (value & mask) >>> 0,
    mask,
    at: token.at,
  };
}

function macId(token: Token, q: Qualifiers): Node {
  if (q.protocol !== 'ether' || (q.kind !== null && q.kind !== 'host')) {
    throw filterError('FILTER_SYNTAX', token.at, 'a MAC address goes with ether only', {
      found: token.text,
      accepted: `ether host ${token.text}`,
    });
  }
  return {
    kind: 'mac',
    direction: q.direction ?? 'or',
    address: macBytes(token.text),
    at: token.at,
  };
}

/** Six groups of one or two digits, or twelve digits with or without dots. */
function macBytes(text: string): number[] {
  const groups = text.split(/[:.-]/);
  if (groups.length === 6) return groups.map((group) => Number.parseInt(group, 16));
  const digits = groups.join('');
  return Array.from({ length: 6 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

function nameId(token: Token, q: Qualifiers): Node {
  switch (q.kind) {
    case 'port': {
      const named = namedPort(token, token.text);
      return portsNode(token, q, named.port, named.port, named.protocol);
    }
    case 'portrange':
      return rangeNode(token, q);
    case 'proto':
      return protocolNode(token, q, protocolNumber(token, q));
    default: {
      const what = q.kind === 'net' ? 'network' : 'host';
      throw filterError('FILTER_UNSUPPORTED', token.at, `${what} names are not looked up`, {
        found: token.text,
        accepted: q.protocol === 'ether' ? 'a MAC address' : 'an address',
      });
    }
  }
}

function rangeNode(token: Token, q: Qualifiers): Node {
  const dash = token.text.indexOf('-');
  if (dash < 0) {
    const named = namedPort(token, token.text);
    return portsNode(token, q, named.port, named.port, named.protocol);
  }
  const low = namedPort(token, token.text.slice(0, dash));
  const high = namedPort(token, token.text.slice(dash + 1));
  const protocol = low.protocol === high.protocol ? low.protocol : null;
  return portsNode(token, q, low.port, high.port, protocol);
}

function namedPort(token: Token, text: string): NamedPort {
  if (/^\d+$/.test(text)) {
    return { port: portNumber({ ...token, value: Number(text), text }), protocol: null };
  }
  const named = PORTS.get(text);
  if (named !== undefined) return named;
  throw filterError('FILTER_VALUE', token.at, 'no port of this name is known', {
    found: text,
    accepted: 'a number, or a common name as http, https, domain, ssh',
  });
}

function portNumber(token: Token): number {
  if (token.value <= PORT_MAX) return token.value;
  throw filterError('FILTER_VALUE', token.at, 'no port has this number', {
    found: token.text,
    accepted: `0 to ${PORT_MAX}`,
  });
}

function portsNode(
  token: Token,
  q: Qualifiers,
  low: number,
  high: number,
  named: NamedPort['protocol'],
): Node {
  const { protocol } = q;
  if (protocol !== null && protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') {
    throw filterError('FILTER_SYNTAX', token.at, `'${protocol}' has no ports`, {
      accepted: 'tcp, udp, sctp, or no protocol',
    });
  }
  if (protocol !== null && named !== null && protocol !== named) {
    throw filterError('FILTER_VALUE', token.at, `port '${token.text}' is ${named}`);
  }
  const both: PortProtocol = protocol ?? named;
  return {
    kind: 'ports',
    protocol: both,
    direction: q.direction ?? 'or',
    low: Math.min(low, high),
    high: Math.max(low, high),
    at: token.at,
  };
}

function protocolNumber(token: Token, q: Qualifiers): number {
  const table = q.protocol === 'ether' ? LINK_PROTOCOLS : IP_PROTOCOLS;
  const number = table.get(token.text);
  if (number !== undefined) return number;
  throw filterError('FILTER_VALUE', token.at, 'no protocol of this name is known', {
    found: token.text,
    accepted: 'a number, or a name as \\tcp, \\udp, \\icmp, gre',
  });
}

function protocolNode(token: Token, q: Qualifiers, value: number): Node {
  const { at } = token;
  if (q.protocol === 'ether') return { kind: 'linkProtocol', value, at };
  if (q.protocol === null || q.protocol === 'ip' || q.protocol === 'ip6') {
    return { kind: 'ipProtocol', family: q.protocol, value, at };
  }
  throw filterError('FILTER_SYNTAX', at, `'${q.protocol} proto' means nothing`, {
    accepted: 'ether proto, ip proto, ip6 proto, proto',
  });
}
