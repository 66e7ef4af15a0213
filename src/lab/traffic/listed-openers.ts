/**
 * Who opened the connections that nodes listed (`conntrack -L`): their packets need no opening, for
 * the nodes know them, and no guess at their direction.
 *
 * Both tuples count: a translated connection is one conversation where its client is captured and
 * another where its server is.
 * @module
 */
import type { ListedConnection, ListedTuple } from '../../netfilter/listed-connection.ts';
import type { Plan } from '../../plan/model.ts';
import { compareAddress } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Datagram } from '../datagram/datagram.ts';
import { tupleKey } from './tuple-key.ts';

interface Opener {
  readonly tuple: ListedTuple;
  readonly untilNs: number;
}

export class ListedOpeners {
  readonly #openers = new Map<string, Opener>();

  constructor(nodes: readonly Pick<Plan, 'connections'>[]) {
    for (const listed of nodes.flatMap(({ connections = [] }) => connections)) {
      const { original, reply, timeoutS } = listed;
      const untilNs = timeoutS * 1e9;
      this.#note(turned(reply), untilNs);
      this.#note(original, untilNs);
    }
  }

  get size(): number {
    return this.#openers.size;
  }

  /**
   * Whether the packet goes against the direction in which its connection was opened; null when no
   * node listed one that is still alive.
   */
  isReply(
    d: Pick<Datagram, 'protocol' | 'src' | 'dst' | 'sport' | 'dport'>,
    nowNs: number,
  ): boolean | null {
    const found = this.#openers.get(keyOf(d.protocol, d));
    if (found === undefined || nowNs >= found.untilNs) return null;
    const { src, sport } = found.tuple;
    if (compareAddress(src, d.src) !== 0) return true;
    return compareAddress(d.src, d.dst) === 0 && (d.sport ?? 0) !== sport;
  }

  #note(tuple: ListedTuple, untilNs: number): void {
    const key = keyOf(tuple.protocol, portsOf(tuple));
    const known = this.#openers.get(key);
    if (known && known.untilNs >= untilNs) return;
    this.#openers.set(key, { tuple, untilNs });
  }
}

/** What the opener sends, as those see it whom the reply tuple names. */
function turned(reply: ListedConnection['reply']): ListedTuple {
  const { src, dst, sport, dport } = reply;
  const isIcmp = reply.protocol === Protocol.icmp || reply.protocol === Protocol.icmpv6;
  const ports = isIcmp ? { sport, dport } : { sport: dport, dport: sport };
  return { ...reply, src: dst, dst: src, ...ports };
}

/** Conversations of ICMP have the identifier on both sides, and GRE has no ports. */
function portsOf(tuple: ListedTuple): Pick<ListedTuple, 'src' | 'dst' | 'sport' | 'dport'> {
  const { protocol, sport } = tuple;
  if (protocol === Protocol.icmp || protocol === Protocol.icmpv6) return { ...tuple, dport: sport };
  return protocol === Protocol.gre ? { ...tuple, sport: 0, dport: 0 } : tuple;
}

function keyOf(
  protocol: number,
  d: {
    readonly src: ListedTuple['src'];
    readonly dst: ListedTuple['dst'];
    readonly sport: number | null;
    readonly dport: number | null;
  },
): string {
  const a = { address: d.src, port: d.sport ?? 0 };
  return tupleKey(protocol, a, { address: d.dst, port: d.dport ?? 0 });
}
