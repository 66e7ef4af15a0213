/**
 * Headers, bytes and back: what `check` refuses, what a snaplen cut is, and the laws of the room.
 * @module
 */
import assert from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { ipv4 as ipv4Address, ipv6 as ipv6Address } from '../../src/wire/address/address.ts';
import { parseMac, readMac, writeMac } from '../../src/wire/address/mac.ts';
import * as arp from '../../src/wire/header/arp.ts';
import * as ethernet from '../../src/wire/header/ethernet.ts';
import * as icmp from '../../src/wire/header/icmp.ts';
import * as icmpv6 from '../../src/wire/header/icmpv6.ts';
import * as ipv4 from '../../src/wire/header/ipv4.ts';
import * as ipv6 from '../../src/wire/header/ipv6.ts';
import * as sctp from '../../src/wire/header/sctp.ts';
import * as tcp from '../../src/wire/header/tcp.ts';
import * as udp from '../../src/wire/header/udp.ts';
import { printIp } from '../../src/wire/print.ts';
import { icmpEcho, tcp as tcpPacket, udp as udpPacket } from '../support/packets.ts';

const LAWS = { seed: 7, numRuns: 300 };

/** Run a law and say so: a bare `fc.assert` leaves tap without an assertion. */
function holds<T>(test: Tap, name: string, law: fc.IProperty<T> | fc.IPropertyWithHooks<T>): void {
  fc.assert(law, LAWS);
  test.pass(name);
}
type Tap = { pass(name: string): void };

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/ /g, ''), 'hex'));
const byte = fc.integer({ min: 0, max: 255 });
const word = fc.integer({ min: 0, max: 0xffff });
const dword = fc.integer({ min: 0, max: 0xffffffff });
const address4 = dword.map(ipv4Address);
const address6 = fc.tuple(dword, dword, dword, dword).map((w) => ipv6Address(...w));
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((b) => readMac(b, 0));
const payload = fc.uint8Array({ maxLength: 60 });
const options = fc.integer({ min: 0, max: 10 }).map((n) => new Uint8Array(4 * n).fill(1));

t.test('a header cut by the capture is not malformed, a header cut on the wire is', async (t) => {
  const rows = [
    ['ethernet', 14, 'ethernetTruncated', (b: Uint8Array, end: number) => ethernet.check(b, end)],
    ['arp', 28, 'arpMalformed', (b: Uint8Array, end: number) => arp.check(b, 0, end)],
    ['ipv4', 20, 'ipv4Truncated', (b: Uint8Array, end: number) => ipv4.check(b, 0, end)],
    ['ipv6', 40, 'ipv6Truncated', (b: Uint8Array, end: number) => ipv6.check(b, 0, end)],
    ['tcp', 20, 'tcpTruncated', (b: Uint8Array, end: number) => tcp.check(b, 0, end)],
    ['udp', 8, 'udpTruncated', (b: Uint8Array, end: number) => udp.check(b, 0, end)],
    ['sctp', 12, 'sctpTruncated', (b: Uint8Array, end: number) => sctp.check(b, 0, end)],
    ['icmp', 8, 'icmpTruncated', (b: Uint8Array, end: number) => icmp.check(b, 0, end)],
    ['icmpv6', 8, 'icmpTruncated', (b: Uint8Array, end: number) => icmpv6.check(b, 0, end)],
  ] as const;
  for (const [name, length, fault, check] of rows) {
    t.equal(check(new Uint8Array(length - 1), length - 1), fault, `${name} ends on the wire`);
    t.equal(check(new Uint8Array(length - 1), length), 'headerCut', `${name} ends in the capture`);
  }
});

t.test('an IPv4 header is refused for what ip_rcv refuses', async (t) => {
  const whole = udpPacket().payload(4).packet();
  const changed = (at: number, value: number, fix = true) => {
    const b = whole.slice();
    b[at] = value;
    if (fix) ipv4.fillChecksum(b, 0);
    return b;
  };
  const withOptions = (text: string) => udpPacket().ipOptions(hex(text)).packet();
  for (const [name, bytes, want] of [
    ['a whole packet', whole, null],
    ['version 5', changed(0, 0x55), 'ipv4BadVersion'],
    ['header of 16 bytes', changed(0, 0x44, false), 'ipv4BadHeaderLength'],
    ['header past the end', changed(0, 0x4f, false), 'ipv4BadHeaderLength'],
    ['total length below the header', changed(3, 19), 'ipv4BadTotalLength'],
    ['total length past the frame', changed(3, 33), 'ipv4BadTotalLength'],
    ['wrong checksum', changed(8, 1, false), 'ipv4BadChecksum'],
    ['no-operations and end', withOptions('01010100'), null],
    ['record route', withOptions('07070400 00000000'), null],
    ['an option of length 1, which only who routes it minds', withOptions('07010000'), null],
  ] as const) {
    t.equal(ipv4.check(bytes, 0, bytes.length), want, name);
  }
});

