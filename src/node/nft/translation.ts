/**
 * What nft's translations ask for: a range of addresses and ports.
 *
 * Source: net/netfilter/nft_nat.c `nft_nat_eval`, `nft_nat_setup_netmap`, nft_masq.c, nft_redir.c
 * (Linux 6.18).
 * @module
 */
import type { Bounds, NftOperation, NftSource } from '../../image/nft/program.ts';
import type { NatFlag } from '../../netfilter/nft/statement.ts';
import type { NatRange } from '../../netfilter/target.ts';
import { type Address, type Family, ipv4, ipv6 } from '../../wire/address/address.ts';
import { rewriteOf } from '../target/rewrite.ts';
import { addressValue, type Reading } from './load.ts';
import type { Loaded } from './payload.ts';
import { fromSource } from './source.ts';

/** `none`: the host has no address to redirect to. */
export type NatChoice =
  | { readonly kind: 'source' | 'destination' | 'masquerade'; readonly range: NatRange }
  | { readonly kind: 'none' };

type NatOperation = Extract<NftOperation, { kind: 'nat' | 'masquerade' | 'redirect' }>;

/** What the statement asks for; `next` for packets of a family that it is not about. */
export function natChoice(
  reading: Reading,
  operation: NatOperation,
): NatChoice | 'next' | Exclude<Loaded, bigint> {
  const port = valuesOf(reading, operation.port);
  if (typeof port === 'string') return port;
  const options = rangeOptions(operation.flags);
  if (operation.kind === 'nat') return translate(reading, operation, port, options);
  const range: NatRange = { ...options, ...portsOf(port?.[0]) };
  if (operation.kind === 'masquerade') return { kind: 'masquerade', range };
  const { ctx, hook, packet } = reading;
  const found = rewriteOf(ctx, { kind: 'redirect', range }, hook, packet);
  return found === null ? { kind: 'none' } : { kind: 'destination', range: found.range };
}

function valuesOf(
  reading: Reading,
  source: NftSource | null,
): readonly Bounds[] | null | Exclude<Loaded, bigint> {
  return source === null ? null : fromSource(reading, source);
}

type RangeOptions = Pick<NatRange, 'random' | 'randomFully' | 'persistent'>;

function rangeOptions(flags: readonly NatFlag[]): RangeOptions {
  return {
    random: flags.includes('random'),
    randomFully: flags.includes('fully-random'),
    persistent: flags.includes('persistent'),
  };
}

function portsOf(port: Bounds | undefined): Pick<NatRange, 'ports'> {
  if (port === undefined) return {};
  return { ports: { low: Number(port[0]), high: Number(port[1]) } };
}

function translate(
  reading: Reading,
  operation: Extract<NatOperation, { kind: 'nat' }>,
  port: readonly Bounds[] | null,
  options: RangeOptions,
): NatChoice | 'next' | Exclude<Loaded, bigint> {
  const { packet } = reading;
  const family = packet.family === 6 ? 6 : 4;
  if (operation.family !== null && operation.family !== family) return 'next';
  const address = valuesOf(reading, operation.address);
  if (typeof address === 'string') return address;
  // A map may give the port behind the address.
  const [low, high] = address?.[0] ?? [];
  const ports = portsOf(port?.[0] ?? address?.[1]);
  const isSource = operation.manip === 'source';
  if (low === undefined || high === undefined) {
    return { kind: operation.manip, range: { ...options, ...ports } };
  }
  if (!operation.prefix) {
    const range = { low: addressOf(family, low), high: addressOf(family, high) };
    return { kind: operation.manip, range: { ...options, ...ports, ...range } };
  }
  const own = addressValue(isSource ? packet.src : packet.dst);
  const hostBits = low ^ high;
  const mapped = addressOf(family, low | (own & hostBits));
  return { kind: operation.manip, range: { ...options, ...ports, low: mapped, high: mapped } };
}

function addressOf(family: Family, value: bigint): Address {
  if (family === 4) return ipv4(Number(value));
  const word = (by: bigint) => Number((value >> by) & 0xffffffffn);
  return ipv6(word(96n), word(64n), word(32n), word(0n));
}
