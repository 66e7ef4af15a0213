/**
 * The journey of a packet of a batch by its headers alone, as they end: what the reference engine
 * says of it, translated or not, whatever is behind the headers.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { CompiledEngine, type Injection, type NativeBatch } from '../../../src/engine/compiled.ts';
import type { Journey } from '../../../src/engine/engine.ts';
import { World } from '../../../src/lab/world.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { DrawnTraffic } from '../../support/drawn-traffic.ts';
import { isSameValue } from '../../support/same-value.ts';
import { SERVICES_SHOP } from '../../support/services-shop.ts';
import { speakersOf } from '../../support/speakers.ts';

const { addon } = findNative();
const skip = addon === null ? 'needs the addon' : false;
const PACKETS = 3000;
const NONE_GOOD = new Uint8Array(1 << 20);
const RING = { packets: 64, bytes: 256 };
const SERVICES = ['10.0.0.10', '10.0.0.11', 'fd00:10::10', '203.0.113.9'].map((address) => ({
  address,
  port: 80,
}));

/** A batch of which only the packet at `at` is there. */
function batchOf(engine: CompiledEngine, injection: Injection, at: number): NativeBatch {
  const packet = injection.as === 'frame' ? injection.frameBytes.subarray(14) : injection.packet;
  const count = at + 1;
  return {
    packets: packet.slice(),
    offsets: new Uint32Array(count),
    lengths: new Uint32Array(count).fill(packet.length),
    entries: new Uint32Array(count).fill(engine.entryOf(injection)),
    times: new Float64Array(count).fill(injection.nowNs),
    offloaded: new Uint8Array(count).fill(injection.checksumOffloaded ? 1 : 0),
    results: new Int32Array(count),
    out: new Uint8Array(RING.packets * RING.bytes),
    stride: RING.bytes,
    good: NONE_GOOD,
  };
}

function moved(engine: CompiledEngine, injection: Injection, at: number) {
  if (!CompiledEngine.mayMove(injection)) return { journey: engine.inject(injection), fast: false };
  const batch = batchOf(engine, injection, at);
  engine.run(batch, at, at + 1);
  if ((batch.results[at] ?? -1) >= 0) return { journey: engine.journeyAt(batch, at), fast: true };
  return { journey: engine.walk(batch, at, injection), fast: false };
}

t.test('a packet of a batch ends as its headers say', { skip }, async (t) => {
  const { cluster, policies } = parseInputs('shop.yaml', SERVICES_SHOP);
  for (const text of ['azure-transparent+calico,force=true', 'kubenet+none']) {
    const stack = parseStack(text);
    const reference = new World({ cluster, policies, stack });
    const world = new World({
      ...{ cluster, policies, stack },
      makeEngine: (topology, options) =>
        new CompiledEngine(topology, { ...options, addon: addon! }),
    });
    const engine = world.engine as CompiledEngine;
    const speakers = speakersOf(reference, ['203.0.113.9', '10.0.0.10', '10.0.0.11']);
    const options = { heard: true, ports: [80, 8080, 9999], services: SERVICES, calm: true };
    const traffic = new DrawnTraffic(20_261_121, speakers, options);
    const fast: Journey[] = [];
    for (let n = 0; n < PACKETS; n++) {
      const injection = traffic.next();
      const want = reference.engine.inject(injection);
      const got = moved(engine, injection, n % 200);
      if (got.fast) fast.push(got.journey);
      const isSame = isSameValue(got.journey, want);
      if (!isSame) t.same(got.journey, want, `packet ${n} of ${text}`);
      if (!isSame) break;
      traffic.heard(want);
    }
    const arrived = fast.filter(({ packet, frame }) => packet !== null && (frame ?? null) !== null);
    t.ok(fast.length > PACKETS / 4 && arrived.length > 50, `${fast.length} of them in bulk`);
  }
});
