/**
 * Cuts of ip sets: whether an address, a port, or several of them together are a member.
 *
 * Sets of more than one dimension cut each of them by equal remainders (SEMANTICS C4): two
 * addresses with the same services, two ports with the same addresses, are not told apart. Sets
 * that change, or whose members nobody knows, cut nothing: packets that meet them are not
 * remembered.
 * @module
 */
import {
  type AddressCut,
  type Cut,
  PORT_PROTOCOLS,
  type PortAnswer,
  type PortCut,
  type PortProtocol,
  type PrefixAnswer,
  type Side,
} from '../../image/classes/cut.ts';
import { SET_DIMENSION } from '../../image/set/set-view.ts';
import type { IpSet, SetMember, SetType } from '../../netfilter/ip-set.ts';
import type { SetDirection } from '../../netfilter/match.ts';
import { formatPrefix, hostPrefix, maskAddress, type Prefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';

export type Sets = ReadonlyMap<string, IpSet>;

const SIDE_OF: Readonly<Record<SetDirection, Side>> = { src: 'source', dst: 'destination' };

/** What each direction that a rule gives is asked for. */
const DIMENSIONS: Readonly<
  Record<Exclude<SetType, 'list:set'>, readonly ('first' | 'port' | 'third')[]>
> = {
  'hash:ip': ['first'],
  'hash:net': ['first'],
  'hash:ip,port': ['first', 'port'],
  'hash:net,port': ['first', 'port'],
  'hash:ip,port,ip': ['first', 'port', 'third'],
  'hash:ip,port,net': ['first', 'port', 'third'],
  'bitmap:port': ['port'],
};

/** What a rule asks that names the set with these directions. */
export function* setCuts(
  sets: Sets,
  name: string,
  directions: readonly SetDirection[],
): Generator<Cut> {
  const set = sets.get(name);
  if (set === undefined || set.membersUnknown) return;
  if (set.type === 'list:set') {
    for (const member of set.members) {
      if (member.kind === 'set') yield* setCuts(sets, member.set, directions);
    }
    return;
  }
  if (directions.length < SET_DIMENSION[set.type]) return;
  for (const [i, dimension] of DIMENSIONS[set.type].entries()) {
    const direction = directions[i];
    if (direction === undefined) return;
    const side = SIDE_OF[direction];
    if (dimension !== 'port') yield addressCut(set, dimension, side);
    else for (const protocol of PORT_PROTOCOLS) yield portCut(set, side, protocol);
  }
}

/** A member by its dimensions. */
interface Element {
  readonly first: Prefix | null;
  readonly port: { readonly protocol: number; readonly port: number } | null;
  readonly third: Prefix | null;
  readonly isException: boolean;
}

function addressCut(set: IpSet, dimension: 'first' | 'third', side: Side): AddressCut {
  const isPlain = SET_DIMENSION[set.type] === 1;
  return {
    ...{ kind: 'address', family: set.family ?? 4, sides: [side], what: nameOf(set) },
    ...{ key: set, about: dimension },
    answers: () => (isPlain ? plainAnswers(set) : remainders(set, dimension)),
    // Nets may nest, and a longer one without the rest of the packet leaves it to the shorter.
    chained: !isPlain,
  };
}

/** What it stands for where that is known: names of sets are often hashes. */
function nameOf({ name, describes }: IpSet): string {
  return describes === undefined ? `set ${name}` : `set ${name} (${describes})`;
}

function plainAnswers({ members }: IpSet): readonly PrefixAnswer[] {
  return members.flatMap((member) => {
    if (member.kind === 'ip') return [{ prefix: hostPrefix(member.address), answer: 'in' }];
    // What an exception holds answers as what no member holds.
    if (member.kind !== 'net') return [];
    return [{ prefix: masked(member.net), answer: member.nomatch ? '' : 'in' }];
  });
}

/** Each prefix answers by all that a packet must have besides. */
function remainders(set: IpSet, dimension: 'first' | 'third'): readonly PrefixAnswer[] {
  const byPrefix = new Map<string, { readonly prefix: Prefix; readonly others: string[] }>();
  for (const member of set.members) {
    const element = elementOf(member);
    const prefix = element?.[dimension];
    if (!element || !prefix) continue;
    const key = formatPrefix(prefix);
    const known = byPrefix.get(key) ?? { prefix, others: [] };
    byPrefix.set(key, known);
    known.others.push(remainder(element, dimension));
  }
  return [...byPrefix.values()].map(({ prefix, others }) => ({
    prefix,
    answer: `/${prefix.length} ${others.toSorted().join()}`,
  }));
}

function portCut(set: IpSet, side: Side, protocol: PortProtocol): PortCut {
  const what = `ports of ${nameOf(set)}`;
  const answers = () => portAnswers(set, protocol);
  return { kind: 'port', protocols: [protocol], sides: [side], what, key: set, answers };
}

/** Each port answers by the addresses that have it as a service. */
function portAnswers(set: IpSet, protocol: PortProtocol): readonly PortAnswer[] {
  const byPort = new Map<number, string[]>();
  for (const member of set.members) {
    const element = elementOf(member);
    if (!element?.port) continue;
    const isBoth = member.kind === 'port';
    if (!isBoth && element.port.protocol !== Protocol[protocol]) continue;
    const known = byPort.get(element.port.port) ?? [];
    byPort.set(element.port.port, known);
    known.push(remainder(element, 'port'));
  }
  return [...byPort].map(([port, others]) => ({
    ...{ low: port, high: port },
    answer: others.toSorted().join() || 'in',
  }));
}

/** What else a packet must have for the member to hold it; empty for a port by itself. */
function remainder(element: Element, without: 'first' | 'port' | 'third'): string {
  const { first, port, third, isException } = element;
  const others = [
    first === null || without === 'first' ? '' : formatPrefix(first),
    port === null || without === 'port' ? '' : `${port.protocol}:${port.port}`,
    third === null || without === 'third' ? '' : formatPrefix(third),
  ].filter((text) => text !== '');
  return `${isException ? '!' : ''}${others.join(' ')}`;
}

function elementOf(member: SetMember): Element | null {
  const none = { first: null, port: null, third: null, isException: false };
  switch (member.kind) {
    case 'ip':
      return { ...none, first: hostPrefix(member.address) };
    case 'net':
      return { ...none, first: masked(member.net), isException: member.nomatch };
    case 'ip,port':
      return { ...none, first: hostPrefix(member.address), port: member };
    case 'net,port':
      return { ...none, first: masked(member.net), port: member, isException: member.nomatch };
    case 'ip,port,ip':
      return { ...triple(member), third: hostPrefix(member.second), isException: false };
    case 'ip,port,net':
      return { ...triple(member), third: masked(member.within), isException: member.nomatch };
    case 'port':
      return { ...none, port: { protocol: Protocol.tcp, port: member.port } };
    case 'set':
      return null;
  }
}

function triple(
  member: Extract<SetMember, { kind: 'ip,port,ip' | 'ip,port,net' }>,
): Pick<Element, 'first' | 'port'> {
  return { first: hostPrefix(member.address), port: member };
}

function masked({ address, length }: Prefix): Prefix {
  return { address: maskAddress(address, length), length };
}
