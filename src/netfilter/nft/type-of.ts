/**
 * The type of what an expression reads, one for each part of a concatenation.
 *
 * Source: nftables 1.0.6 src/meta.c `meta_templates`, src/ct.c `ct_templates`, src/fib.c.
 * @module
 */
import { integer, type NftType, nftType } from './datatype.ts';
import type { CtKey, MetaKey, NftExpression } from './expression.ts';
import { fieldNamed } from './field.ts';
import type { NftSet, NftSetReference } from './ruleset.ts';

const META: Readonly<Record<MetaKey, NftType>> = {
  length: integer(32),
  protocol: nftType('ether_type'),
  nfproto: nftType('nf_proto'),
  l4proto: nftType('inet_proto'),
  mark: nftType('mark'),
  iif: nftType('iface_index'),
  oif: nftType('iface_index'),
  iifname: nftType('ifname'),
  oifname: nftType('ifname'),
  iiftype: nftType('iface_type'),
  oiftype: nftType('iface_type'),
  pkttype: nftType('pkt_type'),
  skuid: nftType('uid'),
  skgid: nftType('gid'),
};

const CT: Readonly<Record<Exclude<CtKey, 'saddr' | 'daddr'>, NftType>> = {
  state: nftType('ct_state'),
  direction: nftType('ct_dir'),
  status: nftType('ct_status'),
  mark: nftType('mark'),
  expiration: nftType('time'),
  l3proto: nftType('nf_proto'),
  protocol: nftType('inet_proto'),
  'proto-src': nftType('inet_service'),
  'proto-dst': nftType('inet_service'),
  packets: integer(64),
  bytes: integer(64),
  avgpkt: integer(64),
  zone: integer(16),
};

const FIB = {
  oif: nftType('iface_index'),
  oifname: nftType('ifname'),
  type: nftType('fib_addrtype'),
  check: nftType('boolean'),
} as const;

/** Named sets by name. */
export type SetsByName = (name: string) => NftSet | undefined;

export function resolveSet(reference: NftSetReference, sets: SetsByName): NftSet | undefined {
  return reference.kind === 'anonymous' ? reference.set : sets(reference.name);
}

/**
 * @returns the types, or null when it names a field or a map that there is not, or is a constant
 */
export function typesOf(expression: NftExpression, sets: SetsByName): readonly NftType[] | null {
  switch (expression.kind) {
    case 'meta':
      return [META[expression.key]];
    case 'ct':
      if (expression.key !== 'saddr' && expression.key !== 'daddr') return [CT[expression.key]];
      return [nftType(expression.family === 'ip6' ? 'ipv6_addr' : 'ipv4_addr')];
    case 'payload': {
      const field = fieldNamed(expression.protocol, expression.field);
      return field === null ? null : [field.type];
    }
    case 'raw':
      return [integer(expression.length)];
    case 'fib':
      return [FIB[expression.result]];
    case 'numgen':
    case 'jhash':
      return [integer(32)];
    case 'bits':
      return typesOf(expression.left, sets);
    case 'concat': {
      const parts = expression.parts.map((part) => typesOf(part, sets));
      return parts.some((part) => part === null) ? null : parts.flatMap((part) => part ?? []);
    }
    case 'constant':
      return null;
    case 'map':
      return resolveSet(expression.map, sets)?.data ?? null;
  }
}
