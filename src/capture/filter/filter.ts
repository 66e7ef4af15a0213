/**
 * Packet filter expressions, pcap-filter(7), on capture files.
 *
 * Parsed and evaluated here, with libpcap's meaning: counts equal tcpdump's on the same file
 * (test/capture/filter-tcpdump.test.ts). What is not supported is refused by the word.
 * @module
 */
import { UserError } from '../../diagnostic/diagnostic.ts';
import { LinkType, type PacketRecord } from '../record.ts';
import { compileFor } from './compile.ts';
import { FILTERED_LINK_TYPES } from './link.ts';
import { parseExpression } from './parse.ts';
import type { Node } from './syntax.ts';
import { type Test, YES } from './test.ts';

export interface Filter {
  readonly text: string;
  readonly tree: Node | null;
  /** Compiled tests by link type, made when first met. */
  readonly compiled: Map<number, Test>;
}

/**
 * Parse an expression; the empty one selects everything.
 *
 * Throws a UserError (exit 2) that names column and word, also when no link type could carry what
 * is asked. What only some link types can carry is an error of `matches`, at the first such packet.
 */
export function parseFilter(text: string): Filter {
  const tree = parseExpression(text);
  const compiled = new Map<number, Test>();
  if (tree !== null) {
    const failures: unknown[] = [];
    for (const linkType of [LinkType.ethernet, ...FILTERED_LINK_TYPES]) {
      try {
        compiled.set(linkType, compileFor(tree, linkType));
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        failures.push(error);
      }
    }
    if (compiled.size === 0) throw failures[0];
  }
  return { text, tree, compiled };
}

/**
 * Whether a filter selects a packet.
 *
 * Throws a UserError (exit 2) when the packet's link type can not carry what the filter asks, as
 * libpcap refuses to compile such an expression for such a file.
 */
export function matches(filter: Filter, record: PacketRecord): boolean {
  return matchesBytes(filter, record.iface.linkType, record.data, record.wireLength);
}

/** The same of a packet's bytes. */
export function matchesBytes(
  filter: Filter,
  linkType: number,
  data: Uint8Array,
  wireLength: number,
): boolean {
  if (filter.tree === null) return true;
  let test = filter.compiled.get(linkType);
  if (test === undefined) {
    test = compileFor(filter.tree, linkType);
    filter.compiled.set(linkType, test);
  }
  return test(data, wireLength) === YES;
}
