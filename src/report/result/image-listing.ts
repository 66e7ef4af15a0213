/**
 * An image of classes in words: what it takes, how many classes each field has, and what cut them.
 *
 *   image version 1: 1 host, 1,183,232 bytes
 *
 *   FIELD                 CLASSES   REGIONS   BYTES
 *   IPv4 source           14        23        262420
 *
 *   IPv4 source, by what told addresses apart:
 *     set azure-npm-123   2 classes   10.240.0.5/32, 10.240.0.6/32
 *
 * @module
 */
import type { AddressClasses } from '../../image/classes/address-classes.ts';
import type { ClassTables } from '../../image/classes/class-tables.ts';
import { PORT_PROTOCOLS, SIDES, type Side } from '../../image/classes/cut.ts';
import { freeze, IMAGE_VERSION } from '../../image/classes/flat.ts';
import { PORTS, type PortClasses } from '../../image/classes/port-classes.ts';
import { FORK, type PrefixTrie } from '../../image/classes/prefix-trie.ts';
import { type Family, formatPrefix, ipv4, ipv6 } from '../../wire/address/address.ts';
import { formatTable } from '../text/table.ts';

/** Lines and values that a listing shows of what may be thousands. */
const MOST_QUESTIONS = 12;
const MOST_VALUES = 4;

/** One field: its classes by the question that first told them from others. */
interface Field {
  readonly name: string;
  readonly classes: number;
  /** Ranges of values that have one class. */
  readonly regions: number;
  readonly bytes: number;
  readonly questions: ReadonlyMap<string, Asked>;
}

interface Asked {
  readonly classes: Set<number>;
  readonly values: string[];
}

/** The listing of tables that were made here, of which it is known what cut them. */
export function formatImage(tables: ClassTables): string {
  const { byteLength } = freeze(tables);
  const hosts = tables.hosts.size;
  const fields = fieldsOf(tables);
  const head = `image version ${IMAGE_VERSION}: ${hosts} host${hosts === 1 ? '' : 's'}`;
  const rows = fields.map(({ name, classes, regions, bytes }) => [name, classes, regions, bytes]);
  const overview = formatTable({ columns: ['FIELD', 'CLASSES', 'REGIONS', 'BYTES'], rows });
  const parts = fields.filter(({ questions }) => questions.size > 0).map(formatField);
  return [`${head}, ${byteLength} bytes\n`, overview, ...parts].join('\n');
}

function formatField({ name, questions }: Field): string {
  const sorted = [...questions].sort(([, a], [, b]) => b.classes.size - a.classes.size);
  const shown = sorted.slice(0, MOST_QUESTIONS).map(([what, { classes, values }]) => {
    const some = values.slice(0, MOST_VALUES).join(', ');
    const more = values.length - MOST_VALUES;
    return [`  ${what}`, classes.size, more > 0 ? `${some} and ${more} more` : some];
  });
  const left = sorted.length - shown.length;
  if (left > 0) shown.push([`  and ${left} more`, '', '']);
  const rows = formatTable({ columns: [`${name} BY`, 'CLASSES', 'VALUES'], rows: shown });
  return rows;
}

function fieldsOf({ fields }: ClassTables): readonly Field[] {
  const { addresses, direct, ports } = fields;
  const ofAddresses = (family: Family, side: Side): Field => {
    const classes = addresses[family][side];
    const table = family === 4 ? direct[side].cells.byteLength : 0;
    const bytes = table + classes.trie.words.byteLength;
    return { name: `IPv${family} ${side}`, bytes, ...addressField(classes) };
  };
  return [
    ...SIDES.map((side) => ofAddresses(4, side)),
    ...SIDES.map((side) => ofAddresses(6, side)),
    ...PORT_PROTOCOLS.flatMap((protocol) =>
      SIDES.map((side): Field => {
        const classes = ports[protocol][side];
        const name = `${protocol.toUpperCase()} ${side} port`;
        return { name, bytes: classes.table.byteLength, ...portField(classes) };
      }),
    ),
  ];
}

type Counts = Pick<Field, 'classes' | 'regions' | 'questions'>;

function addressField(classes: AddressClasses): Counts {
  const { trie } = classes;
  const questions = new Map<string, Asked>();
  let regions = 0;
  for (let node = 0; node < trie.size; node++) {
    const cls = trie.region(node);
    if (cls === FORK) continue;
    regions += 1;
    note(questions, classes.originOf(cls)?.what, cls, prefixText(trie, node));
  }
  return { classes: classes.count, regions, questions };
}

function portField(classes: PortClasses): Counts {
  const questions = new Map<string, Asked>();
  let regions = 0;
  for (let low = 0; low < PORTS; ) {
    const cls = classes.classOf(low);
    let high = low;
    while (high + 1 < PORTS && classes.classOf(high + 1) === cls) high += 1;
    regions += 1;
    const text = low === high ? String(low) : `${low}-${high}`;
    note(questions, classes.originOf(cls)?.what, cls, text);
    low = high + 1;
  }
  return { classes: classes.count, regions, questions };
}

function note(
  questions: Map<string, Asked>,
  what: string | undefined,
  cls: number,
  value: string,
): void {
  if (what === undefined) return;
  const asked = questions.get(what) ?? { classes: new Set(), values: [] };
  questions.set(what, asked);
  asked.classes.add(cls);
  asked.values.push(value);
}

function prefixText(trie: PrefixTrie, node: number): string {
  const word = (at: number) => trie.word(node, at);
  const address = trie.family === 4 ? ipv4(word(0)) : ipv6(word(0), word(1), word(2), word(3));
  return formatPrefix({ address, length: trie.length(node) });
}
