/**
 * The classes of all fields that packets are told apart by: addresses of both families and ports of
 * TCP and UDP, on either side (SEMANTICS C). Two packets whose fields are in the same classes meet
 * the same answers in every image that was taken in.
 *
 * Hosts may come one by one (pods are made when first asked for): a host that comes later splits
 * classes, and what was concluded of a class before still holds for those who keep its number.
 * @module
 */
import type { Address } from '../../wire/address/address.ts';
import { ADDRESS_KINDS } from '../route/address-kind.ts';
import { AddressClasses } from './address-classes.ts';
import { type AddressCut, type Cut, type PortProtocol, SIDES, type Side } from './cut.ts';
import { DirectTable } from './direct-table.ts';
import { PortClasses } from './port-classes.ts';

type BySide<T> = Readonly<Record<Side, T>>;

/** What each class of a table is looked up in. */
export interface ClassFields {
  readonly direct: BySide<DirectTable>;
  readonly addresses: Readonly<Record<4 | 6, BySide<AddressClasses>>>;
  readonly ports: Readonly<Record<PortProtocol, BySide<PortClasses>>>;
}

export class ClassTables {
  readonly fields: ClassFields;
  readonly #hosts: Set<string>;
  /** Questions that were asked before: they tell nobody apart any more. */
  readonly #asked = new Set<string>();
  readonly #askedOf = new WeakMap<object, Set<string>>();
  #isChanged = true;

  /** With `fields` tables that were made before, of `hosts`; else everything is in one class. */
  constructor(fields?: ClassFields, hosts: readonly string[] = []) {
    this.#hosts = new Set(hosts);
    this.fields = fields ?? {
      direct: bySide(() => new DirectTable()),
      addresses: {
        4: bySide(() => new AddressClasses(4)),
        6: bySide(() => new AddressClasses(6)),
      },
      ports: { tcp: bySide(() => new PortClasses()), udp: bySide(() => new PortClasses()) },
    };
    if (fields === undefined) this.add(KIND_CUTS);
  }

  /** The hosts that were taken in. */
  get hosts(): ReadonlySet<string> {
    return this.#hosts;
  }

  /** Take a host in, unless it was before. */
  takeIn({ host, cuts }: { readonly host: string; cuts(): Iterable<Cut> }): void {
    if (this.#hosts.has(host)) return;
    this.#hosts.add(host);
    this.add(cuts());
  }

  /** Take more constants in. */
  add(cuts: Iterable<Cut>): void {
    for (const cut of cuts) if (!this.#wasAsked(cut)) this.#ask(cut);
    for (const side of SIDES) {
      const addresses = this.fields.addresses[4][side];
      const changed = addresses.takeChanged();
      if (changed.length === 0) continue;
      this.fields.direct[side].paint(addresses.trie, changed);
      this.#isChanged = true;
    }
    for (const side of SIDES) {
      if (this.fields.addresses[6][side].takeChanged().length > 0) this.#isChanged = true;
    }
  }

  /** Whether any class or table has changed since the last call. */
  takeChanged(): boolean {
    const changed = this.#isChanged;
    this.#isChanged = false;
    return changed;
  }

  classOf(address: Address, side: Side): number {
    return this.fields.addresses[address.family][side].classOf(address);
  }

  #ask(cut: Cut): void {
    for (const side of cut.sides) {
      if (cut.kind === 'address') {
        const { trie } = this.fields.addresses[cut.family][side];
        const before = trie.size;
        this.fields.addresses[cut.family][side].refine(cut);
        // New nodes may have moved the array.
        if (trie.size > before) this.#isChanged = true;
        continue;
      }
      for (const protocol of cut.protocols) {
        if (this.fields.ports[protocol][side].refine(cut)) this.#isChanged = true;
      }
    }
  }

  #wasAsked(cut: Cut): boolean {
    const { key } = cut;
    if (key === undefined) return false;
    const which = cut.kind === 'port' ? cut.protocols.join() : (cut.about ?? '');
    const about = `${cut.sides.join()} ${which}`;
    if (typeof key === 'string') return !addTo(this.#asked, `${about} ${key}`);
    const known = this.#askedOf.get(key) ?? new Set<string>();
    this.#askedOf.set(key, known);
    return !addTo(known, `${cut.kind} ${about}`);
  }
}

function bySide<T>(make: () => T): BySide<T> {
  return { source: make(), destination: make() };
}

/** Whether the set did not have it. */
function addTo(set: Set<string>, text: string): boolean {
  const { size } = set;
  return set.add(text).size > size;
}

const KIND_CUTS: readonly AddressCut[] = ADDRESS_KINDS.map((prefix) => ({
  ...{ kind: 'address', family: prefix.address.family, sides: SIDES },
  ...{ what: 'kinds of addresses', answers: () => [{ prefix, answer: 'in' }], chained: false },
}));
