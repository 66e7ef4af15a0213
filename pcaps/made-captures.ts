/**
 * The captures under pcaps/made, frame by frame: small, exact, the same bytes every time.
 *
 * Each belongs to the golden case of its name (test/golden). Addresses are those of
 * test/golden/two-nodes.yaml and test/golden/dual-stack.yaml. Time starts at a fixed moment, a
 * millisecond between frames.
 * @module
 */
import { Writable } from 'node:stream';
import { LinkType } from '../src/capture/record.ts';
import { ByteSink } from '../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../src/capture/write/pcap-writer.ts';
import {
  icmpEcho,
  icmpEchoReply,
  type PacketBuilder,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../test/support/packets.ts';

export interface MadeCapture {
  readonly name: string;
  /** What it shows, as pcaps/README.md says it. */
  readonly about: string;
  readonly frames: readonly PacketBuilder[];
}

const NODE_A = '10.240.0.4';
const NODE_B = '10.240.0.35';
/** Pods: a and b on node-a, c and d on node-b. */
const A = '10.240.0.10';
const B = '10.240.0.11';
const C = '10.240.0.40';
const D = '10.240.0.41';
const A6 = 'fd00:240::10';
const B6 = 'fd00:240::11';
const C6 = 'fd00:240::40';

const START_NS = 1_767_225_600_000_000_000n;
const STEP_NS = 1_000_000n;

type End = readonly [address: string, port: number];

const CLIENT_SEQ = 1000;
const SERVER_SEQ = 5000;
const REQUEST = 'GET / HTTP/1.1\r\n\r\n';
const ANSWER = 'HTTP/1.1 204 No Content\r\n\r\n';

/** Request and answer over an open connection: three segments. */
function talk([src, sport]: End, [dst, dport]: End): readonly PacketBuilder[] {
  const up = tcp().from(src, sport).to(dst, dport);
  const afterRequest = CLIENT_SEQ + 1 + REQUEST.length;
  const afterAnswer = SERVER_SEQ + 1 + ANSWER.length;
  return [
    up
      .seq(CLIENT_SEQ + 1)
      .ack(SERVER_SEQ + 1)
      .psh()
      .payload(REQUEST),
    up
      .reversed()
      .seq(SERVER_SEQ + 1)
      .ack(afterRequest)
      .psh()
      .payload(ANSWER),
    up.seq(afterRequest).ack(afterAnswer),
  ];
}

/** Handshake, request and answer: six segments. */
function exchange(client: End, server: End): readonly PacketBuilder[] {
  const [src, sport] = client;
  const [dst, dport] = server;
  const up = tcp().from(src, sport).to(dst, dport);
  return [
    up.seq(CLIENT_SEQ).syn(),
    up
      .reversed()
      .seq(SERVER_SEQ)
      .syn()
      .ack(CLIENT_SEQ + 1),
    up.seq(CLIENT_SEQ + 1).ack(SERVER_SEQ + 1),
    ...talk(client, server),
  ];
}

/** One datagram and its answer. */
function ask([src, sport]: End, [dst, dport]: End, bytes = 40): readonly PacketBuilder[] {
  const up = udp().from(src, sport).to(dst, dport);
  return [up.payload(bytes), up.reversed().payload(bytes)];
}

function ping(src: string, dst: string, id: number): readonly PacketBuilder[] {
  const options = { v6: src.includes(':') };
  return [
    icmpEcho(id, 1, options).from(src).to(dst).payload(56),
    icmpEchoReply(id, 1, options).from(dst).to(src).payload(56),
  ];
}

const COOKIE_ECHO = 10;
const COOKIE_ACK = 11;
const INIT_ACK = 2;

/** The four-way handshake of SCTP (RFC 9260 section 5.1). */
function associate([src, sport]: End, [dst, dport]: End): readonly PacketBuilder[] {
  const up = sctp().from(src, sport).to(dst, dport);
  const clientTag = 0x1111;
  const serverTag = 0x2222;
  const cookie = Uint8Array.of(1, 2, 3, 4);
  return [
    up.tag(0).chunks(sctpInit(clientTag)),
    up
      .reversed()
      .tag(clientTag)
      .chunks({ ...sctpInit(serverTag), type: INIT_ACK }),
    up.tag(serverTag).chunks({ type: COOKIE_ECHO, flags: 0, body: cookie }),
    up
      .reversed()
      .tag(clientTag)
      .chunks({ type: COOKIE_ACK, flags: 0, body: new Uint8Array(0) }),
  ];
}

/** One datagram of 3000 bytes in three fragments (MTU 1500), and a short answer. */
function askInFragments(
  [src, sport]: End,
  [dst, dport]: End,
  id: number,
): readonly PacketBuilder[] {
  const whole = udp().from(src, sport).to(dst, dport).id(id).payload(3000);
  return [
    whole.fragment(0, true, 1480),
    whole.fragment(1480, true, 1480),
    whole.fragment(2960, false),
    udp().from(dst, dport).to(src, sport).payload(40),
  ];
}

export const MADE_CAPTURES: readonly MadeCapture[] = [
  {
    name: 'pod-to-itself',
    about: 'a pod connects to its own address',
    frames: exchange([A, 40001], [A, 8080]),
  },
  {
    name: 'host-to-local-pod',
    about: "a node's process connects to a pod of its own and to one of the other node",
    frames: [...exchange([NODE_A, 40001], [B, 8080]), ...exchange([NODE_A, 40002], [C, 8080])],
  },
  {
    name: 'pod-to-own-node',
    about: 'a pod connects to the kubelet of its own node',
    frames: exchange([A, 40001], [NODE_A, 10250]),
  },
  {
    name: 'pod-to-other-node',
    about: 'a pod connects to the kubelet of the other node',
    frames: exchange([A, 40001], [NODE_B, 10250]),
  },
  {
    name: 'host-network-pod',
    about: 'a hostNetwork pod is reached from, and reaches, a pod of the other node',
    frames: [...exchange([C, 40001], [NODE_A, 9000]), ...exchange([NODE_A, 40002], [C, 8080])],
  },
  {
    name: 'external-client',
    about: 'three clients outside the cluster: in an ipBlock, in its except, in neither',
    frames: [
      ...exchange(['203.0.113.10', 40001], [B, 8080]),
      ...exchange(['203.0.113.200', 40002], [B, 8080]),
      ...exchange(['198.51.100.1', 40003], [B, 8080]),
    ],
  },
  {
    name: 'named-port',
    about: 'the named port, another port, and the same number by another protocol',
    frames: [
      ...exchange([A, 40001], [B, 8080]),
      ...exchange([A, 40002], [B, 8081]),
      ...ask([A, 40003], [B, 8080]),
    ],
  },
  {
    name: 'icmp-under-ports',
    about: 'echo requests to a pod whose rules all have ports, and to a free pod',
    frames: [...ping(A, B, 1), ...ping(A, C, 2)],
  },
  {
    name: 'udp-and-sctp',
    about: 'UDP and SCTP on allowed ports, TCP on the number of the UDP port, SCTP on another',
    frames: [
      ...ask([A, 40001], [B, 7000]),
      ...associate([A, 40002], [B, 5000]),
      ...exchange([A, 40003], [B, 7000]),
      ...associate([A, 40004], [B, 5001]),
    ],
  },
  {
    name: 'replies-under-deny-all',
    about: 'a pod that nobody may reach opens a connection, and its answers come back',
    frames: [...exchange([A, 40001], [C, 8080]), ...exchange([C, 40002], [A, 8080])],
  },
  {
    name: 'mid-stream',
    about: 'two connections that were open before the capture: one allowed, one not',
    frames: [...talk([A, 40001], [B, 8080]), ...talk([D, 40002], [B, 8080])],
  },
  {
    name: 'checksums',
    about: 'checksums left to the device, and wrong ones from senders of right ones',
    frames: [
      ...exchange([A, 40001], [B, 8080]).map((packet) => packet.offloaded()),
      ...ask([C, 40002], [B, 7000]),
      udp().from(C, 40003).to(B, 7001).payload(40).badChecksum(),
      udp().from(C, 40004).to(B, 7002).payload(40),
      udp().from(B, 7002).to(C, 40004).payload(40).badChecksum(),
    ],
  },
  {
    name: 'udp-fragments',
    about: 'datagrams above the MTU in fragments: to an allowed port, to another',
    frames: [
      ...askInFragments([A, 40001], [C, 7000], 7),
      ...askInFragments([A, 40002], [C, 7001], 8),
    ],
  },
  {
    name: 'ipv6-pair',
    about: 'the same connections over IPv4 and IPv6, on one node and across two',
    frames: [
      ...exchange([A, 40001], [B, 8084]),
      ...exchange([A6, 40001], [B6, 8086]),
      ...exchange([C6, 40002], [B6, 8086]),
    ],
  },
  {
    name: 'ipv6-ip-block',
    about: 'an allowed and a forbidden client of a policy that also names an IPv6 block',
    frames: [...exchange([A, 40001], [B, 8080]), ...exchange([D, 40002], [B, 8080])],
  },
];

/** The bytes of the capture file. */
export async function encode(capture: MadeCapture): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  const target = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  const sink = new ByteSink(`${capture.name}.pcap`, target);
  const writer = await PcapWriter.create(sink, { linkType: LinkType.ethernet });
  for (const [i, frame] of capture.frames.entries()) {
    const data = frame.frame();
    const timeNs = START_NS + BigInt(i) * STEP_NS;
    await writer.write({ timeNs, data, wireLength: data.length });
  }
  await writer.close();
  return Buffer.concat(chunks);
}
