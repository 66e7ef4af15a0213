/**
 * A process that puts recorded trials to its engine and prints after how many frames the answers
 * differed from the kernel's: `FILE`, with a planted fault when mutant-loader.ts came first.
 * @module
 */
import { readFileSync } from 'node:fs';
import { askEngine } from './ask-engine.ts';
import { difference } from './difference.ts';
import { readObserved } from './recorded.ts';

const [, , file = ''] = process.argv;
let frames = 0;
let found = 'nothing';
for (const { trial, kernel } of readObserved(readFileSync(file, 'utf8'))) {
  frames += trial.shots.length;
  try {
    const differing = difference(trial, askEngine(trial, kernel.births).answer(), kernel);
    if (differing === null) continue;
    found = differing.kind;
  } catch (error) {
    found = `error ${(error as Error).message}`;
  }
  break;
}
process.stdout.write(`${JSON.stringify({ frames, found: found.slice(0, 200) })}\n`);
