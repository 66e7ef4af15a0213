/**
 * IP sets as ipset(8) prints and reads them.
 *
 *   create pods hash:net family inet hashsize 1024 maxelem 65536
 *   add pods 10.240.0.0/16
 *   add pods 10.240.1.0/24 nomatch
 *   create all list:set size 8
 *   add all pods
 *
 * Printed without `bucketsize` and `initval`, which ipset before 7.11 refuses and which change
 * no lookup. Read: `ipset save`, `ipset list`, and restore files with the short commands `-N`,
 * `-A` and the old names of types that products still write (`nethash`, `setlist`).
 *
 * Source: ipset 7.17, lib/ipset_hash_*.c, lib/ipset_list_set.c, lib/print.c, src/ipset.c.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { type IpSet, SET_TYPES, type SetMember, type SetType } from '../../netfilter/ip-set.ts';
import type { Family } from '../../wire/address/address.ts';
import type { Plan } from '../model.ts';
import { optional } from '../rule/option-reader.ts';
import { splitWords } from '../rule/restore-line.ts';
import { formatMember, parseMember } from './member.ts';

/** Kernel default of hash sets (ipset(8) `maxelem`) and of list:set (`size`). */
const DEFAULT_MAXELEM = 65536;
const DEFAULT_LIST_SIZE = 8;
const HASHSIZE = 1024;
const LAST_PORT = 0xffff;

/**
 * Print all sets of a plan as `ipset save` does, list sets last because they name the others. A
 * set that only rules speak of is not printed.
 */
export function printIpsets(plan: Plan): string {
  const isList = (set: IpSet) => Number(set.type === 'list:set');
  return plan.ipsets
    .filter((set) => !set.membersUnknown)
    .toSorted((a, b) => isList(a) - isList(b))
    .map(printIpset)
    .join('');
}

function printIpset(set: IpSet): string {
  const size = sizeOf(set);
  const timed = set.timeout === undefined ? '' : ` timeout ${set.timeout}`;
  const left = (m: SetMember) => (timed === '' ? '' : ` timeout ${m.timeout ?? set.timeout}`);
  const members = set.members.map((m) => `add ${set.name} ${formatTimed(m, left(m))}\n`);
  return `create ${set.name} ${set.type} ${size}${timed}\n${members.join('')}`;
}

function sizeOf({ type, family, maxElements, range }: IpSet): string {
  if (type === 'list:set') return `size ${maxElements}`;
  if (type === 'bitmap:port') return `range ${range?.low ?? 0}-${range?.high ?? LAST_PORT}`;
  const inet = family === 6 ? 'inet6' : 'inet';
  return `family ${inet} hashsize ${HASHSIZE} maxelem ${maxElements}`;
}

/** ipset prints `nomatch` after the time. */
function formatTimed(member: SetMember, left: string): string {
  if (!('nomatch' in member && member.nomatch)) return formatMember(member) + left;
  return `${formatMember({ ...member, nomatch: false })}${left} nomatch`;
}

/** Old names of types (ipset(8), `ipset` 4 compatibility). */
const OLD_TYPES: Readonly<Record<string, SetType>> = {
  iphash: 'hash:ip',
  nethash: 'hash:net',
  ipporthash: 'hash:ip,port',
  netporthash: 'hash:net,port',
  ipportiphash: 'hash:ip,port,ip',
  ipportnethash: 'hash:ip,port,net',
  portmap: 'bitmap:port',
  setlist: 'list:set',
};

interface PortSpan {
  readonly low: number;
  readonly high: number;
}

interface DraftSet {
  readonly name: string;
  readonly type: SetType;
  readonly family?: Family;
  readonly maxElements: number;
  readonly range?: PortSpan;
  readonly timeout?: number;
  readonly members: Map<string, SetMember>;
}

/**
 * Read `ipset save`, `ipset list` or an `ipset restore` file.
 *
 * @throws UserError with everything that is wrong or not emulated, in the file's order.
 */
export function parseIpsets(text: string, file: string): IpSet[] {
  const reader = new SetReader(file);
  text.split('\n').forEach((line, index) => {
    reader.line(line.trim(), index + 1);
  });
  return reader.end();
}

/** The lines of `ipset list` that are about the set. */
const LIST_FIELD =
  /^(Name|Type|Header|Members|Revision|Size in memory|References|Number of entries): ?(.*)$/;

