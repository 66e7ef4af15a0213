/**
 * The table of connections: life and death of entries, limits, notrack, openings before the capture,
 * and laws over random traffic.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import type { Connection } from '../../src/conntrack/connection.ts';
import { conntrackSettings, DEFAULT_SETTINGS } from '../../src/conntrack/protocol/timeouts.ts';
import { ConntrackTable, connectionOf } from '../../src/conntrack/table.ts';
import { equalTuple, invertTuple, tupleAt } from '../../src/conntrack/tuple.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import type { CtZone, Packet } from '../../src/packet/packet.ts';
import { conntrackTraffic } from '../differential/kernel/conntrack-traffic.ts';
import {
  icmpError,
  type PacketBuilder,
  parsedIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../support/packets.ts';

const S = 1e9;

/** Send a packet through a host that drops nothing; returns it as it ended. */
function pass(table: ConntrackTable, builder: PacketBuilder, nowNs: number): Packet {
  const packet = builder.parsed();
  table.track(packet, nowNs, 'prerouting');
  table.confirm(packet, nowNs);
  return packet;
}

t.test('a dropped first packet leaves no connection', async (t) => {
  const table = new ConntrackTable();
  const first = udp().parsed();
  table.track(first, 0, 'prerouting');
  t.equal(first.ctState, 'new');
  t.equal(table.size, 0, 'not confirmed');
  t.equal(pass(table, udp().reversed(), 1).ctState, 'new', 'the answer knows nothing of it');
});

t.test('an entry is gone when its time has passed, not before', async (t) => {
  const table = new ConntrackTable();
  pass(table, udp(), 0);
  t.equal(pass(table, udp().reversed(), 30 * S - 1).ctState, 'established', 'in its last moment');
  t.equal(pass(table, udp(), 60 * S - 2).ctState, 'established', 'renewed by the answer');
  t.equal(pass(table, udp().reversed(), 500 * S).ctState, 'new', 'long after');
});

t.test('the timeout runs from confirmation', async (t) => {
  const table = new ConntrackTable();
  const first = udp().parsed();
  table.track(first, 0, 'prerouting');
  table.confirm(first, 5 * S);
  t.equal(connectionOf(first)?.expiresNs, 35 * S);
});

t.test('a retransmitted SYN does not keep an unanswered entry alive', async (t) => {
  const table = new ConntrackTable();
  pass(table, tcp().syn(), 0);
  pass(table, tcp().syn(), 100 * S);
  t.equal(table.connections(119 * S).length, 1);
  t.equal(table.connections(120 * S).length, 0);
});

t.test('a packet with a bad checksum is INVALID only as it comes from a wire', async (t) => {
  for (const [name, builder, hook, want] of [
    ['wrong at prerouting', tcp().syn().badChecksum(), 'prerouting', 'invalid'],
    ['wrong at output', tcp().syn().badChecksum(), 'output', 'new'],
    ['left to a device', tcp().syn().offloaded(), 'prerouting', 'new'],
    ['udp without', udp().noChecksum(), 'prerouting', 'new'],
  ] as const) {
    const packet = builder.parsed();
    new ConntrackTable().track(packet, 0, hook);
    t.equal(packet.ctState, want, name);
  }
  const lax = new ConntrackTable(conntrackSettings({ 'net.netfilter.nf_conntrack_checksum': '0' }));
  t.equal(pass(lax, tcp().syn().badChecksum(), 0).ctState, 'new', 'nf_conntrack_checksum=0');
});

t.test('a cut payload is not judged, a cut header is said to be', async (t) => {
  const whole = tcp().syn().payload(100).parsed();
  const cutAt = (length: number) => ({ ...whole, bytes: whole.bytes.slice(0, length) });
  const table = new ConntrackTable();
  const inPayload = cutAt(80);
  t.equal(table.track(inPayload, 0, 'prerouting'), null);
  t.equal(inPayload.ctState, 'new');
  t.equal(table.track(cutAt(36), 0, 'prerouting'), 'headerCut', 'in the ports');
  t.equal(table.track(cutAt(50), 0, 'prerouting'), 'headerCut', 'in the flags');
});

t.test('untracked packets stay so', async (t) => {
  const table = new ConntrackTable();
  const packet = udp().parsed();
  packet.ctState = 'untracked';
  t.equal(table.track(packet, 0, 'prerouting'), null);
  t.same([packet.ctState, packet.connection], ['untracked', null]);
  t.ok(table.confirm(packet, 0));
  t.equal(table.size, 0);
});

