/** Truth tables of the matches; test/differential/kernel/walk.test.ts holds them against Linux. */
import t from 'tap';
import { newConnection } from '../../src/conntrack/connection.ts';
import type { IpMatch, Match } from '../../src/netfilter/match.ts';
import { ask, missedHead, nameMatches } from '../../src/node/match/match.ts';
import type { Packet } from '../../src/packet/packet.ts';
import type { RuleParts } from '../../src/plan/builder.ts';
import { address, icmpEcho, rawIp, sctp, tcp, udp } from '../support/packets.ts';
import { prefix, routerPlan, type TestConnection, walkContext } from '../support/walks.ts';

const no = <T>(value: T) => ({ value, negate: true });
const yes = <T>(value: T) => ({ value, negate: false });
const port = (n: number) => ({ low: n, high: n });

/** The answer of one match; the rule stands where nothing reaches it, so anything is legal. */
function answerOf(match: Match, packet: Packet, parts: RuleParts = {}) {
  const builder = routerPlan();
  builder.ipsets.push({
    name: 'web',
    type: 'hash:ip,port',
    family: 4,
    maxElements: 9,
    members: [6, 47].map((protocol) => ({
      kind: 'ip,port' as const,
      address: address('10.2.0.2'),
      protocol,
      port: protocol === 6 ? 80 : 0,
    })),
  });
  const families = { tcp: 6, udp: 17, sctp: 132, multiport: 6 } as Record<string, number>;
  const protocol = families[match.kind];
  const ip = protocol === undefined ? {} : { protocol: yes(protocol) };
  builder.append(4, 'raw', 'unreached', { ip, matches: [match], ...parts });
  const ctx = walkContext(builder.build());
  const [rule] = ctx.image.program.rules;
  return ask(ctx, { rule: rule!, index: 0 }, packet);
}

const TCP = tcp().from('10.1.0.2', 40000).to('10.2.0.2', 80);
const UDP = udp().from('10.1.0.2', 40000).to('10.2.0.2', 53).payload(20);

t.test('an interface name ending in + matches every name that starts so', async (t) => {
  for (const [pattern, name, want] of [
    ['eth0', 'eth0', true],
    ['eth0', 'eth01', false],
    ['eth+', 'eth01', true],
    ['eth+', 'et', false],
    ['+', '', true],
    ['+', 'any', true],
  ] as const) {
    t.equal(nameMatches(pattern, name), want, `${pattern} ${name}`);
  }
});

t.test('the head of a rule names the first part that does not hold', async (t) => {
  const packet = TCP.parsed();
  packet.inDevice = 'eth0';
  for (const [name, ip, want] of [
    ['nothing asked', {}, null],
    ['source', { source: yes(prefix('10.1.0.0/24')) }, null],
    ['source, negated', { source: no(prefix('10.1.0.0/24')) }, 'source'],
    ['destination', { destination: yes(prefix('10.1.0.0/24')) }, 'destination'],
    ['input', { inInterface: yes('eth1') }, 'inInterface'],
    ['no output yet', { outInterface: yes('eth1') }, 'outInterface'],
    ['no output yet, negated', { outInterface: no('eth1') }, null],
    ['protocol', { protocol: yes(17) }, 'protocol'],
    ['protocol 0 is any, negated too', { protocol: no(0) }, null],
    ['fragments only', { fragment: yes(true as const) }, 'fragment'],
    ['no fragments', { fragment: no(true as const) }, null],
    ['the first of two', { protocol: yes(17), source: yes(prefix('9.0.0.0/8')) }, 'source'],
  ] as [string, IpMatch, string | null][]) {
    t.equal(missedHead(ip, packet), want, name);
  }
  const later = UDP.fragment(16, false).parsed();
  t.equal(missedHead({ fragment: yes(true) }, later), null, 'a later fragment');
});

