/**
 * The laboratory process (wire-agent.py) as an object: requests go out in order and are answered in
 * order, so the next plan can be drawn while the kernel works on this one.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** What the agent does in the host's namespace while it builds it. */
export type BuildStep =
  /** A veth pair for each device: this end on the host, the other in the world. */
  | { readonly kind: 'cables'; readonly devices: readonly string[] }
  /** Wait until the carrier of these devices was seen. */
  | { readonly kind: 'running'; readonly devices: readonly string[] }
  | { readonly kind: 'sysctls'; readonly values: Readonly<Record<string, string>> }
  | { readonly kind: 'run'; readonly argv: readonly string[]; readonly stdin?: string };

/** A frame at a port; `[start, offset]` of a checksum left to the device, or 0 and 0. */
export type AgentFrame = readonly [port: number, start: number, offset: number, hex: string];

/** A frame that came out; `start` is not 0 when its checksum was left open. */
export type HeardFrame = readonly [port: number, start: number, hex: string];

/** What came of a burst of frames. */
export interface Burst {
  readonly heard: readonly HeardFrame[];
  /** Connections that entered the host's table, in order (births.ts reads them). */
  readonly births: readonly string[];
  /** When the first frame was sent, in seconds of the kernel's monotonic clock. */
  readonly began: number;
}

export interface Ran {
  readonly rc: number;
  readonly out: string;
  readonly err: string;
}

/** A cable of a network: `[host, device, far host, far device]`. */
export type Cable = readonly [string, string, string, string];

/** A TCP connection to try. */
export type Attempt = readonly [host: string, address: string, port: number];

interface Answer {
  readonly error?: string;
  /** Seconds of the kernel's monotonic clock. */
  readonly began: number;
  readonly seconds: number;
  readonly heard?: readonly HeardFrame[];
  /** Netlink messages (births.ts). */
  readonly births?: readonly string[];
  readonly ran?: readonly Ran[];
  readonly outcomes?: readonly (string | null)[];
}

/** The source stands beside this file's source; compiled code runs from `OUT/test/…`. */
function script(): string {
  const here = import.meta.url;
  const compiled = here.replace(/\/[^/]+\/test\/differential\//, '/test/differential/');
  return fileURLToPath(new URL('wire-agent.py', compiled));
}

export class Agent {
  readonly #child: ChildProcess;
  readonly #waiting: { resolve: (a: Answer) => void; reject: (e: Error) => void }[] = [];
  #ended = false;

  /** `lane`: laboratories that work at the same time have different numbers, and processors. */
  constructor(lane = 0) {
    const child = spawn('/usr/bin/python3', ['-u', script(), String(lane)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      const next = this.#waiting.shift();
      if (answer.error === undefined) next?.resolve(answer);
      else next?.reject(new Error(answer.error));
    });
    child.on('exit', (code) => {
      this.#ended = true;
      for (const { reject } of this.#waiting) reject(new Error(`the agent ended with ${code}`));
    });
  }

  #ask(request: object): Promise<Answer> {
    if (this.#ended) return Promise.reject(new Error('the agent has ended'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
  }

  /** Fresh namespaces, built by these steps. */
  async build(steps: readonly BuildStep[]): Promise<void> {
    await this.#ask({ op: 'build', steps });
  }

  /** Send in order; everything that came out until the wires were known to be empty. */
  async burst(frames: readonly AgentFrame[]): Promise<readonly HeardFrame[]> {
    return (await this.timedBurst(frames)).heard;
  }

  /** The same, with all that came of it. */
  async timedBurst(frames: readonly AgentFrame[]): Promise<Burst> {
    const { heard = [], births = [], began } = await this.#ask({ op: 'burst', frames });
    return { heard, births, began };
  }

  async wait(seconds: number): Promise<void> {
    await this.#ask({ op: 'wait', seconds });
  }

  /** Run commands on the host, one after another; failures are the caller's to judge. */
  async run(commands: readonly (readonly string[])[], stdin = ''): Promise<readonly Ran[]> {
    return (await this.#ask({ op: 'run', commands, stdin })).ran ?? [];
  }

  /** Instead of one host and the world: a fresh namespace for each of these hosts. */
  async network(hosts: readonly string[]): Promise<void> {
    await this.#ask({ op: 'network', hosts });
  }

  /** Lay a network's cables, all at once. */
  async lay(links: readonly Cable[]): Promise<void> {
    await this.#ask({ op: 'links', links });
  }

  /** Take steps on a host of the network; cables are laid by `lay`. */
  async at(host: string, steps: readonly BuildStep[]): Promise<void> {
    await this.#ask({ op: 'steps', host, steps });
  }

  /**
   * Begin all connections, one after another, and let them come to rest. `OK` where the far end took
   * it, the error's name (`ECONNREFUSED`), or null where nothing came back.
   */
  async connect(attempts: readonly Attempt[]): Promise<readonly (string | null)[]> {
    return (await this.#ask({ op: 'connect', attempts })).outcomes ?? [];
  }

  close(): void {
    this.#child.stdin?.end();
  }
}
