/**
 * fast-check arbitraries of ip sets: one of each type and family, as `ipset save` prints them.
 * @module
 */
import fc from 'fast-check';
import type { IpSet, SetMember } from '../../src/netfilter/ip-set.ts';
import { formatMember } from '../../src/plan/ipset/member.ts';
import type { Family } from '../../src/wire/address/address.ts';
import { addressOf, networkOf, port } from './plan-values.ts';

/** No set holds the address 0.0.0.0 (EINVAL of ip_set_hash_*.c). */
const host = (family: Family) => addressOf(family).filter(({ w3 }) => family === 6 || w3 !== 0);

function members(one: fc.Arbitrary<SetMember>): fc.Arbitrary<SetMember[]> {
  const key = (member: SetMember) => formatMember({ ...member, nomatch: false } as SetMember);
  return fc.uniqueArray(one, { maxLength: 12, selector: key });
}

/** TCP, UDP, SCTP, UDPLite with ports; ICMP with type and code; GRE, which has port 0. */
function service(family: Family) {
  const icmp = family === 4 ? 1 : 58;
  const named = fc.tuple(fc.nat(137), fc.nat(6)).map(([type, code]) => type * 256 + code);
  return fc.oneof(
    fc.record({ protocol: fc.constantFrom(6, 17, 132, 136), port }),
    fc.record({ protocol: fc.constant(icmp), port: fc.oneof(port, named) }),
    fc.constant({ protocol: 47, port: 0 }),
  );
}

function hashSets(family: Family): fc.Arbitrary<IpSet>[] {
  const nomatch = fc.boolean();
  const made = (type: IpSet['type'], one: fc.Arbitrary<SetMember>) => {
    const name = `${type.replace(/[:,]/g, '-')}-${family}`;
    return fc
      .tuple(members(one), fc.constantFrom(65536, 1000, 4294967295))
      .map(([list, maxElements]): IpSet => ({ name, type, family, maxElements, members: list }));
  };
  return [
    made('hash:ip', fc.record({ kind: fc.constant('ip' as const), address: host(family) })),
    made(
      'hash:net',
      fc.record({ kind: fc.constant('net' as const), net: networkOf(family), nomatch }),
    ),
    made(
      'hash:ip,port',
      fc.tuple(host(family), service(family)).map(([address, s]) => {
        return { kind: 'ip,port', address, ...s };
      }),
    ),
    made(
      'hash:net,port',
      fc.tuple(networkOf(family), service(family), nomatch).map(([net, s, not]) => {
        return { kind: 'net,port', net, ...s, nomatch: not };
      }),
    ),
    made(
      'hash:ip,port,ip',
      fc.tuple(host(family), service(family), host(family)).map(([address, s, second]) => {
        return { kind: 'ip,port,ip', address, ...s, second };
      }),
    ),
    made(
      'hash:ip,port,net',
      fc
        .tuple(host(family), service(family), networkOf(family), nomatch)
        .map(([address, s, within, not]) => {
          return { kind: 'ip,port,net', address, ...s, within, nomatch: not };
        }),
    ),
  ];
}

function portSet(): fc.Arbitrary<IpSet> {
  const name = 'bitmap-port';
  const type = 'bitmap:port' as const;
  return fc.tuple(fc.uniqueArray(port, { maxLength: 12 }), port).map(([ports, low]) => {
    const members = ports
      .filter((one) => one >= low)
      .toSorted((a, b) => a - b)
      .map((one): SetMember => ({ kind: 'port', port: one }));
    return { name, type, range: { low, high: 65_535 }, maxElements: 65_536, members };
  });
}

/** A host's sets: all types of both families, and a list of some of them. */
export function setsOf(): fc.Arbitrary<readonly IpSet[]> {
  return fc.tuple(...hashSets(4), ...hashSets(6), portSet()).chain((sets) => {
    const names = sets.map((set) => set.name);
    return fc.shuffledSubarray(names, { maxLength: 8 }).map((names) => {
      const list = names.map((set): SetMember => ({ kind: 'set', set }));
      return [...sets, { name: 'list', type: 'list:set' as const, maxElements: 8, members: list }];
    });
  });
}
