/**
 * A table forked at a moment against one into which every connection was copied: packets, zones,
 * evictions, listings and removals come out alike, and the table that was forked stays as it was.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import type { Connection } from '../../src/conntrack/connection.ts';
import { ForkedTable } from '../../src/conntrack/forked-table.ts';
import { DEFAULT_SETTINGS } from '../../src/conntrack/protocol/timeouts.ts';
import { formatConnection, snapshot } from '../../src/conntrack/snapshot.ts';
import { ConntrackTable, connectionOf } from '../../src/conntrack/table.ts';
import { invertTuple, type Tuple } from '../../src/conntrack/tuple.ts';
import type { CtZone } from '../../src/packet/packet.ts';
import { newPacket } from '../../src/packet/parse.ts';
import { icmpEcho, type PacketBuilder, sctp, sctpInit, tcp, udp } from '../support/packets.ts';

const S = 1e9;

const ends = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3');
const port = fc.constantFrom(80, 81);
const body: fc.Arbitrary<() => PacketBuilder> = fc.constantFrom(
  () => udp(),
  () => tcp().syn(),
  () => tcp().syn().ack(1),
  () => tcp().seq(1).ack(1),
  () => tcp().rst(),
  () => sctp().chunks(sctpInit(7)),
  () => icmpEcho(),
);
const zone: fc.Arbitrary<CtZone | null> = fc.constantFrom(
  null,
  null,
  null,
  { id: 1, direction: 'both' as const },
  { id: 1, direction: 'original' as const },
  { id: 2, direction: 'reply' as const },
);
const packet = fc.record({ body, src: ends, dst: ends, sport: port, dport: port, zone });
type Drawn = typeof packet extends fc.Arbitrary<infer T> ? T : never;
const step = fc.record({
  what: fc.constantFrom('send', 'send', 'send', 'send', 'remove', 'same source', 'list'),
  packet,
});

/** Send it, and say what came of it. */
function send(table: ConntrackTable, drawn: Drawn, nowNs: number): string {
  const { body, src, dst, sport, dport, zone } = drawn;
  const built = body().from(src, sport).to(dst, dport).parsed();
  if (zone !== null) built.ctTemplate = { zone: { ...zone, byMark: false } };
  const fault = table.track(built, nowNs, 'prerouting');
  const connection = connectionOf(built);
  // A rule may mark it, and translate what is new.
  if (connection !== null) connection.mark += 1;
  if (connection !== null && !connection.confirmed && sport === 81) translate(connection);
  const confirmed = table.confirm(built, nowNs);
  return `${fault} ${built.ctState} ${built.ctDirection} ${connection?.mark} ${confirmed}`;
}

function translate(connection: Connection): void {
  const reply = { ...connection.reply, dport: 9000 };
  if (invertTuple(reply) !== null) connection.reply = reply;
}

const list = (table: ConntrackTable, nowNs: number) =>
  snapshot(table, nowNs).map(formatConnection).join('\n');

/** The table with copies of all connections, made as a packet's confirmation makes one. */
function wholeCopy(table: ConntrackTable, nowNs: number): ConntrackTable {
  const copy = new ConntrackTable(table.settings);
  for (const connection of table.connections(nowNs)) {
    const carrier = newPacket({ frame: 0, bytes: new Uint8Array(0) });
    const lifetimeNs = connection.expiresNs - nowNs;
    carrier.connection = { ...structuredClone(connection), lifetimeNs, confirmed: false };
    copy.confirm(carrier, nowNs);
  }
  return copy;
}

