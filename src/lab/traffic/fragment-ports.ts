/**
 * Ports of later fragments: those of their datagram's first fragment, when it came before them.
 *
 * Only bookkeeping for reports and connections; whether rules see ports is the emulated hosts'
 * business (defragmentation).
 * @module
 */
import type { Datagram } from '../datagram/datagram.ts';

/** The longest the kernel waits for a datagram's fragments (ip6frag_time). */
const TIMEOUT_NS = 60e9;

type First = Pick<Datagram, 'sport' | 'dport' | 'icmpReply'> & { readonly nowNs: number };

export class FragmentPorts {
  readonly #firsts = new Map<string, First>();

  /** The datagram as it is, or with the ports of its first fragment. */
  complete(d: Datagram, nowNs: number): Datagram {
    if (d.fragment === null) return d;
    this.#forget(nowNs);
    if (d.fragment.offset === 0) {
      const { sport, dport, icmpReply } = d;
      const first = { sport, dport, nowNs };
      this.#firsts.set(d.fragment.key, icmpReply === undefined ? first : { ...first, icmpReply });
      return d;
    }
    const first = this.#firsts.get(d.fragment.key);
    if (first === undefined) return d;
    const { nowNs: _at, ...ports } = first;
    return { ...d, ...ports };
  }

  #forget(nowNs: number): void {
    for (const [key, first] of this.#firsts) {
      if (nowNs - first.nowNs <= TIMEOUT_NS) return;
      this.#firsts.delete(key);
    }
  }
}