t.test('ports are those of whole packets and first fragments', async (t) => {
  const later = UDP.fragment(16, false).parsed();
  const tiny = UDP.fragment(0, true, 4).parsed();
  for (const [name, match, packet, want] of [
    ['tcp dport', { kind: 'tcp', dport: yes(port(80)) }, TCP.parsed(), 'hit'],
    ['tcp dport, negated', { kind: 'tcp', dport: no(port(80)) }, TCP.parsed(), 'miss'],
    ['udp range', { kind: 'udp', sport: yes({ low: 1, high: 65535 }) }, UDP.parsed(), 'hit'],
    ['udp later fragment, negated', { kind: 'udp', dport: no(port(9)) }, later, 'miss'],
    ['udp tinygram', { kind: 'udp', dport: yes(port(53)) }, tiny, 'hotdrop'],
    ['tcp fragment at byte 8', { kind: 'tcp' }, TCP.fragment(8, false).parsed(), 'hotdrop'],
    ['tcp fragment at byte 16', { kind: 'tcp' }, TCP.fragment(16, false).parsed(), 'miss'],
    ['sctp', { kind: 'sctp', dport: yes(port(5000)) }, sctp().parsed(), 'hit'],
    [
      'either port',
      { kind: 'multiport', which: 'ports', ports: [port(80), port(9)], negate: false },
      TCP.parsed(),
      'hit',
    ],
    [
      'source ports',
      { kind: 'multiport', which: 'sports', ports: [port(80)], negate: false },
      TCP.parsed(),
      'miss',
    ],
    [
      'source ports, negated',
      { kind: 'multiport', which: 'sports', ports: [port(80)], negate: true },
      TCP.parsed(),
      'hit',
    ],
  ] as [string, Match, Packet, string][]) {
    t.equal(answerOf(match, packet), want, name);
  }
  const six = tcp().from('fd00::1', 1).to('fd00::2', 2).fragment(8, true, 8).parsed();
  t.equal(answerOf({ kind: 'tcp' }, six), 'miss', 'IPv6 counts fragment offsets in bytes');
});

t.test('tcp flags and options', async (t) => {
  const flags = (mask: number, set: number) => yes({ mask, set });
  const option = TCP.syn()
    .tcpOptions(Uint8Array.of(1, 1, 1, 2, 4, 5, 180, 0))
    .parsed();
  for (const [name, match, packet, want] of [
    ['--syn', { kind: 'tcp', flags: flags(0x17, 0x02) }, TCP.syn().parsed(), 'hit'],
    [
      '--syn on a SYN-ACK',
      { kind: 'tcp', flags: flags(0x17, 0x02) },
      TCP.syn().ack().parsed(),
      'miss',
    ],
    ['an option that is there', { kind: 'tcp', option: yes(2) }, option, 'hit'],
    ['an option that is not', { kind: 'tcp', option: yes(3) }, option, 'miss'],
    ['not an option, none there', { kind: 'tcp', option: no(3) }, TCP.parsed(), 'hit'],
  ] as [string, Match, Packet, string][]) {
    t.equal(answerOf(match, packet), want, name);
  }
});

t.test('connection states, tracked or not', async (t) => {
  const make = (state: Packet['ctState'], connection: TestConnection | null) =>
    Object.assign(TCP.parsed(), { ctState: state, connection });
  const plain = { mark: 5, snat: false, dnat: false };
  const ask1 = (states: readonly string[], negate = false) =>
    ({ kind: 'conntrack', states, negate }) as Match;
  for (const [name, match, packet, want] of [
    ['new', ask1(['NEW']), make('new', plain), 'hit'],
    ['established, related', ask1(['RELATED', 'ESTABLISHED']), make('related', plain), 'hit'],
    ['no connection is INVALID', ask1(['INVALID']), make('none', null), 'hit'],
    ['untracked', ask1(['UNTRACKED']), make('untracked', null), 'hit'],
    ['untracked is not INVALID', ask1(['INVALID']), make('untracked', null), 'miss'],
    ['DNAT', ask1(['DNAT']), make('established', { ...plain, dnat: true }), 'hit'],
    ['not SNAT', ask1(['SNAT'], true), make('established', plain), 'hit'],
    ['connmark', { kind: 'connmark', value: 1, mask: 3, negate: false }, make('new', plain), 'hit'],
    [
      'connmark, no connection',
      { kind: 'connmark', value: 1, mask: 3, negate: true },
      make('none', null),
      'miss',
    ],
  ] as [string, Match, Packet, string][]) {
    t.equal(answerOf(match, packet), want, name);
  }
});

