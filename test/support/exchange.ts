/**
 * A whole exchange over TCP, as both sides send it.
 * @module
 */
import { type PacketBuilder, tcp } from './packets.ts';

/** One packet of a connection. */
export interface Step {
  readonly isReply: boolean;
  readonly make: (base: PacketBuilder) => PacketBuilder;
}

/** Handshake, a request of 10 bytes, an answer of 20, both sides close. */
export const STEPS: readonly Step[] = [
  { isReply: false, make: (p) => p.syn().seq(100) },
  { isReply: true, make: (p) => p.syn().seq(500).ack(101) },
  { isReply: false, make: (p) => p.seq(101).ack(501) },
  { isReply: false, make: (p) => p.seq(101).ack(501).psh().payload(10) },
  { isReply: true, make: (p) => p.seq(501).ack(111).psh().payload(20) },
  { isReply: false, make: (p) => p.seq(111).ack(521).fin() },
  { isReply: true, make: (p) => p.seq(521).ack(112).fin() },
  { isReply: false, make: (p) => p.seq(112).ack(522) },
];

/** The steps as Ethernet frames between a client's port 40000 and a server's. */
export function exchange(client: string, server: string, dport: number): readonly Uint8Array[] {
  const asked = tcp().from(client, 40_000).to(server, dport);
  const answer = tcp().from(server, dport).to(client, 40_000);
  return STEPS.map(({ isReply, make }, i) =>
    make(isReply ? answer : asked)
      .id(i + 1)
      .frame(),
  );
}
