/**
 * Statements of nft as operations.
 *
 * Source: nftables 1.0.6 src/netlink_linearize.c, src/evaluate.c `stmt_evaluate`; net/netfilter
 * nft_*.c `*_init` (Linux 6.18): what a rule may say where it stands.
 * @module
 */

import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { LookupSet } from '../../image/nft/lookup-set.ts';
import type {
  ElementMeter,
  NftLinkedChain,
  NftLinkedVerdict,
  NftOperation,
  NftSource,
  NftTest,
} from '../../image/nft/program.ts';
import { nftType } from '../../netfilter/nft/datatype.ts';
import type { NftExpression, NftKey } from '../../netfilter/nft/expression.ts';
import { fieldNamed } from '../../netfilter/nft/field.ts';
import type { NftSetReference } from '../../netfilter/nft/ruleset.ts';
import type { NftStatement, NftVerdict, StatefulStatement } from '../../netfilter/nft/statement.ts';
import { Protocol } from '../../wire/protocol.ts';
import {
  linkKey,
  linkLoads,
  linkSet,
  linkSource,
  needProtocol,
  payloadLoad,
  type RuleScope,
  typesIn,
} from './link-expression.ts';

/** What statements name beside sets: chains and objects of the table. */
export interface Names {
  readonly chain: (name: string) => NftLinkedChain | null;
  /** The number of a counter among the host's; null when there is none. */
  readonly counter: (name: string) => number | null;
  readonly meter: (kind: 'limit' | 'quota', name: string) => NftOperation | null;
  /** A name for the memory of one statement. */
  readonly nextMeter: () => string;
}

type Of<K extends NftStatement['kind']> = Extract<NftStatement, { kind: K }>;

/** Add the operations of one statement. */
export function linkStatement(scope: RuleScope, names: Names, statement: NftStatement): void {
  const { operations } = scope;
  switch (statement.kind) {
    case 'match':
      linkMatch(scope, statement);
      return;
    case 'vmap': {
      scope.markBits |= markBitsOf(statement.key);
      const loads = linkLoads(scope, statement.key);
      const set = linkSet(scope, statement.map, statement.key, 'vmap');
      if (set !== null) operations.push({ kind: 'vmap', loads, set });
      return;
    }
    case 'verdict': {
      const verdict = linkVerdict(statement.verdict, names);
      if (verdict !== null) operations.push({ kind: 'verdict', verdict });
      return;
    }
    case 'counter':
      operations.push({ kind: 'counter', object: null });
      return;
    case 'limit':
      operations.push({ kind: 'limit', limit: statement.limit, key: names.nextMeter() });
      return;
    case 'quota':
      operations.push({ kind: 'quota', quota: statement.quota, key: names.nextMeter() });
      return;
    case 'object':
      linkObject(scope, names, statement);
      return;
    case 'mangle':
      linkMangle(scope, statement);
      return;
    case 'snat':
    case 'dnat':
      linkNat(scope, statement);
      return;
    case 'masquerade':
    case 'redirect': {
      const { kind, flags } = statement;
      operations.push({ kind, flags, port: linkPort(scope, statement.port) });
      return;
    }
    case 'reject':
      linkReject(scope, statement);
      return;
    case 'notrack':
      operations.push({ kind: 'notrack' });
      return;
    case 'log':
    case 'note':
      operations.push({ kind: 'nothing' });
      return;
    case 'update':
      linkUpdate(scope, statement);
      return;
    default:
      unreachable(statement);
  }
}

/** The bits of the packet's mark that an expression looks at. */
function markBitsOf(expression: NftExpression): number {
  if (expression.kind === 'meta') return expression.key === 'mark' ? 0xffffffff : 0;
  if (expression.kind === 'concat') {
    return expression.parts.reduce((bits, part) => bits | markBitsOf(part), 0);
  }
  if (expression.kind !== 'bits') return 0;
  const bits = markBitsOf(expression.left);
  return expression.operator === '&' ? bits & Number(expression.right) : bits;
}

function linkMatch(scope: RuleScope, statement: Of<'match'>): void {
  const { left, operator, right } = statement;
  const { operations } = scope;
  scope.markBits |= markBitsOf(left);
  const loads = linkLoads(scope, left);
  const negate = operator === '!=';
  if (right.kind === 'set') {
    const set = linkSet(scope, right.set, left, 'set');
    if (set !== null) operations.push({ kind: 'lookup', loads, set, negate });
    if (!negate && right.set.kind === 'anonymous') {
      for (const { key } of right.set.set.elements) {
        const [only] = key ?? [];
        if (only?.kind === 'value' && loads.length === 1) scope.learn(left, only.value);
      }
    }
    return;
  }
  if (right.kind === 'any') {
    operations.push({ kind: 'test', loads, tests: [{ kind: 'any', bits: right.bits }], negate });
    return;
  }
  if (loads.length !== right.key.length) {
    const message = 'as many parts must stand on either side';
    scope.blame({ code: 'PLAN_NFT_TYPE', message });
    return;
  }
  const tests = linkTests(scope, statement, right.key);
  operations.push({ kind: 'test', loads, tests, negate });
  const [only] = right.key;
  if (operator === '==' && only?.kind === 'value' && loads.length === 1) {
    scope.learn(left, only.value);
  }
}

