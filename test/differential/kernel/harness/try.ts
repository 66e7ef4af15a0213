import { Agent } from './agent.ts';
import { compare } from './compare.ts';
import { drawTrial, SHAPES, type Shape } from './generate.ts';
import { judge, printTrial, shrink } from './shrink.ts';

const agent = new Agent();
const [shape, first = '1', count = '10', frames = '200'] = process.argv.slice(2);
let bad = 0;
let lost = 0;
const t0 = Date.now();
let te = 0;
for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  const kind = (shape === 'all' ? SHAPES[seed % SHAPES.length]! : shape) as Shape;
  const t1 = Date.now();
  let drawn;
  try {
    drawn = drawTrial(kind, seed, Number(frames));
  } catch (error) {
    console.log(
      kind,
      seed,
      'DRAW',
      (error as Error).stack?.slice(0, 600),
      JSON.stringify((error as any).diagnostics?.slice(0, 2)),
    );
    continue;
  }
  const { trial, run } = drawn;
  te += Date.now() - t1;
  try {
    const { outcome } = await compare(agent, trial, run);
    if (outcome.kind === 'drawn') lost++;
    const found = outcome.kind === 'different' ? outcome.difference : null;
    if (found) {
      bad++;
      if (process.env['SHRINK']) {
        const small = await shrink(agent, trial, found.kind);
        console.log(printTrial(small, await judge(agent, small)));
      } else console.log(trial.name, found.kind, '\n  ' + found.lines.join('\n  '));
    }
  } catch (error) {
    console.log(trial.name, 'KERNEL', (error as Error).message.slice(0, 1500));
  }
}
console.log({ bad, lost, seconds: (Date.now() - t0) / 1000, engine: te / 1000 });
agent.close();
