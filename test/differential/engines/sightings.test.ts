/**
 * Packets told from copies of themselves: native code, which looks for a packet only where somebody
 * was seen at a second place, against the maps of traffic/duplicates.ts.
 * @module
 */
import t from 'tap';
import { makeColumns } from '../../../src/engine/compiled/lane-door.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { type Datagram, readDatagram } from '../../../src/lab/datagram/datagram.ts';
import { NativeSightings } from '../../../src/lab/lane/sightings.ts';
import { Duplicates } from '../../../src/lab/traffic/duplicates.ts';
import { Dice } from '../../support/drawn-traffic.ts';
import { udp } from '../../support/packets.ts';

const native = findNative();
const skip = native.addon === null ? native.reason : false;
const SEED = 20_261_121;
const NOTES = 4000;
const CLIENTS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'];

interface Mix {
  readonly name: string;
  /** Connections, contents of each, and places where they are seen. */
  readonly speakers: number;
  readonly contents: number;
  readonly places: number;
  /** The longest pause between two packets, in nanoseconds. */
  readonly pauseNs: number;
  /** Flows that native code has room for: places are shared among more connections than these. */
  readonly flows: number;
}

const MIXES: readonly Mix[] = [
  { name: 'seldom', speakers: 5, contents: 1000, places: 2, pauseNs: 1e6, flows: 8 },
  { name: 'two places', speakers: 5, contents: 40, places: 2, pauseNs: 2e7, flows: 64 },
  { name: 'many a copy', speakers: 2, contents: 3, places: 3, pauseNs: 1e8, flows: 64 },
  { name: 'long silence', speakers: 5, contents: 2, places: 2, pauseNs: 2.5e9, flows: 64 },
  { name: 'no room', speakers: 5, contents: 20, places: 2, pauseNs: 5e7, flows: 1 },
];

/** A packet of a connection, with one of a few contents. */
function packet(dice: Dice, { speakers, contents }: Mix, places: number): Datagram {
  const src = CLIENTS[dice.below(speakers)] ?? '10.0.0.1';
  const payload = new Uint8Array([dice.below(contents)]);
  const bytes = udp()
    .from(src, 40_000)
    .to('10.0.1.1', 53)
    .ttl(64 - dice.below(places))
    .payload(payload)
    .packet();
  const read = readDatagram(1, bytes, 0, bytes.length);
  if (typeof read === 'string') throw new Error(read);
  return read;
}

for (const mix of MIXES) {
  t.test(`native code knows copies as the maps do: ${mix.name}`, { skip }, async (t) => {
    if (native.addon === null) return;
    const columns = makeColumns({ records: 8, staged: 8, stagedBytes: 64, flows: mix.flows });
    const table = new NativeSightings(new native.addon.Lanes(mix.flows, columns));
    const maps = new Duplicates();
    const dice = new Dice(SEED);
    let nowNs = 0;
    let copies = 0;
    for (let n = 0; n < NOTES; n++) {
      nowNs += dice.below(mix.pauseNs);
      // Where they are seen changes with time, so that who was alone is so no longer.
      const places = Math.floor(n / 500) % 2 === 0 ? 1 : mix.places;
      const vantage = `place ${dice.below(places)}`;
      const d = packet(dice, mix, places);
      const want = maps.note(d, vantage, nowNs);
      const got = table.note(d, vantage, nowNs);
      if (want !== null) copies++;
      if (JSON.stringify(want) !== JSON.stringify(got)) t.same(got, want, `note ${n}`);
    }
    t.ok(copies > 20, `${copies} copies`);
  });
}
