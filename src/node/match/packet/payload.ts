/**
 * Matches on bytes anywhere in the packet, counted from its IP header: u32 and string.
 *
 * Source: net/netfilter/xt_u32.c `u32_match_it`, xt_string.c `string_mt`, net/core/skbuff.c
 * `skb_find_text`, lib/ts_bm.c and ts_kmp.c (Linux 6.18).
 * @module
 */
import type { FurtherMatch, U32Test } from '../../../netfilter/further-match.ts';
import type { Packet } from '../../../packet/packet.ts';
import { u8, u32 } from '../../../wire/bytes.ts';
import { type Answer, answer } from '../answer.ts';

type MatchOf<K extends FurtherMatch['kind']> = Extract<FurtherMatch, { kind: K }>;

const MAX_U32 = 0xffffffff;

export function matchU32(match: MatchOf<'u32'>, packet: Packet): Answer {
  for (const test of match.tests) {
    const found = testHolds(test, packet);
    if (found === 'cut') return 'cut';
    if (!found) return answer(match.negate);
  }
  return answer(!match.negate);
}

function testHolds(test: U32Test, packet: Packet): boolean | 'cut' {
  let base = 0;
  let value = wordAt(packet, test.start);
  for (const { operation, number } of test.steps) {
    if (typeof value === 'string') return value === 'cut' ? 'cut' : false;
    switch (operation) {
      case 'and':
        value = (value & number) >>> 0;
        break;
      case 'left':
        value = (value << number) >>> 0;
        break;
      case 'right':
        value >>>= number;
        break;
      case 'at':
        base += value;
        if (base > MAX_U32) return false;
        value = wordAt(packet, base + number);
        break;
    }
  }
  if (typeof value === 'string') return value === 'cut' ? 'cut' : false;
  const found = value;
  return test.ranges.some(({ low, high }) => low <= found && found <= high);
}

/** 32 bits at an offset from the IP header; `beyond` the end of the packet there are none. */
function wordAt({ bytes, l3, end }: Packet, offset: number): number | 'beyond' | 'cut' {
  const at = l3 + offset;
  if (at + 4 > end) return 'beyond';
  return at + 4 > bytes.length ? 'cut' : u32(bytes, at);
}

/** The pattern must lie between `from` and `to` as a whole. */
export function matchString(match: MatchOf<'string'>, packet: Packet): Answer {
  const { pattern, ignoreCase, negate } = match;
  const { bytes, l3, end } = packet;
  const first = l3 + match.from;
  const last = Math.min(end, l3 + match.to);
  const wanted = ignoreCase ? pattern.map(lower) : pattern;
  for (let at = first; at + wanted.length <= Math.min(last, bytes.length); at++) {
    const same = wanted.every((byte, i) => {
      const have = u8(bytes, at + i);
      return (ignoreCase ? lower(have) : have) === byte;
    });
    if (same) return answer(!negate);
  }
  return bytes.length < last ? 'cut' : answer(negate);
}

/** Case of ASCII letters only matters (lib/ts_bm.c `TS_IGNORECASE` maps by `toupper`). */
function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}
