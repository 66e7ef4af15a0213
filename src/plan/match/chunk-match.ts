/**
 * Text and reading of what xt_sctp and xt_dccp ask beyond ports: chunk types with flags, packet
 * types, an option.
 *
 * Source: iptables 1.8.9, extensions/libxt_sctp.c `sctp_chunk_names`, `parse_sctp_chunk`;
 * libxt_dccp.c `dccp_pkt_types`.
 * @module
 */
import { CHUNK_MODES, type ChunkTypes } from '../../netfilter/further-match.ts';
import { OptionFault, oneOf } from '../rule/option-reader.ts';
import { inOrder } from './match-words.ts';

/** Name, type, and the letters of the flags from bit 7 to bit 0. */
const CHUNKS: readonly (readonly [string, number, string?])[] = [
  ['DATA', 0, '----IUBE'],
  ['INIT', 1],
  ['INIT_ACK', 2],
  ['SACK', 3],
  ['HEARTBEAT', 4],
  ['HEARTBEAT_ACK', 5],
  ['ABORT', 6, '-------T'],
  ['SHUTDOWN', 7],
  ['SHUTDOWN_ACK', 8],
  ['ERROR', 9],
  ['COOKIE_ECHO', 10],
  ['COOKIE_ACK', 11],
  ['ECN_ECNE', 12],
  ['ECN_CWR', 13],
  ['SHUTDOWN_COMPLETE', 14, '-------T'],
  ['ASCONF_ACK', 128],
  ['FORWARD_TSN', 192],
  ['ASCONF', 193],
];
const ALL_TYPES = 256;

export function formatChunks({ mode, chunks }: ChunkTypes): string {
  if (chunks.length === ALL_TYPES) return `${mode} ALL`;
  return `${mode} ${chunks.length === 0 ? 'NONE' : chunks.map(formatChunk).join(',')}`;
}

function formatChunk({ type, flags }: ChunkTypes['chunks'][number]): string {
  const [name = '', , letters = ''] = CHUNKS.find(([, number]) => number === type) ?? [];
  if (flags === undefined) return name;
  const written = Array.from(letters, (letter, i) => {
    const bit = 0x80 >>> i;
    if ((flags.mask & bit) === 0) return '';
    return (flags.set & bit) === 0 ? letter.toLowerCase() : letter;
  });
  return `${name}:${written.join('')}`;
}

/** `MODE` and a list of `NAME[:FLAGS]`; a capital letter asks for a flag, a small one for none. */
export function parseChunks(mode: string, list: string): ChunkTypes {
  const read = oneOf(CHUNK_MODES)(mode);
  if (list.toUpperCase() === 'ALL') {
    return { mode: read, chunks: Array.from({ length: ALL_TYPES }, (_, type) => ({ type })) };
  }
  if (list.toUpperCase() === 'NONE') return { mode: read, chunks: [] };
  const chunks = list.split(',').map(parseChunk);
  return { mode: read, chunks: chunks.toSorted((a, b) => a.type - b.type) };
}

function parseChunk(text: string): ChunkTypes['chunks'][number] {
  const [name = '', flags] = text.split(':', 2);
  const found = CHUNKS.find(([one]) => one === name.toUpperCase());
  if (!found) {
    throw new OptionFault('unknown chunk', name, CHUNKS.map(([one]) => one).join(', '));
  }
  const [, type, letters = ''] = found;
  if (flags === undefined) return { type };
  let mask = 0;
  let set = 0;
  for (const letter of flags) {
    const at = letter === '-' ? -1 : letters.indexOf(letter.toUpperCase());
    if (at < 0) throw new OptionFault('this chunk has no such flag', text);
    const bit = 0x80 >>> at;
    mask |= bit;
    if (letter === letter.toUpperCase()) set |= bit;
  }
  return { type, flags: { mask, set } };
}

/** By number; the last stands for the one that RFC 4340 leaves first free. */
const DCCP_TYPES = [
  'REQUEST',
  'RESPONSE',
  'DATA',
  'ACK',
  'DATAACK',
  'CLOSEREQ',
  'CLOSE',
  'RESET',
  'SYNC',
  'SYNCACK',
  'INVALID',
] as const;

export function formatDccpTypes(types: readonly number[]): string {
  return inOrder(
    DCCP_TYPES,
    DCCP_TYPES.filter((_, type) => types.includes(type)),
  );
}

export function parseDccpTypes(text: string): readonly number[] {
  const present = text.split(',').map(oneOf(DCCP_TYPES));
  return DCCP_TYPES.flatMap((name, type) => (present.includes(name) ? [type] : []));
}
