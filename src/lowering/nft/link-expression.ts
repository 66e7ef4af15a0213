/**
 * Expressions of nft as loads, with the tests that nft puts before them: which family, which
 * transport protocol.
 *
 * Source: nftables 1.0.6 src/payload.c `payload_gen_dependency`, src/evaluate.c
 * `expr_evaluate_payload`, src/netlink_linearize.c; seen with `nft --debug=netlink`
 * and held to it by test/differential/kernel/nft.test.ts.
 * @module
 */
import type { LookupSet } from '../../image/nft/lookup-set.ts';
import type {
  Bounds,
  NftLoad,
  NftOperation,
  NftSource,
  PayloadLoad,
} from '../../image/nft/program.ts';
import type { NftType } from '../../netfilter/nft/datatype.ts';
import { boundsOf, type NftExpression, type NftKey } from '../../netfilter/nft/expression.ts';
import { fieldNamed, protocolNamed } from '../../netfilter/nft/field.ts';
import type { NftFamily, NftSet, NftSetReference } from '../../netfilter/nft/ruleset.ts';
import { typesOf } from '../../netfilter/nft/type-of.ts';
import type { FaultText } from '../fault.ts';

/** Values of `meta nfproto` (include/uapi/linux/netfilter.h). */
const NFPROTO = { ip: 2n, ip6: 10n } as const;

/** Reports mistakes of the rule that is being linked. */
export type Blame = (text: FaultText) => void;

/** What all rules of a table share. */
export interface TableScope {
  readonly family: NftFamily;
  readonly sets: (name: string) => NftSet | undefined;
  /** The compiled set of a reference; null when there is none of this name. */
  readonly compiled: (reference: NftSetReference) => LookupSet | null;
  readonly nextNumgen: () => number;
}

/** One rule being linked: operations so far, and what is known of packets that get there. */
export class RuleScope {
  readonly table: TableScope;
  readonly operations: NftOperation[] = [];
  /** Tests that go before all others: what is refused is not to be logged or counted in vain. */
  readonly front: NftOperation[] = [];
  readonly blame: Blame;
  markBits = 0;
  /** What rules asked for so far; nft takes a header only where it is the one that they said. */
  readonly #networks = new Set<'ip' | 'ip6'>();
  readonly #transports = new Set<number>();

  constructor(table: TableScope, blame: Blame) {
    this.table = table;
    this.blame = blame;
    if (table.family !== 'inet') this.#networks.add(table.family);
  }

