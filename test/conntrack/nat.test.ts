/**
 * Translation: which address and port is chosen, and that undoing it gives the packet back.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { type NatContext, nullBinding, setupNat } from '../../src/conntrack/nat/nat.ts';
import { translatePacket } from '../../src/conntrack/nat/translate.ts';
import { ConntrackTable, connectionOf } from '../../src/conntrack/table.ts';
import type { NatRange } from '../../src/netfilter/target.ts';
import type { Packet } from '../../src/packet/packet.ts';
import { dport, ipBytes, sport } from '../../src/packet/parse.ts';
import { verifyChecksum } from '../../src/packet/transport-checksum.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import {
  address,
  icmpEcho,
  icmpEchoReply,
  icmpError,
  type PacketBuilder,
  parsedIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../support/packets.ts';

function to(low: string, ports?: { low: number; high: number }): NatRange {
  const range = { low: address(low), high: address(low) };
  const plain = { ...range, random: false, randomFully: false, persistent: false };
  return ports === undefined ? plain : { ...plain, ports };
}

interface Rules {
  readonly destination?: NatRange;
  readonly source?: NatRange;
}

/** A host that translates what its rules say and drops nothing else. */
class Router {
  readonly table = new ConntrackTable();
  readonly #draw: NatContext['draw'];
  #nowNs = 0;

  constructor(draw: NatContext['draw'] = (_tuple, search) => 7 * search) {
    this.#draw = draw;
  }

