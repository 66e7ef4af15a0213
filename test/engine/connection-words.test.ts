/**
 * Connections as numbers: what is given to the compiled engine comes back as it was, on every host,
 * under each host's own names; and which entries are those of one connection.
 * @module
 */
import t from 'tap';
import { type Connection, newConnection } from '../../src/conntrack/connection.ts';
import { establishedTracking } from '../../src/conntrack/protocol/tcp.ts';
import { invertTuple, type Tuple } from '../../src/conntrack/tuple.ts';
import {
  isReplyOf,
  namesOf,
  wayOf,
} from '../../src/engine/compiled/connection/connection-names.ts';
import {
  isSimple,
  readConnection,
  readNames,
  writeConnection,
  writeNames,
} from '../../src/engine/compiled/connection/connection-words.ts';
import { memberOf } from '../../src/engine/compiled/connection/host-sets.ts';
import { SCRATCH_WORDS, Word } from '../../src/engine/compiled/layout.ts';
import { Protocol } from '../../src/wire/protocol.ts';
import { address } from '../support/packets.ts';

function tuple(src: string, sport: number, dst: string, dport: number): Tuple {
  return { protocol: Protocol.tcp, src: address(src), dst: address(dst), sport, dport };
}

const ASKED = tuple('10.240.0.5', 40_000, '10.0.0.10', 80);
const CHOSEN = tuple('10.240.0.5', 40_000, '10.240.0.36', 8080);
const MASQUERADED = tuple('10.240.0.4', 1024, '10.240.0.36', 8080);

/** A host's entry that turns packets of one name into packets of another. */
function entry(from: Tuple, to: Tuple, more: Partial<Connection> = {}): Connection {
  const reply = invertTuple(to);
  if (reply === null) throw new Error('TCP is answered');
  const made = newConnection({ original: from, reply, nowNs: 0 });
  const state = {
    tracking: establishedTracking(),
    confirmed: true,
    seenReply: true,
    assured: true,
  };
  return Object.assign(made, state, { sourceNatDone: true, expiresNs: 5e9, refreshed: true }, more);
}

t.test('an entry comes back from the words as it was given', async (t) => {
  const rows = [
    entry(ASKED, ASKED),
    entry(ASKED, CHOSEN, { destinationNat: true, destinationNatDone: true }),
    entry(CHOSEN, MASQUERADED, { sourceNat: true, masqueradeDevice: 'eth0', mark: 5 }),
    entry(ASKED, MASQUERADED, { sourceNat: true, destinationNat: true, traffic: null }),
  ];
  for (const connection of rows) {
    t.ok(isSimple(connection));
    const found = namesOf([connection]);
    const [between] = found?.between ?? [];
    if (found === null || between === undefined) throw new Error('one entry has names');
    const words = new Float64Array(SCRATCH_WORDS);
    writeConnection(words, connection);
    writeNames(words, found.names);
    words[Word.expiresNs + 1] = connection.expiresNs;
    t.strictSame(readNames(words), found.names);
    const own = { ...memberOf(3, connection, between), group: 1, younger: 0 };
    t.strictSame(readConnection(words, found.names, own), connection);
  }
});

t.test('entries are of one connection when each begins where another ends', async (t) => {
  const same = (tuple: Tuple) => entry(tuple, tuple);
  const rows = [
    ['one host', [entry(ASKED, CHOSEN)], [ASKED, CHOSEN]],
    ['in any order', [same(CHOSEN), entry(ASKED, CHOSEN)], [ASKED, CHOSEN]],
    ['three', [entry(ASKED, CHOSEN), entry(CHOSEN, MASQUERADED)], [ASKED, CHOSEN, MASQUERADED]],
    ['none translates', [same(ASKED), same(ASKED)], [ASKED]],
    ['two that share nothing', [same(ASKED), same(CHOSEN)], null],
    ['two ways out', [entry(ASKED, CHOSEN), entry(ASKED, MASQUERADED)], null],
    ['two ways in', [entry(ASKED, MASQUERADED), entry(CHOSEN, MASQUERADED)], null],
    ['round in a ring', [entry(ASKED, CHOSEN), entry(CHOSEN, ASKED)], null],
  ] as const;
  for (const [name, entries, want] of rows)
    t.strictSame(namesOf(entries)?.names ?? null, want, name);
});

t.test('a packet is of a connection by its first name, an answer by its last', async (t) => {
  const names = [ASKED, CHOSEN, MASQUERADED];
  const answer = invertTuple(MASQUERADED);
  if (answer === null) throw new Error('TCP is answered');
  t.equal(isReplyOf(names, ASKED), false);
  t.equal(isReplyOf(names, answer), true);
  for (const other of [CHOSEN, MASQUERADED, invertTuple(ASKED) ?? ASKED]) {
    t.equal(isReplyOf(names, other), null);
  }
  t.strictSame(wayOf(names, true)?.[0], answer);
  t.strictSame(wayOf(names, true)?.at(-1), invertTuple(ASKED));
});