t.test('tuples, status and age of a connection', async (t) => {
  const tuple = (src: string, sport: number, dst: string, dport: number) =>
    ({ protocol: 6, src: address(src), sport, dst: address(dst), dport }) as const;
  const connection = {
    ...newConnection({
      original: tuple('10.1.0.2', 40000, '10.96.0.1', 443),
      reply: tuple('10.2.0.2', 6443, '10.1.0.2', 40000),
      nowNs: 0,
    }),
    seenReply: true,
    confirmed: true,
    expiresNs: 30e9,
  };
  const packet = Object.assign(TCP.parsed(), { ctState: 'established', connection });
  const detail = (more: object) => answerOf({ kind: 'conntrackDetail', ...more }, packet);
  for (const [name, more, want] of [
    ['original destination', { originalDestination: yes(prefix('10.96.0.0/12')) }, 'hit'],
    ['original port', { originalDestinationPort: yes(port(443)) }, 'hit'],
    ['reply source', { replySource: no(prefix('10.2.0.2/32')) }, 'miss'],
    ['reply port', { replySourcePort: yes(port(6443)) }, 'hit'],
    ['status', { status: yes(['ASSURED', 'SEEN_REPLY']) }, 'hit'],
    ['not assured', { status: no(['ASSURED']) }, 'hit'],
    ['expires', { expires: yes({ low: 30, high: 40 }) }, 'hit'],
    ['direction', { direction: 'REPLY' }, 'miss'],
    ['protocol', { protocol: yes(17) }, 'miss'],
  ] as const) {
    t.equal(detail(more), want, name);
  }
  const without = Object.assign(TCP.parsed(), { ctState: 'none' });
  const only = { kind: 'conntrackDetail', direction: 'ORIGINAL' } as const;
  t.equal(answerOf(only, without), 'miss', 'no connection');
});

t.test('physdev: what br_netfilter knows of a packet, and nothing of any other', async (t) => {
  const make = (physIn: string, physOut: string) =>
    Object.assign(TCP.parsed(), { physIn, physOut });
  const bridged = make('p1', 'p2');
  const arrived = make('p1', '');
  const routed = make('', '');
  for (const [name, more, packet, want] of [
    ['bridged', { isBridged: yes(true) }, bridged, 'hit'],
    ['not bridged yet', { isBridged: yes(true) }, arrived, 'miss'],
    ['not bridged', { isBridged: no(true) }, routed, 'hit'],
    ['in', { physIn: yes('p+') }, bridged, 'hit'],
    ['in, routed', { physIn: yes('p+') }, routed, 'miss'],
    ['not in, routed', { physIn: no('p+') }, routed, 'hit'],
    ['out', { physOut: yes('p2') }, bridged, 'hit'],
    ['not out, output unknown', { physOut: no('p2') }, arrived, 'miss'],
    ['is in', { isIn: yes(true) }, arrived, 'hit'],
    ['is out', { isOut: yes(true) }, arrived, 'miss'],
  ] as const) {
    t.equal(answerOf({ kind: 'physdev', ...more } as Match, packet), want, name);
  }
});

t.test('addrtype and rpfilter ask the routes', async (t) => {
  const from = (src: string, inDevice: string) =>
    Object.assign(tcp().from(src, 1).to('10.2.0.1', 2).parsed(), { inDevice });
  const type = (more: object) =>
    ({ kind: 'addrtype', limitIfaceIn: false, limitIfaceOut: false, ...more }) as Match;
  const reverse = (more = {}) =>
    ({
      kind: 'rpfilter',
      loose: false,
      validmark: false,
      acceptLocal: false,
      invert: false,
      ...more,
    }) as Match;
  const packet = from('10.1.0.2', 'eth0');
  for (const [name, match, at, want] of [
    ['local destination', type({ destination: yes(['LOCAL']) }), packet, 'hit'],
    [
      'local, but of another device',
      type({ destination: yes(['LOCAL']), limitIfaceIn: true }),
      packet,
      'miss',
    ],
    ['source not local', type({ source: no(['LOCAL']) }), packet, 'hit'],
    ['the way back is by the device', reverse(), packet, 'hit'],
    ['the way back is by another', reverse(), from('10.2.0.9', 'eth0'), 'miss'],
    ['loose', reverse({ loose: true }), from('10.2.0.9', 'eth0'), 'hit'],
    ['no way back', reverse({ loose: true }), from('9.9.9.9', 'eth0'), 'miss'],
    ['no way back, inverted', reverse({ invert: true }), from('9.9.9.9', 'eth0'), 'hit'],
    ['a source of our own', reverse(), from('10.1.0.1', 'eth0'), 'miss'],
    ['accept-local', reverse({ acceptLocal: true }), from('10.1.0.1', 'eth0'), 'hit'],
    ['by loopback', reverse(), from('9.9.9.9', 'lo'), 'hit'],
  ] as const) {
    t.equal(answerOf(match, at), want, name);
  }
});

