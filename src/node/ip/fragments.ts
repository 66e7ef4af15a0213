/**
 * Fragments: gathered before the hooks of hosts that track connections, put together before local
 * delivery, and cut for the device they leave by.
 *
 * Truth: net/ipv4/netfilter/nf_defrag_ipv4.c `ipv4_conntrack_defrag`, net/ipv4/ip_input.c
 * `ip_local_deliver`, net/ipv4/ip_output.c `ip_fragment` (Linux 6.18); the work itself is done by
 * conntrack/fragment/defrag.ts and conntrack/fragment/refragment.ts.
 * @module
 */
import {
  type Defragmenter,
  fragmentStart,
  isAtomicFragment,
  isTruncatedFirst,
} from '../../conntrack/fragment/defrag.ts';
import { refragment } from '../../conntrack/fragment/refragment.ts';
import type { Packet } from '../../packet/packet.ts';
import { isFragment, transportOffset } from '../../packet/parse.ts';
import { completeChecksum } from '../../packet/transport-checksum.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import type { Passage, Stage } from '../passage.ts';
import { drop, finish, type Run, unknown } from '../run.ts';
import { sendIcmpError } from './icmp-error.ts';
import { keepCopied } from './ipv4-options.ts';

/** RFC 791: every link carries this much; a smaller MTU can not be cut for. */
const LEAST_MTU = 68;

/** Later fragments carry only the options that say so. */
function thinOut({ bytes, l3 }: Packet): void {
  keepCopied(bytes, l3);
  ipv4.fillChecksum(bytes, l3);
}

/** Before a hook: true when the packet goes on, whole; false when it is kept or lost. */
export function gatherFragments(run: Run, passage: Passage): boolean {
  const { packet, host } = passage;
  if (packet.family === 0 || (!isFragment(packet) && !isAtomicFragment(packet))) return true;
  if (!host.image.defragActive(packet.family)) return true;
  return gather(run, passage, run.stateOf(host).trackedFragments);
}

/** Before local delivery: every host puts together what is addressed to it. */
export function reassembleLocal(run: Run, passage: Passage): boolean {
  if (!isFragment(passage.packet)) return true;
  if (passage.packet.family === 6 && complains(run, passage)) return false;
  return gather(run, passage, run.stateOf(passage.host).localFragments);
}

/**
 * IPv6 hosts say what is wrong with a fragment (`ipv6_frag_rcv`, `ip6_frag_queue`): a first one
 * without its transport header, one of many with a length that nothing can follow.
 */
function complains(run: Run, passage: Passage): boolean {
  const { packet } = passage;
  const off = transportOffset(packet);
  const isShort = typeof off === 'number' && isTruncatedFirst(packet, off);
  const isOdd = packet.moreFragments && (packet.end - fragmentStart(packet)) % 8 !== 0;
  if (!isShort && !isOdd) return false;
  const what = isShort ? { code: 3, pointer: 0 } : { code: 0, pointer: PAYLOAD_LENGTH };
  sendIcmpError(run, passage, { kind: 'parameter', ...what });
  drop(passage, 'defrag', 'fragmentMalformed');
  return true;
}

/** Where IPv6 says how long it is. */
const PAYLOAD_LENGTH = 4;

function gather(run: Run, passage: Passage, fragments: Defragmenter): boolean {
  const { packet } = passage;
  const found = fragments.add(packet, run.nowNs);
  switch (found.kind) {
    case 'notFragment':
      return true;
    case 'waiting':
      passage.step('defrag', `kept: offset ${packet.fragmentOffset}`);
      passage.trail.heldForReassembly = true;
      finish(passage, 'consumed', null);
      return false;
    case 'headerCut':
      unknown(passage, { host: passage.host.name, stage: 'defrag' }, 'headerCut');
      return false;
    case 'dropped':
      drop(passage, 'defrag', found.reason);
      return false;
    case 'complete': {
      const whole = found.packet;
      const { inDevice, outDevice, physIn, physOut, mark, markOrigins } = packet;
      Object.assign(whole, { inDevice, outDevice, physIn, physOut, mark, markOrigins });
      passage.packet = whole;
      passage.fragmentMaxSize = largestFragment(passage);
      passage.step('defrag', `complete: ${passage.ipLength} bytes`);
      return true;
    }
  }
}

/** Length of the largest original fragment, its IP header included (`IPCB(skb)->frag_max_size`). */
function largestFragment(passage: Passage): number {
  const { packet } = passage;
  const pieces = packet.fragmentPieces ?? [0];
  const total = pieces.reduce((sum, size) => sum + size, 0);
  const header = passage.ipLength - total + (packet.family === 6 ? 8 : 0);
  return header + Math.max(...pieces);
}

/**
 * Cut a packet for a device of this MTU, when it is too large or came in fragments; each fragment
 * goes on at `stage` on its own branch.
 *
 * @returns true when the packet itself goes on; false when its fragments do, or it was too big
 */
export function sendFragments(run: Run, passage: Passage, mtu: number, stage: Stage): boolean {
  const { packet } = passage;
  if (packet.end > packet.bytes.length) {
    unknown(passage, { host: passage.host.name, stage: 'ip-output' }, 'headerCut');
    return false;
  }
  // No device can fill in the checksum of pieces (`skb_checksum_help` in `ip_do_fragment`).
  if (packet.checksumOffloaded) completeChecksum(packet);
  const pieces = mtu < LEAST_MTU ? 'tooBig' : refragment(packet, mtu, passage.fragmentMaxSize);
  if (pieces === 'tooBig') {
    sendIcmpError(run, passage, { kind: 'tooBig', mtu });
    drop(passage, 'ip-output', 'tooBig');
    return false;
  }
  if (pieces[0] === packet) return true;
  passage.step('ip-output', `sent in ${pieces.length} fragments`);
  for (const piece of pieces) {
    if (passage.options !== null && piece !== pieces[0]) thinOut(piece);
    const part = passage.branch(piece);
    part.fragmentMaxSize = 0;
    run.later(part, stage);
  }
  return false;
}
