/**
 * The tables of classes as one flat piece of shared memory, which workers read in place.
 *
 *   words  magic, version, bytes in all, checksum of all behind it, hosts' names (offset, bytes),
 *          then offset and bytes of each section
 *   …      the names as JSON; the sections, each from a multiple of 64 on
 *
 * Native code reads sections without looking at bounds, so everything it follows is verified here,
 * once: an image that was cut, changed, or made by another version is one clear error. Integers are
 * little-endian, as on every machine that Node.js runs on.
 * @module
 */
import { UserError } from '../../diagnostic/diagnostic.ts';
import { AddressClasses } from './address-classes.ts';
import { ClassTables } from './class-tables.ts';
import { PORT_PROTOCOLS, SIDES } from './cut.ts';
import { BLOCK, BLOCK_CELLS, DirectTable, ROOT_CELLS } from './direct-table.ts';
import { PORTS, PortClasses } from './port-classes.ts';
import { FORK, NodeField, WORDS } from './prefix-trie.ts';

export const IMAGE_VERSION = 1;
/** "WTIM". */
const MAGIC = 0x4d495457;
const ALIGNMENT = 64;
const HEAD = { magic: 0, version: 1, length: 2, checksum: 3, names: 4, sections: 6 } as const;
/** What the checksum covers starts here. */
const CHECKED_FROM = HEAD.names * 4;

type Section = Uint32Array | Uint16Array;

/** Sections in their order: what each is called, and its bytes. */
export function sectionsOf({ fields }: ClassTables): readonly (readonly [string, Section])[] {
  const named: (readonly [string, Section])[] = [];
  for (const side of SIDES) named.push([`IPv4 ${side} table`, fields.direct[side].cells]);
  for (const family of [4, 6] as const) {
    for (const side of SIDES) {
      named.push([`IPv${family} ${side} trie`, fields.addresses[family][side].trie.words]);
    }
  }
  for (const protocol of PORT_PROTOCOLS) {
    for (const side of SIDES) {
      named.push([`${protocol} ${side} ports`, fields.ports[protocol][side].table]);
    }
  }
  return named;
}

/** Lay the tables out in shared memory. */
export function freeze(tables: ClassTables): SharedArrayBuffer {
  const sections = sectionsOf(tables).map(([, section]) => section);
  const names = new TextEncoder().encode(JSON.stringify([...tables.hosts]));
  const head = (HEAD.sections + sections.length * 2) * 4;
  const pieces: readonly { readonly byteLength: number }[] = [names, ...sections];
  const offsets: number[] = [];
  let end = head;
  for (const { byteLength } of pieces) {
    offsets.push(align(end));
    end = align(end) + byteLength;
  }
  const buffer = new SharedArrayBuffer(align(end));
  const words = new Uint32Array(buffer);
  const place = (at: number, piece: number) => {
    words[at] = offsets[piece] ?? 0;
    words[at + 1] = pieces[piece]?.byteLength ?? 0;
  };
  new Uint8Array(buffer, offsets[0]).set(names);
  place(HEAD.names, 0);
  for (const [i, section] of sections.entries()) {
    place(HEAD.sections + i * 2, i + 1);
    const bytes = new Uint8Array(section.buffer, section.byteOffset, section.byteLength);
    new Uint8Array(buffer, offsets[i + 1]).set(bytes);
  }
  words[HEAD.magic] = MAGIC;
  words[HEAD.version] = IMAGE_VERSION;
  words[HEAD.length] = buffer.byteLength;
  words[HEAD.checksum] = checksum(words);
  return buffer;
}

/**
 * The tables in a piece of shared memory, read in place; whoever adds to them gets copies.
 * @throws UserError when they are not whole
 */
export function thaw(buffer: SharedArrayBuffer): ClassTables {
  const words = verified(buffer);
  const piece = (at: number, size: number) => {
    const [offset = 0, length = 0] = words.subarray(at, at + 2);
    const isIn = offset % ALIGNMENT === 0 && offset + length <= buffer.byteLength;
    if (!isIn || length % size !== 0) refuse('a section of the image lies outside of it', offset);
    return { offset, length: length / size };
  };
  let section = 0;
  const next = (size: number) => piece(HEAD.sections + 2 * section++, size);
  const u32 = () => {
    const { offset, length } = next(4);
    return new Uint32Array(buffer, offset, length);
  };
  const u16 = () => {
    const { offset, length } = next(2);
    return new Uint16Array(buffer, offset, length);
  };
  const bySide = <T>(make: () => T) => ({ source: make(), destination: make() });
  const fields = {
    direct: bySide(() => new DirectTable(checkedCells(u32()))),
    addresses: {
      4: bySide(() => new AddressClasses(4, checkedNodes(u32(), WORDS[4]))),
      6: bySide(() => new AddressClasses(6, checkedNodes(u32(), WORDS[6]))),
    },
    ports: {
      tcp: bySide(() => new PortClasses(checkedPorts(u16()))),
      udp: bySide(() => new PortClasses(checkedPorts(u16()))),
    },
  };
  const { offset, length } = piece(HEAD.names, 1);
  return new ClassTables(fields, readNames(new Uint8Array(buffer, offset, length)));
}