t.test('sets see ports as ipset does, and say when they can not', async (t) => {
  const match = { kind: 'set', set: 'web', directions: ['dst', 'dst'], negate: false } as const;
  const cut = TCP.parsed();
  cut.bytes = cut.bytes.slice(0, 14 + 20 + 10);
  t.equal(answerOf(match, TCP.parsed()), 'hit');
  t.equal(answerOf({ ...match, negate: true }, UDP.parsed()), 'hit');
  t.equal(answerOf(match, cut), 'cut', 'the whole TCP header is wanted');
  const later = TCP.fragment(16, false).parsed();
  t.equal(answerOf(match, later), 'miss', 'a later fragment has no port');
  const gre = rawIp(47).payload(40).to('10.2.0.2').fragment(16, false).parsed();
  t.equal(answerOf(match, gre), 'hit', 'unless its protocol has none anyway');
  const first = TCP.fragment(0, true, 8).parsed();
  t.equal(answerOf(match, first), 'miss', 'a header that is truly short is no port');
});

t.test('header fields, ranges and frames', async (t) => {
  const packet = Object.assign(UDP.ttl(7).tos(0xb8).parsed(), { inDevice: 'eth0' });
  const group = Object.assign(UDP.parsed({ dstMac: '01:00:5e:00:00:01' }), { inDevice: 'eth0' });
  const range = { low: address('10.1.0.1'), high: address('10.1.0.9') };
  const mac = { kind: 'mac', address: '02:00:00:00:00:01', negate: false } as const;
  for (const [name, match, at, want] of [
    ['length', { kind: 'length', range: { low: 48, high: 48 }, negate: false }, packet, 'hit'],
    ['ttl eq', { kind: 'ttl', comparison: 'eq', value: 7, negate: true }, packet, 'miss'],
    ['ttl lt', { kind: 'ttl', comparison: 'lt', value: 8, negate: false }, packet, 'hit'],
    ['dscp', { kind: 'dscp', value: 46, negate: false }, packet, 'hit'],
    ['tos', { kind: 'tos', value: 0x18, mask: 0x3f, negate: true }, packet, 'hit'],
    ['tos, masked', { kind: 'tos', value: 0x38, mask: 0x3f, negate: false }, packet, 'hit'],
    ['iprange', { kind: 'iprange', source: yes(range) }, packet, 'hit'],
    ['iprange, other side', { kind: 'iprange', destination: no(range) }, packet, 'hit'],
    ['mac', mac, packet, 'hit'],
    ['mac of a packet of the host', { ...mac, negate: true }, UDP.parsed(), 'miss'],
    ['pkttype', { kind: 'pkttype', type: 'multicast', negate: false }, group, 'hit'],
    ['owner of a packet from outside', { kind: 'owner', socketExists: no(true) }, packet, 'hit'],
    [
      'owner of a packet of the host',
      { kind: 'owner', socketExists: yes(true) },
      UDP.parsed(),
      'unanswerable',
    ],
    [
      'echo request',
      { kind: 'icmp', type: yes({ type: 8, codes: { low: 0, high: 255 } }) },
      icmpEcho().parsed(),
      'hit',
    ],
    [
      'any ICMP',
      { kind: 'icmp', type: yes({ type: 255, codes: { low: 0, high: 255 } }) },
      icmpEcho().parsed(),
      'hit',
    ],
    ['nfacct', { kind: 'nfacct', name: 'x' }, rawIp(47).parsed(), 'hit'],
  ] as [string, Match, Packet, string][]) {
    const parts = match.kind === 'icmp' ? { ip: { protocol: yes(1) } } : {};
    t.equal(answerOf(match, at, parts), want, name);
  }
});
