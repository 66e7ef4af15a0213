/**
 * Mistakes in a plan's ip sets: what ipset(8) refuses when the sets are restored.
 *
 * Source: net/netfilter/ipset/ip_set_hash_*.c `*_uadt` (no prefix of length 0 in hash:net, no zero
 * address in hash:ip, no member without a protocol), ip_set_list_set.c (no list in a list); seen on
 * Linux 6.18 with ipset 7.17.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import { isUnspecified } from '../image/address-kind.ts';
import type { IpSet, SetMember, SetType } from '../netfilter/ip-set.ts';
import type { Plan } from '../plan/model.ts';
import {
  addressKey,
  bits,
  type Family,
  formatAddress,
  formatPrefix,
  maskAddress,
} from '../wire/address.ts';
import { type FaultPlace, type FaultText, fault, repeated } from './fault.ts';

/** IPSET_MAXNAMELEN (include/uapi/linux/netfilter/ipset/ip_set.h) with its closing zero. */
const SET_NAME_LENGTH = 31;

const MEMBER_KIND: Readonly<Record<SetType, SetMember['kind']>> = {
  'hash:ip': 'ip',
  'hash:net': 'net',
  'hash:ip,port': 'ip,port',
  'hash:net,port': 'net,port',
  'list:set': 'set',
};

/** All mistakes in the sets of a plan. */
export function checkSets(plan: Plan): readonly Diagnostic[] {
  const types = new Map(plan.ipsets.map((set) => [set.name, set.type]));
  return [
    ...repeated(plan.ipsets.map((set) => set.name)).map((name) =>
      fault(
        { host: plan.host, part: `set ${name}` },
        { code: 'PLAN_SET_TWICE', message: 'two sets of this name' },
      ),
    ),
    ...plan.ipsets.flatMap((set) => checkSet(plan, set, types)),
  ];
}

function checkSet(
  plan: Plan,
  set: IpSet,
  types: ReadonlyMap<string, SetType>,
): readonly Diagnostic[] {
  const place: FaultPlace = { host: plan.host, part: `set ${set.name}` };
  const faults: Diagnostic[] = [];
  if (set.name.length === 0 || set.name.length > SET_NAME_LENGTH) {
    const message = `a set's name has 1 to ${SET_NAME_LENGTH} characters`;
    faults.push(fault(place, { code: 'PLAN_SET_NAME', message, found: set.name }));
  }
  if (set.type !== 'list:set' && set.family === undefined) {
    faults.push(fault(place, { code: 'PLAN_SET_FAMILY', message: `a ${set.type} has a family` }));
  }
  const seen = new Map<string, string>();
  for (const member of set.members) {
    const text = memberFault(set, member, types);
    if (text !== null) faults.push(fault(place, text));
    else if (member.kind !== 'set') checkRepeat({ place, seen, faults }, member);
  }
  if (set.type !== 'list:set' && seen.size > set.maxElements) {
    const message = 'more members than the set can hold';
    const found = String(seen.size);
    const accepted = `at most ${set.maxElements} (maxelem)`;
    faults.push(fault(place, { code: 'PLAN_SET_FULL', message, found, accepted }));
  }
  return faults;
}

/** What is wrong with one member, or null. */
function memberFault(
  set: IpSet,
  member: SetMember,
  types: ReadonlyMap<string, SetType>,
): FaultText | null {
  if (member.kind !== MEMBER_KIND[set.type]) {
    const message = `a ${set.type} holds members of kind ${MEMBER_KIND[set.type]}`;
    return { code: 'PLAN_SET_MEMBER', message, found: member.kind };
  }
  if (member.kind === 'set') return listFault(member.set, types);
  const found = memberText(member);
  const address = addressOf(member);
  if (set.family !== undefined && address.family !== set.family) {
    return { code: 'PLAN_SET_MEMBER_FAMILY', message: 'a member of another family', found };
  }
  if (member.kind === 'ip' && isUnspecified(address)) {
    return { code: 'PLAN_SET_MEMBER', message: 'a hash:ip can not hold the zero address', found };
  }
  if ('net' in member && !isNetLength(member.net.length, address.family)) {
    const accepted = `a length of 1 to ${bits(address.family)}; write /0 as its two halves`;
    return { code: 'PLAN_SET_MEMBER', message: 'not a net the set can hold', found, accepted };
  }
  if ('protocol' in member && (member.protocol < 1 || member.protocol > 255)) {
    return { code: 'PLAN_SET_MEMBER', message: 'a protocol of 1 to 255', found };
  }
  if ('port' in member && (member.port < 0 || member.port > 65535)) {
    return { code: 'PLAN_SET_MEMBER', message: 'a port of 0 to 65535', found };
  }
  return null;
}

function isNetLength(length: number, family: Family): boolean {
  return length >= 1 && length <= bits(family);
}

function listFault(name: string, types: ReadonlyMap<string, SetType>): FaultText | null {
  const type = types.get(name);
  if (type === undefined) {
    return {
      code: 'PLAN_SET_MISSING',
      message: 'a list of a set that does not exist',
      found: name,
    };
  }
  if (type === 'list:set') {
    return { code: 'PLAN_SET_LOOP', message: 'a list:set can not hold a list:set', found: name };
  }
  return null;
}

type HashMember = Exclude<SetMember, { kind: 'set' }>;

function addressOf(member: HashMember) {
  return 'net' in member ? member.net.address : member.address;
}

/** Equal members are one; members equal but for `nomatch` contradict each other. */
function checkRepeat(
  state: { readonly place: FaultPlace; readonly seen: Map<string, string>; faults: Diagnostic[] },
  member: HashMember,
): void {
  const { place, seen, faults } = state;
  const key = memberKey(member);
  const nomatch = 'nomatch' in member && member.nomatch ? 'nomatch' : 'match';
  const before = seen.get(key);
  if (before !== undefined && before !== nomatch) {
    const message = 'the same net with and without nomatch';
    const found = memberText(member);
    faults.push(fault(place, { code: 'PLAN_SET_MEMBER', message, found }));
  }
  seen.set(key, nomatch);
}

function memberKey(member: HashMember): string {
  const length = 'net' in member ? member.net.length : 128;
  const base = 'net' in member ? maskAddress(member.net.address, length) : member.address;
  const service = 'protocol' in member ? ` ${member.protocol}:${member.port}` : '';
  return `${addressKey(base)}/${length}${service}`;
}

function memberText(member: HashMember): string {
  const head = 'net' in member ? formatPrefix(member.net) : formatAddress(member.address);
  return 'protocol' in member ? `${head},${member.protocol}:${member.port}` : head;
}