function act(
  table: ConntrackTable,
  { what, packet }: typeof step extends fc.Arbitrary<infer T> ? T : never,
  nowNs: number,
): string {
  if (what === 'send') return send(table, packet, nowNs);
  if (what === 'list') return list(table, nowNs);
  const built = packet.body().from(packet.src, packet.sport).to(packet.dst, packet.dport).parsed();
  const probe = new ConntrackTable(table.settings);
  probe.track(built, nowNs, 'prerouting');
  const tuple = connectionOf(built)?.original;
  if (tuple === undefined) return 'nothing';
  if (what === 'remove') {
    const found = table.lookup(tuple, nowNs, packet.zone);
    if (found !== null) table.remove(found.connection);
    return `${found?.direction} ${found?.connection.mark}`;
  }
  const from = table.fromSameSource(tuple, nowNs, packet.zone);
  return from.map(({ mark, reply }) => `${mark} ${reply.sport} ${reply.dport}`).join();
}

t.test('a fork goes on as a copy of everything does', async (t) => {
  let [kept, evicted, removed] = [0, 0, 0];
  fc.assert(
    fc.property(
      fc.array(fc.record({ packet, waitS: fc.constantFrom(0, 0, 1, 20) }), {
        minLength: 8,
        maxLength: 60,
      }),
      fc.array(step, { minLength: 1, maxLength: 40 }),
      fc.constantFrom(0, 4, 1000),
      (before, after, max) => {
        const base = new ConntrackTable({ ...DEFAULT_SETTINGS, max });
        let nowNs = 0;
        for (const { packet, waitS } of before) {
          nowNs += waitS * S;
          send(base, packet, nowNs);
        }
        const was = list(wholeCopy(base, nowNs), nowNs);
        const [fork, copy] = [new ForkedTable(base, nowNs), wholeCopy(base, nowNs)];
        for (const step of after) {
          const got = act(fork, step, nowNs);
          if (got !== act(copy, step, nowNs)) return false;
          if (step.what === 'remove' && !got.startsWith('undefined')) removed += 1;
        }
        if (max === 4 && copy.size === 4) evicted += 1;
        if (was !== '') kept += 1;
        return list(fork, nowNs) === list(copy, nowNs) && list(base, nowNs) === was;
      },
    ),
    { seed: 3, numRuns: 1000 },
  );
  t.ok(kept > 500, `${kept} bases had connections`);
  t.ok(evicted > 100, `${evicted} tables were full`);
  t.ok(removed > 100, `${removed} connections were removed`);
});

t.test('to open in a fork of a full table copies whom it evicts, and nobody else', async (t) => {
  const base = new (class extends ConntrackTable {
    override connections(): readonly Connection[] {
      throw new Error('all of them');
    }
  })({ ...DEFAULT_SETTINGS, max: 100 });
  const tuples: Tuple[] = [];
  for (let port = 1; port <= 100; port++) {
    const packet = udp().from('10.0.0.1', port).parsed();
    base.track(packet, 0, 'prerouting');
    base.confirm(packet, 0);
    tuples.push(connectionOf(packet)!.original);
  }
  const fork = new ForkedTable(base, 1);
  for (const port of [101, 102, 103]) {
    const packet = udp().from('10.0.0.1', port).parsed();
    t.equal(fork.track(packet, 1, 'prerouting'), null);
    t.ok(fork.confirm(packet, 1));
    t.equal(fork.size, 100);
  }
  const stand = tuples.slice(0, 4).map((tuple) => fork.lookup(tuple, 1) !== null);
  t.same(stand, [false, false, false, true], 'the three oldest are gone');
  t.equal(base.size, 100);
});

t.test('one packet copies one connection', async (t) => {
  const base = new ConntrackTable();
  for (let port = 1; port <= 100; port++) {
    const packet = udp().from('10.0.0.1', port).parsed();
    base.track(packet, 0, 'prerouting');
    base.confirm(packet, 0);
  }
  const fork = new ForkedTable(base, 1);
  const packet = udp().from('10.0.0.1', 50).reversed().parsed();
  fork.track(packet, 1, 'prerouting');
  t.equal(packet.ctState, 'established');
  t.equal(connectionOf(packet)?.seenReply, true);
  t.equal(fork.size, 100);
  const own = base.connections(1).find(({ original }) => original.sport === 50);
  t.equal(own?.seenReply, false, 'the base knows nothing of it');
  t.not(own, connectionOf(packet));
});