t.test('a full table evicts the oldest probe, and refuses when there is none', async (t) => {
  const table = new ConntrackTable({ ...DEFAULT_SETTINGS, max: 2 });
  const flow = (port: number) => udp().from('10.0.0.1', port);
  pass(table, flow(1), 0);
  pass(table, flow(2), 0);
  t.equal(pass(table, flow(3), 1).ctState, 'new', 'the oldest probe made room');
  t.equal(pass(table, flow(1).reversed(), 2).ctState, 'new', 'and is forgotten');
  t.equal(table.size, 2);
  for (const connection of table.connections(2)) connection.assured = true;
  const refused = flow(9).parsed();
  t.equal(table.track(refused, 3, 'prerouting'), 'ctFull', 'all are assured');
});

t.test('of a full table the dead leave, then the oldest that may be dropped', async (t) => {
  const seen = { dead: 0, probe: 0, closing: 0, none: 0 };
  const law = fc.property(fc.nat(2 ** 30), fc.integer({ min: 2, max: 12 }), (seed, max) => {
    // A stream that ends sooner than a probe: who is opened as one is to leave earlier.
    const { udp } = DEFAULT_SETTINGS;
    const table = new ConntrackTable({ ...DEFAULT_SETTINGS, max, udp: { ...udp, stream: 4 } });
    for (const [i, builder] of conntrackTraffic(seed, 400).entries()) {
      const nowNs = i * 3 * S;
      const packet = parsedIp(builder.packet());
      const before = [...table.connections(nowNs - 3 * S)];
      const living = before.filter(({ expiresNs }) => expiresNs > nowNs);
      // Looked at before the packet: it may change one that is there.
      const first = living.find((c) => !c.assured || isClosing(c));
      const kind = first?.assured ? 'closing' : 'probe';
      const fault = table.track(packet, nowNs, 'prerouting');
      const opens = connectionOf(packet)?.confirmed === false;
      const gone = living.filter((c) => c.dying && c !== connectionOf(packet));
      // A SYN where a connection was closed takes that one's place.
      const own = connectionOf(packet)?.original;
      if (own && gone.some((c) => [c.original, c.reply].some((way) => equalTuple(way, own))))
        continue;
      if (fault === 'ctFull') {
        if (living.length < max || first !== undefined) return false;
        seen.none += 1;
      } else if (opens && living.length >= max) {
        if (gone.length !== 1 || gone[0] !== first) return false;
        seen[kind] += 1;
      } else if (opens && gone.length > 1) return false;
      if (opens && before.length > living.length) seen.dead += 1;
      table.confirm(packet, nowNs);
      // Most are made sure of, and now and then a rule refuses one with a reset.
      const connection = connectionOf(packet);
      if (connection?.confirmed && i % 8 !== 0) connection.assured = true;
      const refused = living.find((c) => !c.dying && c.tracking.kind === 'tcp');
      if (refused !== undefined && i % 32 === 0) table.setClosing(refused, nowNs);
      const opened = living.find((c) => !c.dying && c.tracking.kind === 'udp');
      if (opened !== undefined && i % 32 === 16) table.openEstablished(opened, nowNs);
    }
    return true;
  });
  fc.assert(law, { seed: 7, numRuns: 60 });
  for (const [kind, count] of Object.entries(seen)) t.ok(count > 20, `${kind}: ${count}`);
});

t.test('a reply tuple that is taken refuses the packet', async (t) => {
  const table = new ConntrackTable();
  pass(table, udp().from('10.0.0.1', 5).to('10.0.0.9', 53), 0);
  const other = udp().from('10.0.0.2', 5).to('10.0.0.9', 53).parsed();
  table.track(other, 1, 'prerouting');
  const connection = connectionOf(other)!;
  connection.reply = { ...connection.reply, dst: parsedIp(udp().to('10.0.0.1').packet()).dst };
  t.equal(table.confirm(other, 1), false);
  t.equal(table.size, 1);
});

t.test('a connection from before the capture goes on as established', async (t) => {
  const table = new ConntrackTable();
  const opening = pass(table, tcp().syn().seq(1), 0);
  table.openEstablished(connectionOf(opening)!, 0);
  for (const [name, builder] of [
    ['data with numbers of its own', tcp().ack(77_000_000).seq(900_000_000).payload(1000)],
    ['an answer', tcp().ack(900_001_000).seq(77_000_000).payload(10).reversed()],
    ['far ahead, as after lost frames', tcp().ack(77_000_010).seq(990_000_000).payload(10)],
  ] as const) {
    t.equal(pass(table, builder, S).ctState, 'established', name);
  }
  t.ok(connectionOf(opening)!.assured);
  t.equal(table.connections(86_400 * S).length, 1, 'alive a day later');
  const association = pass(table, sctp().chunks(sctpInit(5)), 0);
  table.openEstablished(connectionOf(association)!, 0);
  const data = sctp()
    .tag(1234)
    .chunks({ type: 0, flags: 3, body: new Uint8Array(13) });
  t.equal(pass(table, data, 1).ctState, 'established', 'SCTP learns the tag');
});

