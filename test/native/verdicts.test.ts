/**
 * Verdicts by class tables: on every way that the processor can go, and packet by packet, what the
 * reference engine says of a connection that is the only one there is.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import type { Journey } from '../../src/engine/engine.ts';
import { ReferenceEngine } from '../../src/engine/reference.ts';
import {
  type VerdictBatch,
  type VerdictKind,
  VerdictPath,
  Verdicts,
} from '../../src/engine/verdicts.ts';
import { World } from '../../src/lab/world.ts';
import type { Inputs } from '../../src/policy/inputs.ts';
import { Dice } from '../support/drawn-traffic.ts';
import { address, tcp, udp } from '../support/packets.ts';
import { NPM_SHOP, SCANS4, SHOP } from '../support/scan-traffic.ts';

t.setTimeout(600_000);

const SEED = 20_261_121;
/** No whole number of groups of 16. */
const PACKETS = 1003;
const native = findNative();
const { addon } = native;
const skip = addon === null ? native.reason : false;
const options = { skip };

interface Asked {
  readonly batch: VerdictBatch;
  /** What the reference engine says of each packet. */
  readonly wanted: readonly Journey[];
}

function ask(world: World, verdicts: Verdicts): Asked {
  const dice = new Dice(SEED);
  const words = () => new Uint32Array(PACKETS);
  const columns = { src: words(), dst: words(), ports: words(), kinds: words() };
  const batch = { ...columns, results: new Int32Array(PACKETS) };
  const wanted: Journey[] = [];
  const reference = new ReferenceEngine(world.topology, { seed: 1 });
  while (wanted.length < PACKETS) {
    const at = wanted.length;
    const { src, dst, isTcp, sport, dport } = dice.pick(SCANS4).draw(dice);
    const packet = (isTcp ? tcp().syn() : udp()).from(src, sport).to(dst, dport).packet();
    const place = world.identities.placeOf(address(src));
    const injection = world.injectAt(place, packet, { frame: 1, nowNs: 0 });
    if (injection.as === 'frame') throw new Error('packets enter as IP packets');
    const entry: VerdictKind['entry'] = injection;
    batch.src[at] = address(src).w3;
    batch.dst[at] = address(dst).w3;
    batch.ports[at] = (sport | (dport << 16)) >>> 0;
    batch.kinds[at] = verdicts.kindOf({ protocol: isTcp ? 'tcp' : 'udp', entry });
    const [course] = reference.courses(injection, () => null).courses;
    if (course === undefined) throw new Error('a packet takes some course');
    wanted.push(course.forward);
  }
  return { batch, wanted };
}

function said({ outcome, reason, decision, end }: Journey): string {
  return JSON.stringify({ outcome, reason, decision, end });
}

const RUNS: readonly (readonly [string, Inputs])[] = [
  ['azure-bridge+npm', NPM_SHOP],
  ['azure-transparent+npm', NPM_SHOP],
  ['azure-transparent+calico', SHOP],
];

for (const [stack, inputs] of RUNS) {
  t.test(`${stack}: verdicts are those of the reference engine, every way`, options, async (t) => {
    if (addon === null) return;
    const world = new World({ ...inputs, stack: parseStack(stack) });
    const results = new Set<string>();
    const known = new addon.Verdicts(1).paths();
    for (const [name, path] of Object.entries(VerdictPath)) {
      if (!known.includes(path)) {
        t.pass(`${name}: this processor has it not`);
        continue;
      }
      const verdicts = new Verdicts(world.topology, { addon, seed: 1, path });
      const { batch, wanted } = ask(world, verdicts);
      // The second time nearly nothing is walked.
      verdicts.run(batch);
      const { walked } = verdicts;
      verdicts.run(batch);
      const again = verdicts.walked - walked;
      const wrong = wanted.findIndex(
        (journey, i) => said(journey) !== said(verdicts.journey(batch.results[i] ?? -1)),
      );
      t.equal(wrong, -1, `${name}: ${walked} of ${PACKETS} walked, then ${again}`);
      t.ok(again < walked);
      results.add(batch.results.join());
    }
    t.equal(results.size, 1, 'all ways say the same');
  });
}

t.test('a table that is too small forgets, and says the same', options, async (t) => {
  if (addon === null) return;
  const world = new World({ ...NPM_SHOP, stack: parseStack('azure-bridge+npm') });
  const [large, small] = [65_536, 20].map((capacity) => {
    const verdicts = new Verdicts(world.topology, { addon, seed: 1, capacity });
    const { batch } = ask(world, verdicts);
    verdicts.run(batch);
    return batch.results.join();
  });
  t.equal(small, large);
});
