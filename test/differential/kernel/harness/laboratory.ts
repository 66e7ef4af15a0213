/**
 * One host in a real kernel for a test that drives it itself: frames go in at its devices, and what
 * comes out of any of them is there once the wires are known to be empty (wire-agent.py `burst`).
 * @module
 */
import { spawnSync } from 'node:child_process';
import type { Test } from 'tap';
import type { Plan } from '../../../../src/plan/model.ts';
import { Agent } from './agent.ts';
import { buildSteps, portsOf, readHost } from './kernel-host.ts';
import type { Backend, Reading } from './trial.ts';

/** Why the kernel can not be asked here, or null. */
export function kernelMissing(tools: readonly string[]): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = ['ip', 'python3', ...tools].filter(
    (tool) => spawnSync('which', [tool], { stdio: 'ignore' }).status !== 0,
  );
  return missing.length === 0 ? null : `needs ${missing.join(', ')}`;
}

/** A frame on the wire behind a device. */
export interface Wired {
  readonly device: string;
  readonly frame: Uint8Array;
}

/** Frames between two sentinels: few enough for the receivers' buffers and the backlog. */
const BURST = 64;

export class Laboratory {
  readonly #agent = new Agent();
  #ports: readonly string[] = [];
  #zero = 0;
  #sentAt = 0;

  /** Gone when the test is over. */
  constructor(t: Test) {
    t.teardown(() => this.#agent.close());
  }

  /** A fresh namespace with nothing in it. */
  async empty(): Promise<void> {
    this.#ports = [];
    await this.#agent.build([]);
  }

  /** Build the plan in fresh namespaces; those before are gone. */
  async build(plan: Plan, backend: Backend): Promise<void> {
    this.#ports = portsOf(plan);
    await this.#agent.build(buildSteps(plan, backend));
  }

  /** Seconds are counted from here. */
  async startClock(): Promise<void> {
    this.#zero = (await this.#agent.timedBurst([])).began;
  }

  /** The second in which the last burst began to arrive, by the kernel's monotonic clock. */
  get sentAt(): number {
    return this.#sentAt - this.#zero;
  }

  /** Let frames arrive in order; every frame that left the host because of them. */
  async send(frames: readonly Wired[]): Promise<readonly Wired[]> {
    const heard: Wired[] = [];
    for (let i = 0; i < frames.length; i += BURST) {
      const burst = frames.slice(i, i + BURST).map(({ device, frame }) => {
        const port = this.#ports.indexOf(device);
        if (port < 0) throw new Error(`no wire behind ${device}`);
        return [port, 0, 0, Buffer.from(frame).toString('hex')] as const;
      });
      const answer = await this.#agent.timedBurst(burst);
      this.#sentAt = answer.began;
      for (const [port, start, hex] of answer.heard) {
        if (start !== 0) throw new Error('a device left a checksum open');
        heard.push({ device: this.#ports[port] ?? '', frame: Buffer.from(hex, 'hex') });
      }
    }
    return heard;
  }

  /** Let the kernel's time pass, where time is what is tried. */
  async wait(seconds: number): Promise<void> {
    await this.#agent.wait(seconds);
  }

  /** Run a command on the host; what it prints. Rejects when it fails. */
  async run(argv: readonly string[], stdin = ''): Promise<string> {
    const [ran] = await this.#agent.run([argv], stdin);
    if (ran?.rc === 0) return ran.out;
    throw new Error(`${argv.join(' ')}: ${ran?.err}${ran?.out}\n${stdin}`);
  }

  /** Rule counters, connections, what bridges learned. */
  read(plan: Plan, backend: Backend): Promise<Reading> {
    return readHost(this.#agent, plan, backend);
  }
}