  /** The packet as it leaves, or why it does not. */
  pass(bytes: Uint8Array, rules: Rules = {}): Packet | string {
    this.#nowNs += 1e6;
    const packet = parsedIp(bytes);
    const context = { table: this.table, nowNs: this.#nowNs, draw: this.#draw };
    const fault = this.table.track(packet, this.#nowNs, 'prerouting');
    if (fault !== null) return fault;
    for (const manip of ['destination', 'source'] as const) {
      const connection = connectionOf(packet);
      const range = rules[manip];
      if (connection !== null && range) setupNat(connection, range, manip, context);
      if (connection !== null) nullBinding(connection, manip, context);
      const reason = translatePacket(packet, manip);
      if (reason !== null) return reason;
    }
    return this.table.confirm(packet, this.#nowNs) ? packet : 'ctClash';
  }

  /** As `pass`, for packets that must come out. */
  out(builder: PacketBuilder, rules?: Rules): Packet {
    const packet = this.pass(builder.packet(), rules);
    if (typeof packet === 'string') throw new Error(packet);
    return packet;
  }
}

function ends(packet: Packet): string {
  const side = (a: Packet['src'], port: number) =>
    `${formatAddress(a)}${port < 0 ? '' : `:${port}`}`;
  return `${side(packet.src, sport(packet))} > ${side(packet.dst, dport(packet))}`;
}

const client = (port: number, host = 5) =>
  tcp().syn().from(`10.0.0.${host}`, port).to('203.0.113.9', 80);

t.test('later packets follow the first one’s translation without rules', async (t) => {
  const router = new Router();
  const rules = { destination: to('10.1.0.8', { low: 8080, high: 8080 }), source: to('10.2.0.1') };
  t.equal(ends(router.out(client(4000), rules)), '10.2.0.1:4000 > 10.1.0.8:8080');
  t.equal(ends(router.out(client(4000))), '10.2.0.1:4000 > 10.1.0.8:8080');
  const reply = tcp().syn().ack(1).from('10.1.0.8', 8080).to('10.2.0.1', 4000);
  t.equal(ends(router.out(reply)), '203.0.113.9:80 > 10.0.0.5:4000');
});

t.test('a null binding moves the port when the answer could not be told apart', async (t) => {
  const router = new Router();
  const vip = client(4000).to('203.0.113.200', 80);
  const first = router.out(vip, { destination: to('203.0.113.9') });
  t.equal(ends(first), '10.0.0.5:4000 > 203.0.113.9:80', 'through a VIP');
  t.equal(ends(router.out(client(4000))), '10.0.0.5:1024 > 203.0.113.9:80', 'and straight');
});

t.test('ports stay in their class, and in the range that a rule gives', async (t) => {
  for (const [port, range, want] of [
    [100, undefined, 1],
    [600, undefined, 600 + 1],
    [4000, undefined, 1024],
    [4000, { low: 9000, high: 9001 }, 9001],
  ] as const) {
    // Whatever is drawn first is taken by an earlier client of this very port.
    const router = new Router(() => (port === 600 ? 1 : 0));
    const source = to('10.2.0.1', range);
    router.out(client(port, 5), { source });
    t.equal(
      sport(router.out(client(port, 6), { source })),
      want,
      `${port} ${JSON.stringify(range)}`,
    );
  }
});

t.test('one client port keeps its public port for every destination', async (t) => {
  const router = new Router();
  const source = to('10.2.0.1');
  router.out(client(4000, 5), { source });
  const moved = sport(router.out(client(4000, 6), { source }));
  const elsewhere = client(4000, 6).to('203.0.113.10', 80);
  t.equal(sport(router.out(elsewhere, { source })), moved);
});

t.test('a range without a free port drops the packet at the end', async (t) => {
  const router = new Router();
  const source = to('10.2.0.1', { low: 9000, high: 9000 });
  router.out(client(4000, 5), { source });
  t.equal(router.pass(client(4000, 6).packet(), { source }), 'ctClash');
  t.equal(router.table.size, 1);
});

t.test('an echo is told apart by its identifier', async (t) => {
  const router = new Router(() => 500);
  const source = to('10.2.0.1');
  const echo = (host: number) => icmpEcho(77).from(`10.0.0.${host}`).to('203.0.113.9');
  router.out(echo(5), { source });
  const second = router.out(echo(6), { source });
  t.equal((second.bytes[second.l4 + 4]! << 8) | second.bytes[second.l4 + 5]!, 500);
  t.equal(verifyChecksum(second), 'right');
});

t.test('an IPv6 error is translated inside and outside', async (t) => {
  const router = new Router();
  const syn = tcp().syn().from('fd00::5', 4000).to('fd01::9', 80);
  const sent = router.out(syn, { source: to('fd02::1') });
  t.equal(formatAddress(sent.src), 'fd02::1');
  t.equal(verifyChecksum(sent), 'right');
  const error = icmpError(ipBytes(sent).slice(), { quote: 60 }).from('fd01::7').to('fd02::1');
  const back = router.out(error);
  t.same(
    [back.ctState, formatAddress(back.src), formatAddress(back.dst)],
    ['related', 'fd01::7', 'fd00::5'],
  );
  t.equal(verifyChecksum(back), 'right');
  const quoted = parsedIp(syn.packet());
  t.same(ipBytes(back).slice(48, 108), ipBytes(quoted), 'it quotes what was sent');
});

t.test('an INVALID packet is not translated', async (t) => {
  const router = new Router();
  const stray = tcp().syn().ack(1).from('10.1.0.8', 8080).to('10.2.0.1', 4000);
  t.equal(ends(router.out(stray, { source: to('10.9.9.9') })), '10.1.0.8:8080 > 10.2.0.1:4000');
});

t.test('translating a packet and its answer back is identity', async (t) => {
  const port = fc.integer({ min: 1, max: 65_535 });
  const base = fc.constantFrom<[string, PacketBuilder]>(
    ['tcp', tcp().syn()],
    ['udp', udp()],
    ['udp without checksum', udp().noChecksum()],
    ['sctp', sctp().chunks(sctpInit(9))],
    ['echo', icmpEcho(9)],
  );
  const law = fc.property(
    base,
    port,
    port,
    fc.boolean(),
    fc.boolean(),
    fc.nat(99),
    (kind, a, b, v6, dnat, n) => {
      const [name, builder] = kind;
      if (name === 'udp without checksum' && v6) return true;
      const base = name === 'echo' && v6 ? icmpEcho(9, 1, { v6 }) : builder;
      const net = v6 ? 'fd00::' : '10.0.0.';
      const packet = base.from(`${net}5`, a).to(`${net}9`, b).payload(n);
      const rules = dnat
        ? { source: to(`${net}1`), destination: to(`${net}8`) }
        : { source: to(`${net}1`) };
      const router = new Router();
      const out = router.out(packet, rules);
      if (verifyChecksum(out) === 'wrong' || out.ctState !== 'new') return false;
      const answer = answerTo(out, base, n);
      const back = router.pass(answer.packet());
      if (typeof back === 'string' || back.ctState === 'invalid') return false;
      if (verifyChecksum(back) === 'wrong') return false;
      const turned = ends(parsedIp(packet.reversed().packet()));
      return ends(back) === turned;
    },
  );
  fc.assert(law, { seed: 9, numRuns: 400 });
  t.pass('all protocols, both families');
});

/** What would answer a packet that came out. */
function answerTo(out: Packet, base: PacketBuilder, n: number): PacketBuilder {
  const src = formatAddress(out.dst);
  const dst = formatAddress(out.src);
  if (out.protocol === 1 || out.protocol === 58) {
    const id = (out.bytes[out.l4 + 4]! << 8) | out.bytes[out.l4 + 5]!;
    return icmpEchoReply(id, 1, { v6: out.family === 6 })
      .from(src)
      .to(dst)
      .payload(n);
  }
  const answer = out.protocol === 6 ? tcp().syn().ack(1) : base;
  const tagged = out.protocol === 132 ? base.chunks({ ...sctpInit(8), type: 2 }).tag(9) : answer;
  return tagged.from(src, dport(out)).to(dst, sport(out)).payload(n);
}
