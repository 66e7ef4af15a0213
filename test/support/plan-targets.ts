/**
 * fast-check arbitraries of targets, each only in the tables where the kernel takes it
 * (`xt_target.table` of net/netfilter/xt_*.c, net/ipv4/netfilter/ipt_*.c).
 * @module
 */
import fc from 'fast-check';
import { LOG_FLAGS, type NatRange, REJECT_WITH, type Target } from '../../src/netfilter/target.ts';
import { compareAddress } from '../../src/wire/address/address.ts';
import {
  addressOf,
  networkOf,
  type RuleScope,
  rangeOf,
  setReference,
  text,
  u32,
} from './plan-values.ts';

/** The user chain that jumps lead to. */
export const JUMP_CHAIN = 'Z-END';

const WITH_PORTS: readonly number[] = [6, 17, 33, 132];

/** A target for a rule of this table whose head names the protocol (0 for none). */
export function targetFor(scope: RuleScope, protocol: number): fc.Arbitrary<Target> {
  const own: Readonly<Record<RuleScope['table'], () => fc.Arbitrary<Target>[]>> = {
    filter: () => [rejectFor(scope, protocol)],
    nat: () => natTargets(scope, protocol),
    mangle: () => mangleTargets(),
    raw: () => rawTargets(scope),
    security: () => [],
  };
  return fc.oneof(...everywhere(scope), ...own[scope.table]());
}

function everywhere(scope: RuleScope): fc.Arbitrary<Target>[] {
  const fixed = fc.constantFrom<Target>(
    { kind: 'none' },
    { kind: 'accept' },
    // The tools do not let the nat table drop.
    scope.table === 'nat' ? { kind: 'accept' } : { kind: 'drop' },
    { kind: 'return' },
    { kind: 'jump', chain: JUMP_CHAIN },
    { kind: 'goto', chain: JUMP_CHAIN },
  );
  const prefix = (max: number) =>
    fc.oneof(
      fc.constant(''),
      text(max).filter((t) => new TextEncoder().encode(t).length <= max),
    );
  const level = fc.nat(7);
  const flags = fc.subarray([...LOG_FLAGS], { minLength: 1 });
  const log = fc.record({ kind: fc.constant('log' as const), prefix: prefix(29), level });
  const set = fc
    .tuple(setReference(scope), fc.constantFrom('add' as const, 'del' as const))
    .map(([reference, operation]): Target => {
      return { kind: 'set', operation, ...reference, exist: operation === 'add' };
    });
  return [
    fixed,
    fc.record({ kind: fc.constant('mark' as const), value: u32, mask: u32 }),
    fc.record({ value: u32, mask: u32 }).map((m) => {
      return { kind: 'connmark', operation: 'set', ...m, nfmask: 0xffffffff };
    }),
    fc
      .tuple(fc.constantFrom('save' as const, 'restore' as const), u32, u32)
      .map(([operation, mask, nfmask]) => ({
        kind: 'connmark',
        operation,
        value: 0,
        mask,
        nfmask,
      })),
    fc
      .tuple(
        fc.constantFrom('left' as const, 'right' as const),
        fc.integer({ min: 1, max: 31 }),
        u32,
      )
      .map(([direction, bits, mask]): Target => {
        const shift = { direction, bits };
        return { kind: 'connmark', operation: 'save', value: 0, mask, nfmask: mask, shift };
      }),
    log,
    fc.tuple(log, flags).map(([l, f]) => ({ ...l, flags: f })),
    set,
    fc.record(
      {
        kind: fc.constant('nflog' as const),
        prefix: prefix(60),
        group: fc.nat(65535),
        size: fc.nat(1000),
        threshold: fc.nat(100),
      },
      { requiredKeys: ['kind', 'prefix', 'group', 'threshold'] },
    ),
    fc.record({
      kind: fc.constant('classify' as const),
      major: fc.nat(0xffff),
      minor: fc.nat(0xffff),
    }),
    fc.record({
      kind: fc.constant('audit' as const),
      type: fc.constantFrom('accept' as const, 'drop' as const, 'reject' as const),
    }),
  ];
}

function rejectFor({ family }: RuleScope, protocol: number): fc.Arbitrary<Target> {
  const other = family === 4 ? 'icmp6-' : 'icmp-';
  const kinds = REJECT_WITH.filter((kind) => {
    return !kind.startsWith(other) && (kind !== 'tcp-reset' || protocol === 6);
  });
  return fc.constantFrom(...kinds).map((kind): Target => ({ kind: 'reject', with: kind }));
}

function natTargets(scope: RuleScope, protocol: number): fc.Arbitrary<Target>[] {
  const { family } = scope;
  const addresses = fc
    .tuple(addressOf(family), addressOf(family), fc.boolean())
    .map(([a, b, one]) => {
      if (one) return { low: a };
      return compareAddress(a, b) < 0 ? { low: a, high: b } : { low: b, high: a };
    })
    .filter(({ low, high }) => high === undefined || compareAddress(low, high) !== 0);
  const ports = WITH_PORTS.includes(protocol)
    ? fc.record({ ports: rangeOf(fc.integer({ min: 1, max: 65535 })) }, { requiredKeys: [] })
    : fc.constant({});
  const flags = fc.record({
    random: fc.boolean(),
    randomFully: fc.boolean(),
    persistent: fc.boolean(),
  });
  const range = fc
    .tuple(addresses, ports, flags)
    .map(([a, p, f]): NatRange => ({ ...a, ...p, ...f }));
  const toPorts = fc
    .tuple(ports, flags)
    .map(([p, f]): NatRange => ({ ...p, ...f, persistent: false }));
  return [
    range.map((r) => ({ kind: 'snat', range: r })),
    range.map((r) => ({ kind: 'dnat', range: { ...r, randomFully: false } })),
    toPorts.map((r) => ({ kind: 'masquerade', range: r })),
    toPorts.map((r) => ({ kind: 'redirect', range: { ...r, randomFully: false } })),
    networkOf(family).map((to) => ({ kind: 'netmap', to })),
  ];
}

function mangleTargets(): fc.Arbitrary<Target>[] {
  const byte = fc.nat(255);
  return [
    fc
      .tuple(fc.constantFrom('set' as const, 'inc' as const, 'dec' as const), byte)
      .map(([operation, value]) => {
        return { kind: 'ttl', operation, value: operation === 'set' ? value : Math.max(1, value) };
      }),
    fc.record({ kind: fc.constant('tos' as const), value: byte, mask: byte }),
    fc.record({ kind: fc.constant('dscp' as const), value: fc.nat(63) }),
    fc.constant({ kind: 'checksum' }),
  ];
}

function rawTargets({ loadable }: RuleScope): fc.Arbitrary<Target>[] {
  const zone = fc.nat(65535);
  const way = fc.constantFrom('orig' as const, 'reply' as const);
  const made: fc.Arbitrary<Target>[] = [
    fc.constantFrom<Target>({ kind: 'notrack' }, { kind: 'notrack', alias: true }),
    fc.constant({ kind: 'trace' }),
    zone.filter((z) => z > 0).map((z) => ({ kind: 'ct', zone: z })),
    fc
      .tuple(
        zone.filter((z) => z > 0),
        way,
      )
      .map(([z, w]) => ({ kind: 'ct', zone: z, zoneDirection: w })),
  ];
  const helper: fc.Arbitrary<Target> = fc
    .constantFrom('ftp', 'sip', 'tftp')
    .map((name) => ({ kind: 'ct', helper: name }));
  return loadable ? made : [...made, helper];
}
