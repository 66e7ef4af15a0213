/**
 * A trial put to the kernel.
 * @module
 */
import type { Agent, AgentFrame } from './agent.ts';
import { type Birth, readBirths } from './births.ts';
import { comparable } from './comparable.ts';
import { buildSteps, portsOf, readHost } from './kernel-host.ts';
import type { Answer, Trial } from './trial.ts';

/** Frames between two sentinels: few enough for the receivers' buffers and the backlog. */
const BURST = 64;

/** Build the plan in fresh namespaces, send everything, read everything. */
export async function askKernel(agent: Agent, trial: Trial): Promise<Answer> {
  const { plan, backend, shots } = trial;
  const ports = portsOf(plan);
  await agent.build(buildSteps(plan, backend));
  const began = process.hrtime.bigint();
  const bursts: string[][] = [[]];
  const births: Birth[] = [];
  let frames: AgentFrame[] = [];
  const flush = async () => {
    if (frames.length === 0) return;
    const sent = frames;
    frames = [];
    const answer = await agent.timedBurst(sent);
    births.push(...answer.births.flatMap(readBirths));
    for (const [port, start, hex] of answer.heard) {
      if (start !== 0) throw new Error('a device left a checksum open');
      const line = comparable(ports[port] ?? '', Buffer.from(hex, 'hex'));
      if (line !== null) bursts.at(-1)?.push(line);
    }
  };
  for (const shot of shots) {
    if (shot.kind === 'wait') {
      await flush();
      await agent.wait(shot.seconds);
      bursts.push([]);
      continue;
    }
    const [start, offset] = shot.offload ?? [0, 0];
    const hex = Buffer.from(shot.frame).toString('hex');
    frames.push([ports.indexOf(shot.device), start, offset, hex]);
    if (frames.length === BURST) await flush();
  }
  await flush();
  const reading = await readHost(agent, plan, backend);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  return { bursts, reading, births, seconds };
}