t.test('IPv6 extension headers are walked to the transport header', async (t) => {
  const head = (next: number) => ({
    src: ipv6Address(1, 0, 0, 1),
    dst: ipv6Address(1, 0, 0, 2),
    nextHeader: next,
    hopLimit: 64,
    trafficClass: 0,
    flowLabel: 0,
  });
  const udpHead = '0001000200080000';
  for (const [name, next, rest, want] of [
    ['none', 17, udpHead, { protocol: 17, offset: 40 }],
    ['hop-by-hop', 0, `1100050200000100${udpHead}`, { protocol: 17, offset: 48 }],
    [
      'destination options of 16 bytes',
      60,
      `1101010c${'00'.repeat(12)}${udpHead}`,
      { protocol: 17, offset: 56 },
    ],
    [
      'AH counts in words of four',
      51,
      `1104${'00'.repeat(22)}${udpHead}`,
      { protocol: 17, offset: 64 },
    ],
    [
      'a first fragment',
      44,
      `1100000100000007${udpHead}`,
      { protocol: 17, offset: 48, moreFragments: true },
    ],
    ['a later fragment', 44, `1100010000000007${udpHead}`, { protocol: 17, fragmentOffset: 256 }],
    [
      'routing, then fragment',
      43,
      `2c00000000000000 1100000100000007${udpHead}`,
      { protocol: 17, fragmentHeader: 48, fragmentPointer: 40 },
    ],
    ['cut short on the wire', 60, '11010000', { fault: 'ipv6BadExtension', offset: -1 }],
  ] as const) {
    const b = ipv6.emit(head(next), hex(rest));
    t.has(ipv6.findTransport(b, 0, b.length), want, name);
  }
  const cut = ipv6.emit(head(60), hex(`1101010c${'00'.repeat(12)}${udpHead}`));
  t.equal(
    ipv6.findTransport(cut.slice(0, 50), 0, cut.length).fault,
    'headerCut',
    'cut by the capture',
  );
});

t.test('VLAN tags of any depth are looked behind', async (t) => {
  for (const depth of [0, 1, 2, 5]) {
    const vlan = Array.from({ length: depth }, (_, i) => 100 + i);
    const b = tcpPacket().frame({ vlan });
    t.equal(ethernet.check(b, b.length), null, `${depth} tags`);
    t.equal(ethernet.etherType(b), 0x0800);
    t.equal(ethernet.payloadOffset(b), 14 + 4 * depth);
    t.same(
      ethernet.tags(b).map((tag) => tag.tci),
      vlan,
    );
  }
  const b = tcpPacket().frame({ vlan: 7 });
  t.equal(ethernet.check(b.slice(0, 16), 16), 'vlanTruncated', 'a tag that ends on the wire');
  t.equal(ethernet.check(b.slice(0, 16), b.length), 'headerCut', 'a tag that the capture cut');
});

t.test('MAC addresses come in the forms that tools print', async (t) => {
  for (const [text, want] of [
    ['02:00:00:00:0a:ff', '02:00:00:00:0a:ff'],
    ['02-00-00-00-0A-FF', '02:00:00:00:0a:ff'],
    ['2:0:0:0:a:ff', '02:00:00:00:0a:ff'],
    ['02:00:00:00:0a', null],
    ['02:00:00:00:0a:fg', null],
    ['02:00:00:00:0a:0ff', null],
  ] as const) {
    t.equal(parseMac(text), want, text);
  }
});

t.test('packets print as tcpdump would begin', async (t) => {
  for (const [ip, want] of [
    [tcpPacket().to('10.244.0.3', 81).syn().packet(), '10.244.0.2:40000 > 10.244.0.3:81 tcp S'],
    [tcpPacket().syn().ack(1).packet(), '10.244.0.2:40000 > 10.244.0.3:80 tcp S.'],
    [udpPacket().from('fd00::1', 1).to('fd00::2', 53).packet(), '[fd00::1]:1 > [fd00::2]:53 udp'],
    [udpPacket().payload(64).fragment(8, false).packet(), '10.244.0.2 > 10.244.0.3 udp frag 8'],
    [icmpEcho(7).packet(), '10.244.0.2 > 10.244.0.3 icmp echo request id 7'],
  ] as const) {
    t.equal(printIp(ip, 0, ip.length), want);
  }
});