  /** From here on, or for the whole rule, packets are of this family. */
  needNetwork(family: 'ip' | 'ip6', what: string, where = this.operations): void {
    if (isOnly(this.#networks, family)) return;
    if (this.#networks.size > 0) {
      const message = `${what} is of another family than the packets that get here`;
      const found = [...this.#networks].join(', ');
      this.blame({ code: 'PLAN_NFT_PROTOCOL', message, found, accepted: family });
      return;
    }
    this.#networks.add(family);
    where.push(equals({ kind: 'meta', key: 'nfproto' }, NFPROTO[family]));
  }

  /** From here on, or for the whole rule, packets are of this transport protocol. */
  needTransport(protocol: number, what: string, where = this.operations): void {
    if (isOnly(this.#transports, protocol)) return;
    if (this.#transports.size > 0) {
      const message = `${what} is of another protocol than the packets that get here`;
      const found = [...this.#transports].join(', ');
      this.blame({ code: 'PLAN_NFT_PROTOCOL', message, found, accepted: String(protocol) });
      return;
    }
    this.#transports.add(protocol);
    where.push(equals({ kind: 'meta', key: 'l4proto' }, BigInt(protocol)));
  }

  /** What a match says of the packet's protocols; one with a set may say several. */
  learn(left: NftExpression, value: bigint): void {
    const { kind } = left;
    if (kind === 'meta' && left.key === 'l4proto') this.#transports.add(Number(value));
    else if (kind === 'meta' && (left.key === 'nfproto' || left.key === 'protocol')) {
      if (value === NFPROTO.ip || value === 0x0800n) this.#networks.add('ip');
      if (value === NFPROTO.ip6 || value === 0x86ddn) this.#networks.add('ip6');
    } else if (kind === 'payload') {
      const name = `${left.protocol} ${left.field}`;
      const isNext = name === 'ip protocol' || name === 'ip6 nexthdr';
      if (isNext) this.#transports.add(Number(value));
    }
  }
}

function isOnly<T>(known: ReadonlySet<T>, one: T): boolean {
  return known.size === 1 && known.has(one);
}

function equals(load: NftLoad, value: bigint): NftOperation {
  const tests = [{ kind: 'bounds', low: value, high: value }] as const;
  return { kind: 'test', loads: [load], tests, negate: false };
}

/** The types of an expression; constants have none. */
export function typesIn(scope: RuleScope, expression: NftExpression): readonly NftType[] {
  return typesOf(expression, scope.table.sets) ?? [];
}

/** The loads of an expression, one for each part; its dependencies are added before. */
export function linkLoads(scope: RuleScope, expression: NftExpression): readonly NftLoad[] {
  switch (expression.kind) {
    case 'concat':
      return expression.parts.flatMap((part) => linkLoads(scope, part));
    case 'meta':
      return [expression];
    case 'ct': {
      const { key, direction = null, family } = expression;
      const own = family === undefined ? null : family === 'ip' ? 4 : 6;
      return [{ kind: 'ct', key, direction, family: own }];
    }
    case 'payload':
      return linkPayload(scope, expression.protocol, expression.field);
    case 'raw':
      return [payloadLoad(expression.base, expression.offset, expression.length)];
    case 'fib':
      return [expression];
    case 'numgen':
      return [{ ...expression, id: scope.table.nextNumgen() }];
    case 'jhash': {
      const of = linkLoads(scope, expression.of);
      if (of.some(({ kind }) => kind !== 'payload')) {
        const message = 'jhash of anything but header fields is not emulated';
        scope.blame({ code: 'PLAN_NFT_EXPRESSION', message });
      }
      const bytes = typesIn(scope, expression.of).map(({ bits }) => Math.ceil(bits / 8));
      const { modulus, seed, offset } = expression;
      return [{ kind: 'jhash', of, bytes, modulus, seed, offset }];
    }
    case 'bits':
      return linkBits(scope, expression);
    case 'map':
    case 'constant': {
      const message = 'a map or a constant can not be held against anything';
      scope.blame({ code: 'PLAN_NFT_EXPRESSION', message });
      return [];
    }
  }
}

function linkBits(
  scope: RuleScope,
  expression: Extract<NftExpression, { kind: 'bits' }>,
): readonly NftLoad[] {
  const { operator, right } = expression;
  const [left] = linkLoads(scope, expression.left);
  const [type] = typesIn(scope, expression.left);
  if (left === undefined || type === undefined) return [];
  return [{ kind: 'bits', operator, left, right, bits: type.bits }];
}

function linkPayload(scope: RuleScope, protocol: string, field: string): readonly NftLoad[] {
  const found = fieldNamed(protocol, field);
  if (found === null) {
    const message = 'not a header field that is known here';
    scope.blame({ code: 'PLAN_NFT_FIELD', message, found: `${protocol} ${field}` });
    return [];
  }
  needProtocol(scope, protocol);
  return [payloadLoad(found.base, found.offset, found.type.bits)];
}

/** What must be known of a packet before a header of this protocol is looked at. */
export function needProtocol(scope: RuleScope, protocol: string): void {
  const { family, transport } = protocolNamed(protocol) ?? {};
  if (family !== undefined) scope.needNetwork(family, protocol);
  if (transport !== undefined) scope.needTransport(transport, protocol);
}

/** Bits of a header as the kernel loads them: whole bytes, then masked. */
export function payloadLoad(base: 'nh' | 'th', offset: number, bits: number): PayloadLoad {
  const first = Math.floor(offset / 8);
  const length = Math.ceil((offset + bits) / 8) - first;
  const shift = length * 8 - (offset % 8) - bits;
  // `nft_payload_select_ops`: up to four bytes, aligned to their own number.
  const isFast = [1, 2, 4].includes(length) && first % length === 0;
  return { kind: 'payload', base, offset: first, length, shift, bits, isFast };
}

/** The bounds of each part of a key. */
export function linkKey(key: NftKey, types: readonly NftType[]): readonly Bounds[] {
  return key.map((pattern, i) => boundsOf(pattern, types[i]?.bits ?? 0));
}

/** Where a value comes from; `types` are those of a constant. */
export function linkSource(
  scope: RuleScope,
  expression: NftExpression,
  types: readonly NftType[],
): NftSource {
  if (expression.kind === 'constant') {
    return { kind: 'constant', values: linkKey(expression.key, types) };
  }
  if (expression.kind !== 'map') return { kind: 'loads', loads: linkLoads(scope, expression) };
  const loads = linkLoads(scope, expression.key);
  const set = linkSet(scope, expression.map, expression.key, 'map');
  return set === null ? { kind: 'loads', loads } : { kind: 'mapped', loads, set };
}

/** The set of a reference, whose keys must be of the type of what is looked up. */
export function linkSet(
  scope: RuleScope,
  reference: NftSetReference,
  key: NftExpression,
  kind: NftSet['kind'],
): LookupSet | null {
  const compiled = scope.table.compiled(reference);
  const set = reference.kind === 'anonymous' ? reference.set : scope.table.sets(reference.name);
  if (compiled === null || set === undefined) {
    const found = reference.kind === 'named' ? reference.name : '';
    scope.blame({ code: 'PLAN_NFT_SET', message: 'no set of this name', found });
    return null;
  }
  if (set.kind !== kind) {
    const message = 'another kind of set is wanted here';
    scope.blame({
      code: 'PLAN_NFT_SET',
      message,
      found: `${set.kind} ${set.name}`,
      accepted: kind,
    });
    return null;
  }
  const asked = typesIn(scope, key);
  if (!sameTypes(asked, set.type)) {
    const message = `set ${set.name} has keys of another type than what is looked up`;
    const found = namesOf(set.type);
    scope.blame({ code: 'PLAN_NFT_TYPE', message, found, accepted: namesOf(asked) });
    return null;
  }
  return compiled;
}

function namesOf(types: readonly NftType[]): string {
  return types.map(({ name }) => name).join(' . ');
}

function sameTypes(a: readonly NftType[], b: readonly NftType[]): boolean {
  if (a.length !== b.length) return false;
  return a.every(({ name, bits }, i) => {
    const other = b[i];
    // Plain numbers are of any type of their width.
    const isPlain = name === 'integer' || other?.name === 'integer';
    return other !== undefined && other.bits === bits && (isPlain || other.name === name);
  });
}
