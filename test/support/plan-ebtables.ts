/**
 * fast-check arbitraries of ebtables tables, as ebtables-save prints them.
 * @module
 */
import fc from 'fast-check';
import type { EbChain, EbMatch, EbRule, EbTable, EbTarget } from '../../src/netfilter/ebtables.ts';
import { EB_BUILTIN, orderedMatches } from '../../src/plan/ebtables/words.ts';
import { byte, interfaceName, networkOf } from './plan-values.ts';

const mac = fc
  .array(byte, { minLength: 6, maxLength: 6 })
  .map((bytes) => bytes.map((b) => b.toString(16).padStart(2, '0')).join(':'));

const verdict = fc.constantFrom('ACCEPT', 'DROP', 'CONTINUE', 'RETURN');

const MULTICAST_BIT = '01:00:00:00:00:00';

const macMatch = fc.oneof(
  mac.map((one) => ({ mac: one, mask: 'ff:ff:ff:ff:ff:ff' })),
  fc.constant({ mac: MULTICAST_BIT, mask: MULTICAST_BIT }),
  fc.constant({ mac: '00:00:00:00:00:00', mask: MULTICAST_BIT }),
);

/** Where `-i` and `-o` may stand (iptables/xtables-eb.c `do_commandeb`). */
const TAKES_INPUT = ['INPUT', 'FORWARD', 'PREROUTING', 'BROUTING', 'USER'];
const TAKES_OUTPUT = ['OUTPUT', 'FORWARD', 'POSTROUTING', 'USER'];

/** Matches in the order of print, each with its protocol where the kernel asks for it. */
function matches(chain: string): fc.Arbitrary<readonly EbMatch[]> {
  const negate = fc.boolean();
  const one = <K extends EbMatch['kind'], F extends object>(kind: K, fields: fc.Arbitrary<F>) =>
    fc.option(
      fc.tuple(fields, negate).map(([f, n]) => ({ kind, ...f, negate: n }) as unknown as EbMatch),
    );
  const device = interfaceName.map((name) => ({ name }));
  const net = (family: 4 | 6) => networkOf(family).map((n) => ({ net: n }));
  const frame = [
    one('source', macMatch),
    one('destination', macMatch),
    ...(TAKES_INPUT.includes(chain) ? [one('inInterface', device)] : []),
    ...(TAKES_OUTPUT.includes(chain) ? [one('outInterface', device)] : []),
  ];
  const operation = fc.integer({ min: 1, max: 12 }).map((o) => ({ operation: o }));
  const arp = [
    one('arpOperation', operation),
    one('arpSource', net(4)),
    one('arpDestination', net(4)),
  ];
  const ip = (family: 4 | 6) => [one('ipSource', net(family)), one('ipDestination', net(family))];
  const ofType = (etherType: number, inner: fc.Arbitrary<EbMatch | null>[]) =>
    fc
      .tuple(...frame, ...inner)
      .map((list) => [{ kind: 'protocol' as const, etherType, negate: false }, ...list]);
  return fc
    .oneof(
      fc.tuple(...frame),
      ofType(0x0806, arp),
      ofType(0x0800, ip(4)),
      ofType(0x86dd, ip(6)),
      fc.constantFrom(0x8100, 0x88cc, 0x9999).chain((type) => ofType(type, [])),
    )
    .map((list) => orderedMatches(list.filter((match) => match !== null)));
}

const plain = fc.constantFrom<EbTarget>(
  { kind: 'accept' },
  { kind: 'drop' },
  { kind: 'continue' },
  { kind: 'return' },
  { kind: 'jump', chain: 'USER' },
);

function rule(chainName: string, target: fc.Arbitrary<EbTarget>): fc.Arbitrary<EbRule> {
  return fc.record({ matches: matches(chainName), target });
}

function prerouting(): fc.Arbitrary<EbTarget> {
  return fc.oneof(
    plain,
    fc.record({ kind: fc.constant('dnat' as const), mac, verdict: verdict }),
    fc.record({ kind: fc.constant('redirect' as const), verdict: verdict }),
  );
}

const arpreply: fc.Arbitrary<EbRule> = fc
  .tuple(fc.record({ kind: fc.constant('arpreply' as const), mac, verdict: verdict }), networkOf(4))
  .map(([target, net]) => ({
    matches: [
      { kind: 'protocol', etherType: 0x0806, negate: false },
      { kind: 'arpDestination', net, negate: false },
    ],
    target,
  }));

const snat: fc.Arbitrary<EbTarget> = fc.record({
  kind: fc.constant('snat' as const),
  mac,
  arp: fc.boolean(),
  verdict: verdict,
});

function chain(name: string, of: fc.Arbitrary<EbRule>, builtin = true): fc.Arbitrary<EbChain> {
  const rules = fc.array(of, { maxLength: 8 });
  const policy = builtin
    ? fc.constantFrom('ACCEPT', 'DROP')
    : fc.constantFrom('ACCEPT', 'DROP', 'RETURN');
  return fc.record({
    name: fc.constant(name),
    policy: policy as fc.Arbitrary<EbChain['policy']>,
    builtin: fc.constant(builtin),
    rules,
  });
}

const user = chain(
  'USER',
  rule(
    'USER',
    plain.filter((target) => target.kind !== 'jump'),
  ),
  false,
);

/**
 * Tables filter and nat; `broute` too unless they are to be loaded (nft has none before 1.8.10).
 */
export function ebTables({ loadable }: { loadable: boolean }): fc.Arbitrary<readonly EbTable[]> {
  const filter = fc
    .tuple(...EB_BUILTIN.filter.map((name) => chain(name, rule(name, plain))), user)
    .map((chains): EbTable => ({ name: 'filter', chains }));
  const ofNat = (name: string) =>
    name === 'POSTROUTING'
      ? rule(name, fc.oneof(plain, snat))
      : name === 'PREROUTING'
        ? fc.oneof(rule(name, prerouting()), arpreply)
        : rule(name, plain);
  const nat = fc
    .tuple(...EB_BUILTIN.nat.map((name) => chain(name, ofNat(name))), user)
    .map((chains): EbTable => ({ name: 'nat', chains }));
  const broute = chain(
    'BROUTING',
    rule(
      'BROUTING',
      plain.filter((target) => target.kind !== 'jump'),
    ),
  ).map((one): EbTable => ({ name: 'broute', chains: [one] }));
  return loadable ? fc.tuple(filter, nat) : fc.tuple(filter, nat, broute);
}