t.test('what is emitted parses to the same value', async (t) => {
  const tags = fc.array(fc.record({ tpid: fc.constantFrom(0x8100, 0x88a8, 0x9100), tci: word }), {
    maxLength: 3,
  });
  const etherType = fc.constantFrom(0x0800, 0x0806, 0x86dd, 0x8864);
  holds(
    t,
    'ethernet',
    fc.property(fc.record({ destination: mac, source: mac, tags, etherType }), payload, (h, p) => {
      const b = ethernet.emit(h, p);
      if (ethernet.check(b, b.length) !== null) return false;
      return same(ethernet.parse(b), h) && same(b.slice(ethernet.payloadOffset(b)), p);
    }),
  );
  holds(
    t,
    'mac',
    fc.property(mac, (m) => {
      const b = new Uint8Array(6);
      writeMac(b, 0, m);
      return readMac(b, 0) === m && parseMac(m) === m;
    }),
  );
  holds(
    t,
    'arp',
    fc.property(
      fc.record({
        operation: word,
        senderMac: mac,
        senderIp: address4,
        targetMac: mac,
        targetIp: address4,
      }),
      (a) => arp.check(arp.emit(a), 0, 28) === null && same(arp.parse(arp.emit(a), 0), a),
    ),
  );
  holds(
    t,
    'ipv4',
    fc.property(
      fc.record({
        tos: byte,
        id: word,
        dontFragment: fc.boolean(),
        moreFragments: fc.boolean(),
        fragmentOffset: fc.integer({ min: 0, max: 8191 }).map((n) => n * 8),
        ttl: byte,
        protocol: byte,
        src: address4,
        dst: address4,
        options,
      }),
      payload,
      (h, p) => {
        const b = ipv4.emit(h, p);
        return ipv4.check(b, 0, b.length) === null && same(ipv4.parse(b, 0), h);
      },
    ),
  );
  holds(
    t,
    'ipv6',
    fc.property(
      fc.record({
        trafficClass: byte,
        flowLabel: fc.integer({ min: 0, max: 0xfffff }),
        nextHeader: fc.integer({ min: 1, max: 255 }),
        hopLimit: byte,
        src: address6,
        dst: address6,
      }),
      payload,
      (h, p) => {
        const b = ipv6.emit(h, p);
        return ipv6.check(b, 0, b.length) === null && same(ipv6.parse(b, 0), h);
      },
    ),
  );
  holds(
    t,
    'tcp',
    fc.property(
      fc.record({
        sport: word,
        dport: word,
        seq: dword,
        ack: dword,
        flags: byte,
        window: word,
        urgent: word,
        options,
      }),
      payload,
      (h, p) => {
        const b = tcp.emit(h, p);
        return (
          tcp.check(b, 0, b.length) === null &&
          tcp.checkOffset(b, 0, b.length) === null &&
          same(tcp.parse(b, 0), h)
        );
      },
    ),
  );
  holds(
    t,
    'udp',
    fc.property(fc.record({ sport: word, dport: word }), payload, (h, p) => {
      const b = udp.emit(h, p);
      return udp.checkLength(b, 0, b.length) === null && same(udp.parse(b, 0), h);
    }),
  );
  const chunk = fc.record({ type: byte, flags: byte, body: payload });
  holds(
    t,
    'sctp',
    fc.property(
      fc.record({
        sport: word,
        dport: word,
        tag: dword,
        chunks: fc.array(chunk, { maxLength: 3 }),
      }),
      (h) => {
        const b = sctp.emit(h);
        return sctp.check(b, 0, b.length) === null && same(sctp.parse(b, 0, b.length), h);
      },
    ),
  );
  const message = fc.record({ type: byte, code: byte, rest: dword });
  holds(
    t,
    'icmp',
    fc.property(message, payload, (h, p) => same(icmp.parse(icmp.emit(h, p), 0), h)),
  );
  holds(
    t,
    'icmpv6',
    fc.property(message, payload, (h, p) => same(icmpv6.parse(icmpv6.emit(h, p), 0), h)),
  );
});

function same(a: unknown, b: unknown): boolean {
  // Generated records have no prototype, which only the loose comparison leaves out.
  assert.deepEqual(a, b);
  return true;
}

t.test('no bytes make a check throw, and what it accepts can be read', async (t) => {
  const anything = fc.uint8Array({ maxLength: 120 });
  const extra = fc.integer({ min: 0, max: 40 });
  const readable = (value: unknown): boolean => !/NaN|undefined/.test(fc.stringify(value));
  holds(
    t,
    'every protocol',
    fc.property(anything, extra, (b, more) => {
      const end = b.length + more;
      if (ethernet.check(b, end) === null && !readable(ethernet.parse(b))) return false;
      if (arp.check(b, 0, end) === null && !readable(arp.parse(b, 0))) return false;
      if (ipv4.check(b, 0, end) === null && !readable(ipv4.parse(b, 0))) return false;
      if (ipv6.check(b, 0, end) === null && !readable(ipv6.parse(b, 0))) return false;
      if (
        tcp.check(b, 0, end) === null &&
        tcp.checkOffset(b, 0, end) === null &&
        !readable(tcp.parse(b, 0))
      )
        return false;
      if (udp.check(b, 0, end) === null && !readable(udp.parse(b, 0))) return false;
      if (sctp.check(b, 0, b.length) === null && !readable(sctp.parse(b, 0, b.length)))
        return false;
      if (icmp.check(b, 0, end) === null && !readable(icmp.parse(b, 0))) return false;
      return printIp(b, 0, end) !== '';
    }),
  );
});