function linkTests(
  scope: RuleScope,
  { left, operator }: Of<'match'>,
  key: NftKey,
): readonly NftTest[] {
  if (operator !== '==' && operator !== '!=') {
    return key.flatMap((one): NftTest[] => {
      return one.kind === 'value' ? [{ kind: 'order', operator, value: one.value }] : [];
    });
  }
  return linkKey(key, typesIn(scope, left)).map(([low, high]) => ({ kind: 'bounds', low, high }));
}

export function linkVerdict(verdict: NftVerdict, names: Names): NftLinkedVerdict | null {
  if (!('chain' in verdict)) return verdict;
  const chain = names.chain(verdict.chain);
  return chain === null ? null : { kind: verdict.kind, chain };
}

function linkObject(scope: RuleScope, names: Names, { object, name }: Of<'object'>): void {
  if (object === 'counter') {
    const number = names.counter(name);
    if (number !== null) scope.operations.push({ kind: 'counter', object: number });
    else blameName(scope, object, name);
    return;
  }
  const meter = names.meter(object, name);
  if (meter !== null) scope.operations.push(meter);
  else blameName(scope, object, name);
}

function blameName(scope: RuleScope, object: string, found: string): void {
  scope.blame({ code: 'PLAN_NFT_OBJECT', message: `no ${object} of this name`, found });
}

function linkMangle(scope: RuleScope, { target, value }: Of<'mangle'>): void {
  const types = typesIn(scope, target);
  if (target.kind !== 'payload') {
    const source = linkSource(scope, value, types);
    const of = target.kind === 'meta' ? 'packet' : 'connection';
    scope.operations.push({ kind: 'mark', of, source });
    return;
  }
  const field = fieldNamed(target.protocol, target.field);
  if (field === null) return;
  // The value is loaded first; what the header needs is asked before it all the same.
  needProtocol(scope, target.protocol);
  const source = linkSource(scope, value, types);
  const at = payloadLoad(field.base, field.offset, field.type.bits);
  scope.operations.push({ kind: 'write', at, source });
}

function linkPort(scope: RuleScope, port: NftExpression | undefined): NftSource | null {
  return port === undefined ? null : linkSource(scope, port, [nftType('inet_service')]);
}

function linkNat(scope: RuleScope, statement: Of<'snat' | 'dnat'>): void {
  const { kind, address, port, flags, prefix } = statement;
  const own = scope.table.family === 'inet' ? undefined : scope.table.family;
  const family = statement.family ?? own;
  const type = nftType(family === 'ip6' ? 'ipv6_addr' : 'ipv4_addr');
  if (own !== undefined && family !== own) {
    const message = 'addresses of another family than the table';
    scope.blame({ code: 'PLAN_NFT_FAMILY', message, found: family ?? '', accepted: own });
  }
  scope.operations.push({
    kind: 'nat',
    manip: kind === 'snat' ? 'source' : 'destination',
    family: family === undefined ? null : family === 'ip' ? 4 : 6,
    address: address === undefined ? null : linkSource(scope, address, [type]),
    port: linkPort(scope, port),
    flags,
    prefix: prefix ?? false,
  });
}

/**
 * nft asks for the family of the answer, and for TCP before a reset, in front of everything else
 * (`stmt_reject_gen_dependency`).
 */
function linkReject(scope: RuleScope, { code }: Of<'reject'>): void {
  // Without a code of its own it is what `reject` alone means.
  const isWritten = code.kind === 'icmpx' && code.code !== 'port-unreachable';
  if (isWritten && scope.table.family !== 'inet') {
    const message = 'icmpx is for tables of both families';
    scope.blame({ code: 'PLAN_NFT_FAMILY', message, found: code.code, accepted: 'inet' });
  }
  const { front } = scope;
  if (code.kind === 'icmp') scope.needNetwork('ip', 'reject with icmp', front);
  if (code.kind === 'icmpv6') scope.needNetwork('ip6', 'reject with icmpv6', front);
  if (code.kind === 'tcp-reset') scope.needTransport(Protocol.tcp, 'reject with tcp reset', front);
  scope.operations.push({ kind: 'reject', code });
}

function linkUpdate(scope: RuleScope, statement: Of<'update'>): void {
  const { operation, key, state } = statement;
  const reference: NftSetReference = { kind: 'named', name: statement.set };
  const loads = linkLoads(scope, key);
  const kind = scope.table.sets(statement.set)?.kind === 'map' ? 'map' : 'set';
  const set: LookupSet | null = linkSet(scope, reference, key, kind);
  const declared = scope.table.sets(statement.set);
  const data =
    statement.data === undefined ? null : linkSource(scope, statement.data, declared?.data ?? []);
  const timeoutMs = statement.timeoutMs ?? null;
  const meters = metersOf(state);
  if (set === null) return;
  scope.operations.push({ kind: 'update', operation, set, loads, timeoutMs, data, meters });
}

/** What is measured; counters measure nothing that decides. */
export function metersOf(state: readonly StatefulStatement[]): readonly ElementMeter[] {
  return state.flatMap((one): ElementMeter[] => (one.kind === 'counter' ? [] : [one]));
}
