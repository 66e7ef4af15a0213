/**
 * P3 on every golden case and every stack that it is told on: both engines alike, on every packet.
 * @module
 */
import t from 'tap';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { goldenCases } from '../../golden/case.ts';
import { runCase } from '../../golden/run-case.ts';
import { type TwinEngine, twins } from '../../support/twin-engine.ts';

// A busy machine takes minutes over all cases.
t.setTimeout(900_000);

const STACKS = ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico'];
const native = findNative();
const skip = native.addon === null ? native.reason : false;

for (const golden of goldenCases()) {
  t.test(`both engines tell ${golden.name} alike`, { skip }, async (t) => {
    for (const stack of STACKS) {
      const made: TwinEngine[] = [];
      await runCase(
        golden,
        stack,
        undefined,
        twins((twin) => made.push(twin)),
      );
      for (const twin of made) {
        twin.compareState();
        t.pass(`${stack}: ${twin.packets} packets, ${JSON.stringify(twin.compiled.statistics())}`);
      }
    }
  });
}