t.test('what a host answers with belongs to the connection, the other way', async (t) => {
  const table = new ConntrackTable();
  const cause = tcp().syn().parsed();
  table.track(cause, 0, 'prerouting');
  const reset = tcp().rst().ack(1).reversed().parsed();
  table.attach(reset, cause);
  t.same(
    [reset.ctState, reset.ctDirection, reset.connection],
    ['related', 'reply', cause.connection],
  );
  t.ok(table.confirm(reset, 0), 'and does not confirm it');
  t.equal(table.size, 0);
});

t.test('neighbour discovery is not tracked', async (t) => {
  const table = new ConntrackTable();
  const message = icmpError(udp().from('fd00::1', 1).to('fd00::2', 2).packet(), {
    type: 135,
    code: 0,
  });
  const packet = message.from('fd00::1').to('fd00::2').parsed();
  table.track(packet, 0, 'prerouting');
  t.equal(packet.ctState, 'untracked');
});

t.test('sysctls that are no numbers are all named', async (t) => {
  const error = t.throws(() =>
    conntrackSettings({
      'net.netfilter.nf_conntrack_max': 'many',
      'net.netfilter.nf_conntrack_udp_timeout': '-1',
    }),
  ) as UserError;
  t.ok(error instanceof UserError);
  t.same(error.diagnostics.map((d) => d.field).sort(), [
    'net.netfilter.nf_conntrack_max',
    'net.netfilter.nf_conntrack_udp_timeout',
  ]);
});

/** On its way out: what `tcp_can_early_drop` and `sctp_can_early_drop` name. */
function isClosing({ tracking }: Connection): boolean {
  if (tracking.kind === 'tcp') {
    return ['finWait', 'lastAck', 'timeWait', 'close', 'closeWait'].includes(tracking.state);
  }
  return tracking.kind === 'sctp' && tracking.state.startsWith('shutdown');
}

t.test('laws over random traffic', async (t) => {
  const steps = fc.array(fc.nat(40 * S), { minLength: 200, maxLength: 200 });
  const law = fc.property(
    fc.nat(2 ** 30),
    steps,
    fc.integer({ min: 3, max: 30 }),
    (seed, gaps, max) => {
      const table = new ConntrackTable({ ...DEFAULT_SETTINGS, max });
      let nowNs = 0;
      for (const [i, builder] of conntrackTraffic(seed, gaps.length).entries()) {
        nowNs += gaps[i]!;
        const packet = parsedIp(builder.packet());
        table.track(packet, nowNs, 'prerouting');
        table.confirm(packet, nowNs);
        if (table.size > max) return false;
        const alive = table.connections(nowNs);
        if (alive.some((c) => c.expiresNs <= nowNs || c.dying)) return false;
        const both = alive.every(
          (c) =>
            table.lookup(c.original, nowNs)?.connection === c &&
            table.lookup(c.reply, nowNs)?.connection === c,
        );
        if (!both) return false;
      }
      return true;
    },
  );
  fc.assert(law, { seed: 5, numRuns: 25 });
  t.pass('never above the limit, nothing outlives its timeout, both tuples lead to one entry');
  const inverse = fc.property(fc.nat(2 ** 30), (seed) =>
    conntrackTraffic(seed, 30).every((builder) => {
      const p = parsedIp(builder.packet());
      const tuple = p.l4 < 0 ? null : tupleAt(p.bytes, p.l4, p.end, p);
      if (tuple === null || tuple === 'headerCut') return true;
      const turned = invertTuple(tuple);
      return turned === null || equalTuple(invertTuple(turned)!, tuple);
    }),
  );
  fc.assert(inverse, { seed: 6, numRuns: 100 });
  t.pass('the reply of the reply is the original');
});

t.test('zones do not see each other, and may have one direction only', async (t) => {
  const table = new ConntrackTable();
  const send = (zone: CtZone | null, back = false) => {
    const base = udp().from('10.1.0.2', 1000).to('10.2.0.2', 53).payload(4);
    const packet = (back ? base.reversed() : base).parsed();
    packet.ctTemplate = zone === null ? null : { zone: { ...zone, byMark: false } };
    table.track(packet, 0, 'prerouting');
    const state = `${packet.ctState} ${packet.ctDirection}`;
    return { state, confirmed: table.confirm(packet, 0) };
  };
  const five = { id: 5, direction: 'both' } as const;
  t.same(send(null), { state: 'new original', confirmed: true });
  t.same(send(five), { state: 'new original', confirmed: true }, 'the same tuple, another zone');
  t.equal(send(five, true).state, 'established reply');
  t.equal(send(null).state, 'new original', 'not answered in zone 0');
  t.equal(send({ id: 6, direction: 'both' }, true).state, 'new original');
  table.flush();
  t.ok(send({ id: 7, direction: 'original' }).confirmed);
  t.equal(send(null, true).state, 'established reply', 'answers come in zone 0');
  t.equal(send(null).state, 'new original', 'but requests do not');
});
