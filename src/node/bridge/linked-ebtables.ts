/**
 * A host's ebtables, linked once: jumps point at chains, MACs are bytes, and every rule knows how
 * its place is said, so that no frame pays for names.
 * @module
 */
import type { EbChain, EbMatch, EbTable, EbTarget, EbVerdict } from '../../netfilter/ebtables.ts';
import { writeMac } from '../../wire/address/mac.ts';

export type EbHook = 'BROUTING' | 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';
export type EbTableName = EbTable['name'];

type MacMatch = Extract<EbMatch, { kind: 'source' | 'destination' }>;

/** A MAC of a frame under a mask; six bytes each. */
interface LinkedMacMatch {
  readonly kind: MacMatch['kind'];
  readonly value: Uint8Array;
  readonly mask: Uint8Array;
  readonly negate: boolean;
}

export type LinkedEbMatch = Exclude<EbMatch, MacMatch> | LinkedMacMatch;

export interface LinkedEbRule {
  readonly matches: readonly LinkedEbMatch[];
  readonly target: EbTarget;
  /** Where a jump leads; null for every other target, and where there is no such chain. */
  readonly chain: LinkedEbChain | null;
  /** `nat PREROUTING rule 2`. */
  readonly place: string;
}

export interface LinkedEbChain {
  readonly policy: EbVerdict;
  readonly rules: readonly LinkedEbRule[];
}

export interface Ebtables {
  /** What is asked in OUTPUT, in order. */
  readonly output: readonly ('nat' | 'filter')[];
  /** The built-in chain of a table at a hook; null where the table has none. */
  chain(table: EbTableName, hook: EbHook): LinkedEbChain | null;
}

/** Link a host's ebtables. */
export function linkEbtables(tables: readonly EbTable[]): Ebtables {
  const linked = new Map(tables.map((table) => [table.name, linkTable(table)] as const));
  // ebtables-nft hangs filter OUTPUT at priority -200 (`NF_BR_PRI_FILTER_BRIDGED`), nat at 100.
  const isNft = tables.some(({ name, backend }) => name === 'filter' && backend === 'nft');
  return {
    output: isNft ? ['filter', 'nat'] : ['nat', 'filter'],
    chain: (table, hook) => linked.get(table)?.get(hook) ?? null,
  };
}

/** A chain while its rules are still being linked. */
interface OpenChain extends LinkedEbChain {
  readonly rules: LinkedEbRule[];
}

function linkTable({ name, chains }: EbTable): ReadonlyMap<string, LinkedEbChain> {
  const byName = new Map(
    chains.map((chain): [string, OpenChain] => [chain.name, { policy: chain.policy, rules: [] }]),
  );
  for (const chain of chains) {
    byName.get(chain.name)?.rules.push(...linkRules(`${name} ${chain.name}`, chain, byName));
  }
  return byName;
}

function linkRules(
  at: string,
  chain: EbChain,
  chains: ReadonlyMap<string, LinkedEbChain>,
): LinkedEbRule[] {
  return chain.rules.map(({ matches, target }, i) => ({
    matches: matches.map(linkMatch),
    target,
    chain: target.kind === 'jump' ? (chains.get(target.chain) ?? null) : null,
    place: `${at} rule ${i + 1}`,
  }));
}

function linkMatch(match: EbMatch): LinkedEbMatch {
  if (!isMacMatch(match)) return match;
  const { kind, negate } = match;
  return { kind, negate, value: macBytes(match.mac), mask: macBytes(match.mask) };
}

function isMacMatch(match: EbMatch): match is MacMatch {
  return match.kind === 'source' || match.kind === 'destination';
}

function macBytes(mac: string): Uint8Array {
  const bytes = new Uint8Array(6);
  writeMac(bytes, 0, mac);
  return bytes;
}