class SetReader {
  readonly #file: string;
  readonly #faults: Diagnostic[] = [];
  readonly #sets = new Map<string, DraftSet>();
  readonly #refused = new Set<string>();
  /** Members of lists, to be looked up when all sets are known. */
  readonly #references: { list: string; set: string; line: number }[] = [];
  #line = 0;
  /** `ipset list`: the set whose lines are being read. */
  #listed: { name: string; type: string; inMembers: boolean } | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  line(line: string, number: number): void {
    this.#line = number;
    const field = LIST_FIELD.exec(line);
    if (line === '') this.#listed = undefined;
    else if (line.startsWith('#')) return;
    else if (field) this.#listLine(field[1] ?? '', field[2] ?? '');
    else if (this.#listed?.inMembers) this.#memberLine(line);
    else this.#command(line);
  }

  end(): IpSet[] {
    for (const { list, set, line } of this.#references) {
      this.#line = line;
      const found = this.#sets.get(set);
      if (found?.type === 'list:set') {
        this.#fault('PLAN_SET', `list ${list} cannot hold another list`, set);
      } else if (!found && !this.#refused.has(set)) {
        this.#fault('PLAN_SET_MISSING', `${list} holds a set that is not made`, set);
      }
    }
    if (this.#faults.length > 0) {
      throw new UserError(this.#faults.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)));
    }
    return [...this.#sets.values()].map((set) => ({ ...set, members: [...set.members.values()] }));
  }

  #listLine(field: string, value: string): void {
    if (field === 'Name') this.#listed = { name: value, type: '', inMembers: false };
    else if (!this.#listed) this.#fault('PLAN_SYNTAX', 'stands outside of a set', field);
    else if (field === 'Type') this.#listed.type = value;
    else if (field === 'Members') this.#listed.inMembers = true;
    else if (field === 'Header') {
      this.#create(this.#listed.name, this.#listed.type, value.split(/\s+/));
    }
  }

  #memberLine(line: string): void {
    const name = this.#listed?.name;
    const words = splitWords(line)?.map((word) => word.text);
    if (name === undefined || !words) this.#fault('PLAN_SYNTAX', 'not a member', line);
    else this.#add(name, words);
  }

  #command(line: string): void {
    const words = splitWords(line)?.map((word) => word.text) ?? [];
    const exist = words.some((word) => word === '-exist' || word === '--exist' || word === '-!');
    const rest = words.filter((word) => !['-exist', '--exist', '-!'].includes(word));
    const [command = '', name = '', ...args] = rest;
    switch (command) {
      case 'create':
      case '-N':
      case '--create':
        this.#create(name, args[0] ?? '', args.slice(1), exist);
        return;
      case 'add':
      case '-A':
      case '--add':
        this.#add(name, args, exist);
        return;
      case 'flush':
      case '-F':
        this.#known(name)?.members.clear();
        return;
      case 'COMMIT':
      case 'quit':
        return;
      default:
        this.#fault('PLAN_UNSUPPORTED', 'this command is not read', line, 'create, add, flush');
    }
  }

