import { Agent } from './agent.ts';
import { askKernel } from './ask-kernel.ts';
import { difference } from './difference.ts';
import { drawTrial, SHAPES, type Shape } from './generate.ts';
import { judge, printTrial, shrink } from './shrink.ts';

const agent = new Agent();
const [shape, first = '1', count = '10', frames = '200'] = process.argv.slice(2);
let bad = 0;
const t0 = Date.now();
let te = 0;
for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  const kind = (shape === 'all' ? SHAPES[seed % SHAPES.length]! : shape) as Shape;
  const t1 = Date.now();
  let drawn;
  try {
    drawn = drawTrial(kind, seed, Number(frames));
  } catch (error) {
    console.log(kind, seed, 'DRAW', (error as Error).stack?.slice(0, 600), JSON.stringify((error as any).diagnostics?.slice(0, 2)));
    continue;
  }
  const { trial, run } = drawn;
  te += Date.now() - t1;
  try {
    const kernel = await askKernel(agent, trial);
    const found = difference(trial, run.answer(), kernel);
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
console.log({ bad, seconds: (Date.now() - t0) / 1000, engine: te / 1000 });
agent.close();
