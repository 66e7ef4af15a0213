/**
 * The first pass in chunks: what is seen of a capture is the same whoever looks at which of them,
 * in native code or by hand; and a thread that dies is an error.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openCaptures } from '../../src/capture/reader.ts';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { InternalError } from '../../src/diagnostic/diagnostic.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { findWalker, type LaneWalker } from '../../src/lab/lane/columns.ts';
import { BulkSurvey } from '../../src/lab/lane/look.ts';
import { Chunks, type Claim, everyChunk } from '../../src/lab/traffic/chunks.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import { SharedLook } from '../../src/workers/shared-look.ts';
import { readAll } from '../support/captures.ts';
import { crowd } from '../support/crowd.ts';
import { udp } from '../support/packets.ts';

t.setTimeout(300_000);
const skip = findNative().addon === null ? 'needs the addon' : false;
const folder = mkdtempSync(join(tmpdir(), 'wiretrial-look-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const SIZES = { records: 100, ahead: 30 };

/** A crowd whose packets are now and then seen once more, translated, some packets later. */
function translated(packets: number): PacketRecord[] {
  const records = crowd({ packets, seed: 91, pieces: true }).flatMap((record, i) => {
    if (i % 5 !== 0) return [record];
    const ends = (server: string) =>
      udp()
        .id(i + 1)
        .from('10.240.0.10', 41_000 + (i % 7))
        .to(server, 80)
        .payload(`question ${i}`);
    const [first, other] = [ends('10.0.0.10'), ends(`10.240.1.${11 + (i % 2)}`)];
    return [record, { ...record, data: first.frame() }, { ...record, data: other.frame() }];
  });
  // A sighting may stand at the other side of a border.
  for (let i = 40; i + 17 < records.length; i += 90) {
    const [a, b] = [records[i], records[i + 17]];
    if (a && b)
      [records[i], records[i + 17]] = [
        { ...b, timeNs: a.timeNs },
        { ...a, timeNs: b.timeNs },
      ];
  }
  return records.map((r, i) => ({ ...r, frame: i + 1, timeNs: r.timeNs + BigInt(i) * 1000n }));
}

async function written(records: readonly PacketRecord[]): Promise<string> {
  const path = join(folder, 'some.pcap');
  const writer = await PcapWriter.create(openSink(path), { linkType: LinkType.ethernet });
  for (const { timeNs, data, wireLength } of records) {
    await writer.write({ timeNs, data, wireLength });
  }
  await writer.close();
  return path;
}

const path = await written(translated(1500));
const { records } = await readAll([path]);

/** All that a survey saw, in an order of its own. */
function seenBy(survey: Survey) {
  const sorted = <T>(map: ReadonlyMap<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  const pairs = survey.pairs().map(({ a, b, packets }) => `${a.w3} ${b.w3} ${packets}`);
  return {
    senders: sorted(survey.checksums.senders),
    pairs: pairs.sort(),
    fragmented: sorted(survey.census.fragmented),
    translations: survey.translations.all(),
  };
}

function walkerOf(): LaneWalker {
  const walker = findWalker(64);
  if (walker === null) throw new Error('needs the addon');
  return walker;
}

async function lookedAt(claim: Claim | undefined): Promise<BulkSurvey> {
  const walker = walkerOf();
  const bulk = new BulkSurvey(walker, { claim, sizes: SIZES });
  for await (const part of openCaptures([path]).parts(walker)) bulk.take(part, true);
  return bulk;
}

function byHand(): Survey {
  const survey = new Survey({ sizes: SIZES });
  for (const record of records) survey.add(record);
  return survey;
}

t.test('chunks looked at apart say what one look says, and one by hand', { skip }, async (t) => {
  const want = seenBy(byHand());
  t.ok(want.translations.length > 5, `${want.translations.length} translations`);
  t.ok(want.fragmented.length > 0, 'and pieces');
  const whole = await lookedAt(undefined);
  t.strictSame(seenBy(whole.survey), want, 'in native code');
  const tuples = whole.survey.census.tuples;
  for (const threads of [2, 3, 5]) {
    // By turns, in runs, and one of them late.
    for (const whose of [
      (chunk: number) => chunk % threads,
      (chunk: number) => Math.floor(chunk / 3) % threads,
      (chunk: number) => (chunk < 7 ? 0 : chunk % threads),
    ]) {
      const looks = await Promise.all(
        Array.from({ length: threads }, (_, self) => {
          let next = 0;
          return lookedAt(() => {
            while (whose(next) !== self) next++;
            return next++;
          });
        }),
      );
      const [own, ...others] = looks;
      const joined = own?.joined(others.map((look) => look.part()));
      t.strictSame(joined && seenBy(joined), want, `by ${threads}`);
      t.equal(joined?.census.tuples, tuples, 'and as many tuples');
    }
  }
});

t.test('what is kept in mind is the end of the chunk before, and nothing else', async (t) => {
  const mine = [1, 3, 4];
  const chunks = new Chunks(() => mine.shift() ?? 99, { records: 10, ahead: 3 });
  const at = (place: number) => {
    const { isLookedAt, isKeptInMind, until } = chunks.at(place);
    return `${isLookedAt ? 'look' : '-'} ${isKeptInMind ? 'keep' : '-'} ${until}`;
  };
  t.equal(at(0), '- - 7', 'not mine');
  t.equal(at(7), '- keep 10', 'the end of the one before mine');
  t.equal(at(10), 'look - 20', 'mine, to its end');
  t.equal(at(20), '- - 27', 'who is not me');
  t.equal(at(29), '- keep 30', 'the end before mine');
  t.equal(at(33), 'look - 40');
  t.equal(at(40), 'look - 50', 'mine again');
  t.equal(at(120), '- - 127', 'and no more');
});

t.test('by one, all of them are looked at', async (t) => {
  const chunks = new Chunks(everyChunk(), SIZES);
  for (let place = 0; place < 1000; place++) {
    const { isLookedAt, isKeptInMind, until } = chunks.at(place);
    t.ok(isLookedAt && !isKeptInMind, `place ${place}`);
    t.equal(until, (Math.floor(place / 100) + 1) * 100);
  }
});

async function together(module?: string) {
  const walker = walkerOf();
  const which = module === undefined ? {} : { module };
  const shared = new SharedLook({ walker, path, threads: 2, sizes: SIZES, ...which });
  try {
    let frames = 0;
    for await (const part of openCaptures([path]).parts(walker)) {
      shared.bulk.take(part, true);
      frames += 'window' in part ? part.count : part.length;
      // Let the other one have some, too.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return await shared.joined(frames);
  } finally {
    await shared.close();
  }
}

t.test('threads that look side by side see what one sees', { skip }, async (t) => {
  const found = await together();
  t.strictSame(found && seenBy(found), seenBy(byHand()));
});

t.test('a thread that dies is an error with its cause', { skip }, async (t) => {
  const module = new URL('./failing-worker.js', import.meta.url).href;
  await t.rejects(together(module), InternalError);
  await t.rejects(
    together(module),
    /a thread of the first pass ended before its work was done: .*lost/,
  );
});
