/**
 * The tables of classes as native code takes them (native/src/engine/classes.hh).
 * @module
 */
import type { ClassTables } from '../../image/classes/class-tables.ts';
import { SIDES } from '../../image/classes/cut.ts';

/** Tables of IPv4, tries of IPv6, ports of TCP, ports of UDP; of each, source first. */
export function classArrays({ fields }: ClassTables): readonly (Uint32Array | Uint16Array)[] {
  return [
    ...SIDES.map((side) => fields.direct[side].cells),
    ...SIDES.map((side) => fields.addresses[6][side].trie.words),
    ...SIDES.map((side) => fields.ports.tcp[side].table),
    ...SIDES.map((side) => fields.ports.udp[side].table),
  ];
}
