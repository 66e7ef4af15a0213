/**
 * Mistakes in a plan's ip sets: what ipset(8) refuses when the sets are restored.
 *
 * Source: net/netfilter/ipset/ip_set_hash_*.c `*_uadt` (no prefix of length 0 in hash:net, no zero
 * address in hash:ip, no member without a protocol), ip_set_list_set.c (no list in a list); seen on
 * Linux 6.18 with ipset 7.17.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import { isUnspecified } from '../image/route/address-kind.ts';
import type { IpSet, SetMember, SetType } from '../netfilter/ip-set.ts';
import type { Plan } from '../plan/model.ts';
import {
  addressKey,
  bits,
  type Family,
  formatAddress,
  formatPrefix,
  hostPrefix,
  maskAddress,
  type Prefix,
} from '../wire/address/address.ts';
import { type FaultPlace, type FaultText, fault, repeated } from './fault.ts';

/** IPSET_MAXNAMELEN (include/uapi/linux/netfilter/ipset/ip_set.h) with its closing zero. */
const SET_NAME_LENGTH = 31;

const MEMBER_KIND: Readonly<Record<SetType, SetMember['kind']>> = {
  'hash:ip': 'ip',
  'hash:net': 'net',
  'hash:ip,port': 'ip,port',
  'hash:net,port': 'net,port',
  'hash:ip,port,ip': 'ip,port,ip',
  'hash:ip,port,net': 'ip,port,net',
  'bitmap:port': 'port',
  'list:set': 'set',
};

/** Types whose members stay as they are. */
const FIXED_TYPES: ReadonlySet<SetType> = new Set([
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'bitmap:port',
]);

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
  const hasFamily = set.type !== 'list:set' && set.type !== 'bitmap:port';
  if (hasFamily && set.family === undefined) {
    faults.push(fault(place, { code: 'PLAN_SET_FAMILY', message: `a ${set.type} has a family` }));
  }
  if (FIXED_TYPES.has(set.type) && isChanging(plan, set)) {
    const message = `a ${set.type} that rules change, or with timeouts, is not emulated`;
    faults.push(fault(place, { code: 'PLAN_UNSUPPORTED', message, found: set.name }));
  }
  faults.push(...checkMembers(place, set, types));
  return faults;
}

/** Sets whose members are sound: nodes share them, and each would look at all of them again. */
const SOUND = new WeakSet<IpSet>();

function checkMembers(
  place: FaultPlace,
  set: IpSet,
  types: ReadonlyMap<string, SetType>,
): readonly Diagnostic[] {
  if (SOUND.has(set)) return [];
  const faults: Diagnostic[] = [];
  const seen = new Map<string, string>();
  for (const member of set.members) {
    const text = memberFault(set, member, types);
    if (text !== null) faults.push(fault(place, text));
    else if (member.kind !== 'set' && member.kind !== 'port')
      checkRepeat({ place, seen, faults }, member);
  }
  if (set.type !== 'list:set' && seen.size > set.maxElements) {
    const message = 'more members than the set can hold';
    const found = String(seen.size);
    const accepted = `at most ${set.maxElements} (maxelem)`;
    faults.push(fault(place, { code: 'PLAN_SET_FULL', message, found, accepted }));
  }
  // What a list holds is the plan's matter.
  if (faults.length === 0 && set.type !== 'list:set') SOUND.add(set);
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
  if (member.kind === 'port') return portFault(set, member.port);
  const found = memberText(member);
  const address = addressOf(member);
  if (set.family !== undefined && address.family !== set.family) {
    return { code: 'PLAN_SET_MEMBER_FAMILY', message: 'a member of another family', found };
  }
  if (member.kind === 'ip' && isUnspecified(address)) {
    return { code: 'PLAN_SET_MEMBER', message: 'a hash:ip can not hold the zero address', found };
  }
  const third = thirdOf(member);
  if (third !== null && third.address.family !== address.family) {
    return { code: 'PLAN_SET_MEMBER_FAMILY', message: 'a member of two families', found };
  }
  const net = 'net' in member ? member.net : third;
  if (net !== null && !isNetLength(net.length, address.family)) {
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

function portFault({ range }: IpSet, port: number): FaultText | null {
  const { low, high } = range ?? { low: 0, high: 65535 };
  if (port >= low && port <= high) return null;
  const accepted = `${low} to ${high}`;
  const message = 'not a port of the range of the set';
  return { code: 'PLAN_SET_MEMBER', message, found: String(port), accepted };
}

/** The third dimension of a member that has one. */
function thirdOf(member: HashMember): Prefix | null {
  if (member.kind === 'ip,port,net') return member.within;
  return member.kind === 'ip,port,ip' ? hostPrefix(member.second) : null;
}

function isChanging({ tables }: Plan, set: IpSet): boolean {
  if (set.timeout !== undefined) return true;
  const rules = tables.flatMap(({ chains }) => chains.flatMap((chain) => chain.rules));
  return rules.some(({ target }) => target.kind === 'set' && target.set === set.name);
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

type HashMember = Exclude<SetMember, { kind: 'set' | 'port' }>;

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
  const third = thirdOf(member);
  const last = third === null ? '' : ` ${formatPrefix(third)}`;
  return `${addressKey(base)}/${length}${service}${last}`;
}

function memberText(member: HashMember): string {
  const head = 'net' in member ? formatPrefix(member.net) : formatAddress(member.address);
  const third = thirdOf(member);
  const last = third === null ? '' : `,${formatPrefix(third)}`;
  return 'protocol' in member ? `${head},${member.protocol}:${member.port}${last}` : head;
}