  #create(name: string, typeName: string, options: readonly string[], exist = false): void {
    const type = OLD_TYPES[typeName] ?? SET_TYPES.find((one) => one === typeName);
    if (name === '' || name.length > 31) {
      this.#fault('PLAN_SET_NAME', 'not a name of a set', name, '1–31 characters');
    }
    if (!type) {
      this.#refused.add(name);
      const accepted = [...SET_TYPES, ...Object.keys(OLD_TYPES)].join(', ');
      this.#fault('PLAN_UNSUPPORTED', 'this type of set is not emulated', typeName, accepted);
      return;
    }
    if (this.#sets.has(name)) {
      if (!exist) this.#fault('PLAN_SET_TWICE', 'the set is made twice', name);
      return;
    }
    const { family, maxelem, size, timeout, range } = this.#createOptions(options);
    const ports = type === 'bitmap:port';
    if (ports && range === undefined) this.#fault('PLAN_SET', 'bitmap:port needs a range', name);
    const members = new Map<string, SetMember>();
    const list = type === 'list:set';
    const maxElements = list ? (size ?? DEFAULT_LIST_SIZE) : (maxelem ?? DEFAULT_MAXELEM);
    const familyOf = list || ports ? undefined : (family ?? 4);
    if (list && timeout !== undefined) {
      this.#fault('PLAN_UNSUPPORTED', 'a list:set with a timeout is not emulated', name);
    }
    const familyPart = optional('family', familyOf);
    const timePart = optional('timeout', timeout);
    const rangePart = optional('range', ports ? range : undefined);
    const parts = { ...familyPart, maxElements, ...rangePart, ...timePart };
    this.#sets.set(name, { name, type, ...parts, members });
  }

  /** What changes a lookup is kept or refused; what only tunes the table is passed over. */
  #createOptions(options: readonly string[]) {
    let family: Family | undefined;
    let maxelem: number | undefined;
    let size: number | undefined;
    let timeout: number | undefined;
    let range: PortSpan | undefined;
    for (let i = 0; i < options.length; i++) {
      const option = options[i] ?? '';
      if (['counters', 'comment'].includes(option)) continue;
      const value = options[++i] ?? '';
      if (option === 'family' && /^inet6?$|^ipv[46]$/.test(value)) {
        family = value.endsWith('6') ? 6 : 4;
      } else if (option === 'maxelem' && isU32(value)) maxelem = Number(value);
      else if (option === 'size' && isU32(value)) size = Number(value);
      else if (option === 'timeout' && isU32(value)) timeout = Number(value);
      else if (option === 'range' && portSpan(value) !== undefined) range = portSpan(value);
      else if (!['hashsize', 'bucketsize', 'initval'].includes(option)) {
        const accepted =
          'family, maxelem, size, timeout, range, hashsize, bucketsize, initval, counters, comment';
        this.#fault('PLAN_UNSUPPORTED', 'this option of a set is not emulated', option, accepted);
      }
    }
    return { family, maxelem, size, timeout, range };
  }

  #known(name: string): DraftSet | undefined {
    const set = this.#sets.get(name);
    if (!set && !this.#refused.has(name)) {
      this.#fault('PLAN_SET_MISSING', 'there is no such set', name);
    }
    return set;
  }

  #add(name: string, words: readonly string[], exist = false): void {
    const set = this.#known(name);
    if (!set) return;
    const [element = '', ...options] = words;
    const { nomatch, timeout } = this.#memberOptions(options);
    const parsed = parseMember(set, element, nomatch);
    if (typeof parsed === 'string') {
      this.#fault('PLAN_SET_MEMBER', `not a member of a ${set.type}`, element, parsed);
      return;
    }
    if (timeout !== undefined && set.timeout === undefined) {
      this.#fault('PLAN_SET_MEMBER', `set ${name} knows no timeouts`, words.join(' '));
    }
    const member: SetMember = { ...parsed, ...optional('timeout', timeout) };
    if (nomatch && !('nomatch' in member)) {
      this.#fault('PLAN_SET_MEMBER', `a ${set.type} has no nomatch`, words.join(' '));
    }
    const key = formatMember('nomatch' in member ? { ...member, nomatch: false } : member);
    if (set.members.has(key) && !exist) {
      this.#fault('PLAN_SET_MEMBER_TWICE', `the member is already in ${name}`, element);
    } else if (!set.members.has(key) && set.members.size >= set.maxElements) {
      this.#fault('PLAN_SET_FULL', `set ${name} is full`, element, `${set.maxElements} members`);
    } else {
      set.members.set(key, member);
      if (member.kind === 'set') {
        this.#references.push({ list: name, set: member.set, line: this.#line });
      }
    }
  }

  /** Options of a member: `nomatch`, `timeout`; counters and comments decide nothing. */
  #memberOptions(options: readonly string[]) {
    let nomatch = false;
    let timeout: number | undefined;
    for (let i = 0; i < options.length; i++) {
      const option = options[i] ?? '';
      if (option === 'nomatch') nomatch = true;
      else if (option === 'timeout' && isU32(options[i + 1] ?? '')) timeout = Number(options[++i]);
      else if (['packets', 'bytes', 'comment'].includes(option)) i++;
      else {
        const accepted = 'nomatch, timeout, packets, bytes, comment';
        this.#fault(
          'PLAN_UNSUPPORTED',
          'this option of a member is not emulated',
          option,
          accepted,
        );
      }
    }
    return { nomatch, timeout };
  }

  #fault(code: string, message: string, found?: string, accepted?: string): void {
    const detail = { ...optional('found', found), ...optional('accepted', accepted) };
    this.#faults.push({ code, file: this.#file, line: this.#line, message, ...detail });
  }
}

/** `LOW-HIGH`. */
function portSpan(text: string): PortSpan | undefined {
  const m = /^(\d{1,5})-(\d{1,5})$/.exec(text);
  const [low, high] = [Number(m?.[1] ?? -1), Number(m?.[2] ?? -1)];
  return m && low <= high && high <= LAST_PORT ? { low, high } : undefined;
}

function isU32(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff;
}
