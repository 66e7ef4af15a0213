/**
 * Packets read from frames: offsets, what a receiving host drops, cuts, and new link headers.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { MarkOrigins } from '../../src/packet/mark-origins.ts';
import {
  buildFrame,
  clonePacket,
  dport,
  icmpId,
  ipBytes,
  isFragment,
  newPacket,
  parseFrame,
  rewriteEthernet,
  sport,
  transportFault,
} from '../../src/packet/parse.ts';
import { completeChecksum, verifyChecksum } from '../../src/packet/transport-checksum.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import * as ethernet from '../../src/wire/header/ethernet.ts';
import {
  arpRequest,
  icmpEcho,
  parsed,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../support/packets.ts';

t.test('headers are found behind VLAN tags, options and extensions', async (t) => {
  for (const [name, packet, want] of [
    ['tcp', tcp().syn().parsed(), { family: 4, l3: 14, l4: 34, protocol: 6, end: 54 }],
    [
      'udp in two tags',
      udp()
        .payload(3)
        .parsed({ vlan: [5, 6] }),
      { l3: 22, l4: 42, end: 53 },
    ],
    ['IPv4 options', udp().ipOptions(new Uint8Array(8).fill(1)).parsed(), { l3: 14, l4: 42 }],
    ['IPv6', tcp().from('fd00::1', 1).to('fd00::2', 2).parsed(), { family: 6, l4: 54, end: 74 }],
    [
      'a first fragment',
      udp().payload(64).fragment(0, true, 32).parsed(),
      { l4: 34, moreFragments: true },
    ],
    [
      'a later fragment',
      udp().payload(64).fragment(32, false).parsed(),
      { l4: -1, fragmentOffset: 32 },
    ],
    ['any protocol', rawIp(99).payload(4).parsed(), { protocol: 99, l4: 34 }],
  ] as const) {
    t.has(packet, want, name);
  }
});

t.test('ports and identifiers are read where there are any', async (t) => {
  const later = udp().payload(64).fragment(32, false).parsed();
  for (const [name, packet, want] of [
    ['tcp', tcp().from('10.0.0.1', 7).to('10.0.0.2', 9).parsed(), [7, 9, -1]],
    ['sctp', sctp().chunks(sctpInit(1)).parsed(), [40000, 5000, -1]],
    ['echo', icmpEcho(77).parsed(), [-1, -1, 77]],
    [
      'echo over IPv6',
      icmpEcho(78, 1, { v6: true }).from('fd00::1').to('fd00::2').parsed(),
      [-1, -1, 78],
    ],
    ['a later fragment', later, [-1, -1, -1]],
    ['ARP', parsed(arpRequest({ senderIp: '10.0.0.1', targetIp: '10.0.0.2' })), [-1, -1, -1]],
  ] as const) {
    t.same([sport(packet), dport(packet), icmpId(packet)], want, name);
  }
});

t.test('link padding is not part of the packet', async (t) => {
  const frame = Uint8Array.of(...udp().payload(2).frame(), 0, 0, 0, 0, 0, 0);
  const packet = parsed(frame);
  t.equal(packet.end, 44);
  t.same(ipBytes(packet), udp().payload(2).packet());
});

t.test('a cut is told from a malformed packet by the length on the wire', async (t) => {
  const frame = tcp().syn().payload(100).frame();
  const read = (captured: number, wire: number) => {
    const packet = newPacket({ frame: 1, bytes: frame.slice(0, captured), wireLength: wire });
    return { fault: parseFrame(packet), packet };
  };
  t.equal(read(60, frame.length).fault, null, 'cut in the payload: nothing is wrong');
  t.equal(transportFault(read(60, frame.length).packet), null);
  t.equal(read(60, 60).fault, 'ipv4BadTotalLength', 'the same bytes as a whole frame');
  t.equal(read(30, frame.length).fault, 'headerCut', 'cut in the IP header');
  const inTcp = read(50, frame.length);
  t.equal(inTcp.fault, null, 'cut in the TCP header: IP can still be judged');
  t.equal(inTcp.packet.l4, -1);
  t.equal(transportFault(inTcp.packet), 'headerCut');
  const short = tcp().payload(0).fragment(0, true, 16).parsed();
  t.equal(transportFault(short), 'tcpTruncated', 'a first fragment too short for its header');
  t.equal(transportFault(udp().payload(64).fragment(32, false).parsed()), null, 'a later fragment');
});

t.test('a new link header moves everything along', async (t) => {
  const packet = udp().payload(2).parsed({ vlan: 9 });
  const before = ipBytes(packet).slice();
  rewriteEthernet(packet, { source: '02:00:00:00:00:0a', destination: '02:00:00:00:00:0b' });
  t.equal(ethernet.source(packet.bytes), '02:00:00:00:00:0a');
  t.equal(ethernet.destination(packet.bytes), '02:00:00:00:00:0b');
  t.same(ipBytes(packet), before);
  const again = parsed(packet.bytes);
  for (const field of ['l3', 'l4', 'end', 'wireLength'] as const)
    t.equal(packet[field], again[field], field);
  t.same(packet.vlanTags, []);
});

t.test('a frame built for an IP packet has its family', async (t) => {
  const macs = { source: '02:00:00:00:00:0a', destination: '02:00:00:00:00:0b' };
  t.equal(ethernet.etherType(buildFrame(tcp().packet(), macs)), 0x0800);
  const v6 = tcp().from('fd00::1', 1).to('fd00::2', 2).packet();
  t.equal(ethernet.etherType(buildFrame(v6, macs)), 0x86dd);
  t.equal(formatAddress(parsed(buildFrame(v6, macs)).dst), 'fd00::2');
});

t.test('a clone shares nothing that changes', async (t) => {
  const packet = udp().parsed();
  packet.markOrigins = new Map();
  const copy = clonePacket(packet);
  copy.bytes[20] = 99;
  copy.markOrigins?.set(1, MarkOrigins.after(undefined, []));
  t.not(packet.bytes[20], 99);
  t.equal(packet.markOrigins.size, 0);
  t.notOk(isFragment(copy));
});

t.test('transport checksums are judged as the kernel does', async (t) => {
  const v6 = (p: ReturnType<typeof udp>) => p.from('fd00::1', 1).to('fd00::2', 2);
  for (const [name, packet, want] of [
    ['tcp', tcp().payload(5).parsed(), 'right'],
    ['tcp over IPv6', v6(tcp().payload(5)).parsed(), 'right'],
    ['udp', udp().payload(5).parsed(), 'right'],
    ['sctp', sctp().chunks(sctpInit(1)).parsed(), 'right'],
    ['icmp', icmpEcho().payload(5).parsed(), 'right'],
    ['wrong tcp', tcp().badChecksum().parsed(), 'wrong'],
    ['wrong udp', udp().badChecksum().parsed(), 'wrong'],
    ['wrong sctp', sctp().chunks(sctpInit(1)).badChecksum().parsed(), 'wrong'],
    ['wrong icmp', icmpEcho().badChecksum().parsed(), 'wrong'],
    ['left to the device', tcp().payload(5).offloaded().parsed(), 'partial'],
    ['udp without one', udp().noChecksum().parsed(), 'none'],
    ['udp over IPv6 without one', v6(udp().noChecksum()).parsed(), 'wrong'],
    ['a fragment', udp().payload(64).fragment(0, true, 32).parsed(), 'none'],
    ['a protocol without', rawIp(99).payload(8).parsed(), 'none'],
  ] as const) {
    t.equal(verifyChecksum(packet), want, name);
  }
});

t.test('an offloaded checksum completed on output is right', async (t) => {
  const packet = tcp().payload(9).offloaded().parsed();
  t.ok(packet.checksumOffloaded);
  completeChecksum(packet);
  t.equal(verifyChecksum(packet), 'right');
  t.notOk(packet.checksumOffloaded);
});

t.test('no frame makes parsing throw, and what is parsed lies inside', async (t) => {
  const base = fc.constantFrom(
    tcp()
      .syn()
      .frame({ vlan: [1, 2] }),
    udp().payload(20).fragment(8, true).frame(),
    icmpEcho().ipOptions(new Uint8Array(4)).frame(),
    udp().from('fd00::1', 1).to('fd00::2', 2).fragment(0, true, 8).frame(),
  );
  const hits = fc.array(fc.tuple(fc.nat(80), fc.integer({ min: 0, max: 255 })), { maxLength: 6 });
  const law = fc.property(base, hits, fc.nat(90), fc.nat(30), (frame, changes, keep, more) => {
    const bytes = frame.slice(0, keep);
    for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
    const packet = newPacket({ frame: 1, bytes, wireLength: bytes.length + more });
    if (parseFrame(packet) !== null || packet.family === 0) return true;
    transportFault(packet);
    verifyChecksum(packet);
    sport(packet);
    icmpId(packet);
    return packet.end <= packet.wireLength && packet.l3 < packet.end && packet.l4 < bytes.length;
  });
  fc.assert(law, { seed: 3, numRuns: 2000 });
  t.pass('mutated frames');
});