function readNames(bytes: Uint8Array): readonly string[] {
  // A decoder takes no shared memory.
  const text = new TextDecoder().decode(bytes.slice());
  try {
    const names: unknown = JSON.parse(text);
    if (Array.isArray(names)) return names.map(String);
  } catch {
    // Said below: a text that is no JSON is as bad as one that is no list.
  }
  return refuse("the hosts' names are no list", bytes.length);
}

function verified(buffer: SharedArrayBuffer): Uint32Array {
  const least = (HEAD.sections + 2 * SECTIONS) * 4;
  if (buffer.byteLength < least || buffer.byteLength % ALIGNMENT !== 0) {
    refuse('the image was cut', buffer.byteLength);
  }
  const words = new Uint32Array(buffer);
  if (words[HEAD.magic] !== MAGIC) refuse('this is no image', words[HEAD.magic] ?? 0);
  const version = words[HEAD.version] ?? 0;
  if (version !== IMAGE_VERSION) {
    refuse('the image is of another version', version, String(IMAGE_VERSION));
  }
  if (words[HEAD.length] !== buffer.byteLength) refuse('the image was cut', buffer.byteLength);
  if (words[HEAD.checksum] !== checksum(words)) {
    refuse('the image was changed since it was made', words[HEAD.checksum] ?? 0);
  }
  return words;
}

/** Two tables, two tries of each family, two tables of ports of each protocol. */
const SECTIONS = 10;

/** Blocks exist, and are at most two deep. */
function checkedCells(cells: Uint32Array): Uint32Array {
  const blocks = (cells.length - ROOT_CELLS) / BLOCK_CELLS;
  if (!Number.isInteger(blocks) || blocks < 0) refuse('a table is no table', cells.length);
  const forks = new Set<number>();
  for (let at = ROOT_CELLS; at < cells.length; at++) {
    const cell = cells[at] ?? 0;
    if (cell < BLOCK) continue;
    if (cell - BLOCK >= blocks) refuse('a table leads nowhere', at);
    forks.add(Math.floor((at - ROOT_CELLS) / BLOCK_CELLS));
  }
  // Each block is looked at once, however many cells lead there.
  const seen = new Set<number>();
  for (let at = 0; at < ROOT_CELLS; at++) {
    const block = (cells[at] ?? 0) - BLOCK;
    if (block < 0) continue;
    if (block >= blocks) refuse('a table leads nowhere', at);
    if (!forks.has(block) || seen.has(block)) continue;
    seen.add(block);
    const from = ROOT_CELLS + block * BLOCK_CELLS;
    for (const cell of cells.subarray(from, from + BLOCK_CELLS)) {
      if (cell >= BLOCK && forks.has(cell - BLOCK)) refuse('a table is too deep', at);
    }
  }
  return cells;
}

/** Children exist and are longer than their parents, so that every walk ends. */
function checkedNodes(nodes: Uint32Array, width: number): Uint32Array {
  const stride = width + NodeField.count;
  const size = nodes.length / stride;
  if (!Number.isInteger(size) || size === 0) refuse('a trie is no trie', nodes.length);
  const field = (node: number, at: number) => nodes[node * stride + width + at] ?? 0;
  if (field(0, NodeField.region) === FORK) refuse('a trie has no root', 0);
  for (let node = 0; node < size; node++) {
    const length = field(node, NodeField.length);
    for (const side of [0, 1]) {
      const child = field(node, NodeField.children + side);
      if (child === 0) continue;
      const isIn = child < size && field(child, NodeField.length) > length;
      if (!isIn || field(child, NodeField.length) > width * 32)
        refuse('a trie leads nowhere', node);
    }
  }
  return nodes;
}

function checkedPorts(table: Uint16Array): Uint16Array {
  if (table.length !== PORTS) refuse('a table of ports has another size', table.length);
  return table;
}

/** FNV-1a over words. */
function checksum(words: Uint32Array): number {
  let sum = 0x811c9dc5;
  for (let at = CHECKED_FROM / 4; at < words.length; at++) {
    sum = Math.imul(sum ^ (words[at] ?? 0), 0x01000193);
  }
  return sum >>> 0;
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function refuse(message: string, found: number, accepted?: string): never {
  const more = accepted === undefined ? {} : { accepted };
  throw new UserError([{ code: 'IMAGE_BAD', message, found: String(found), ...more }], 'input');
}
