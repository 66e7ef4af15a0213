/**
 * A plan epoch a second: policies change while traffic goes on. Each epoch renders the cluster's
 * nodes under the other of two policy sets, which differ in one policy, has the engine take the new
 * plans (`CompiledEngine.renew`: connections go on), and sends one second's packets: of connections
 * that are open, and of new ones that the policy decides on.
 *
 * What a change costs is rendering, lowering, cutting classes and walking each combination of facts
 * once more; it is measured together with the packets, and apart from them.
 * @module
 */
import { podHost } from '../src/dataplane/dataplane.ts';
import { InternalError } from '../src/diagnostic/diagnostic.ts';
import type { CompiledEngine, NativeBatch } from '../src/engine/compiled.ts';
import type { ReferenceEngine } from '../src/engine/reference.ts';
import type { Topology } from '../src/engine/topology.ts';
import { injectionOf, stamp, toBatch } from '../src/lab/bench/batch.ts';
import { enginesOn } from '../src/lab/bench/bench-world.ts';
import { Digest, type Measured, type Sample } from '../src/lab/bench/measure.ts';
import { type Pairs, type Party, type Sent, Talks } from '../src/lab/bench/talks.ts';
import { World, type WorldInput } from '../src/lab/world.ts';
import { OPEN_PORT } from './clusters.ts';

const PAIRS = 64;
const SECOND_NS = 1e9;
const START_NS = 1e15;
/** Epochs and packets of each that both engines are asked about. */
const CHECKED_EPOCHS = 3;
const CHECKED = 1500;

export interface EpochOptions {
  readonly connections: number;
  /** Of one second, and how many of them open connections. */
  readonly packets: number;
  readonly opening: number;
  readonly samples: number;
  readonly seed: number;
  readonly clock: () => bigint;
}

export interface EpochFigures {
  /** Of processor time, medians: plans rendered, and all packets of the second. */
  readonly renderMs: number;
  readonly packetsMs: number;
  /** The same packets when nothing changes. */
  readonly quietMs: number;
  readonly walkedAnEpoch: number;
}

/** Both worlds of a cluster: under all of its policies, and without the last. */
export class Epochs {
  readonly topology: Topology;
  readonly pairs: Pairs;
  readonly #input: WorldInput;
  #now: World;
  #count = 0;

  constructor(input: WorldInput) {
    this.#input = input;
    this.#now = new World(input);
    this.topology = { ...this.#now.topology, hosts: (name) => this.#now.topology.hosts(name) };
    this.pairs = pairsOver(this.#now);
  }

  /** Render the next epoch's plans; the hosts that they are of. */
  next(): readonly string[] {
    this.#count += 1;
    const { policies } = this.#input;
    const without = this.#count % 2 === 1;
    this.#now = new World({
      ...this.#input,
      policies: without ? policies.slice(0, -1) : policies,
    });
    return this.#now.network.nodes.map(({ host }) => host);
  }
}

/** Pairs of pods all over the cluster. */
function pairsOver({ cluster }: World): Pairs {
  const { pods } = cluster;
  const party = (at: number): Party => {
    const pod = pods[at % pods.length];
    const address = pod?.addresses.find(({ family }) => family === 4);
    if (pod === undefined || address === undefined) throw new RangeError('pods with IPv4');
    return { address, entry: { as: 'local', host: podHost(pod) } };
  };
  const step = Math.floor(pods.length / PAIRS);
  return Array.from({ length: PAIRS }, (_, i) => [party(i * step), party(i * step + 1)] as const);
}

interface Second {
  readonly talks: Talks;
  readonly open: number;
}

/** The packets of a second: of the open connections in a drawn order, new ones among them. */
function secondOf({ talks, open }: Second, epoch: number, options: EpochOptions, count: number) {
  const { packets, opening } = options;
  const every = Math.floor(packets / opening);
  let state = (options.seed + epoch * 7919) >>> 0 || 1;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
  return Array.from({ length: count }, (_, i): Sent => {
    if (i % every === 0) return talks.there(open + epoch * opening + Math.floor(i / every));
    const talk = random() % open;
    return random() & 1 ? talks.there(talk) : talks.back(talk);
  });
}

function talksOf(pairs: Pairs, options: EpochOptions): Second {
  const { connections: open, opening, samples } = options;
  const total = open + opening * (samples * 2 + CHECKED_EPOCHS + 2);
  const talks = new Talks(pairs, {
    ...{ connections: total, ports: [OPEN_PORT], protocol: 'udp', payload: 12, isOneWay: false },
  });
  return { talks, open };
}

/** What an engine says of the first packets of some epochs. */
function digestOf(
  epochs: Epochs,
  engine: CompiledEngine | ReferenceEngine,
  options: EpochOptions,
): string {
  // All connections open, and new ones as often as not.
  const few = { ...options, connections: PAIRS, packets: CHECKED, opening: CHECKED / 2 };
  const second = talksOf(epochs.pairs, few);
  const digest = new Digest();
  let nowNs = START_NS;
  const send = (sent: Sent) => {
    nowNs += 1000;
    digest.add(engine.inject(injectionOf(sent, 1, nowNs)));
  };
  for (const sent of second.talks.openings(0, second.open)) send(sent);
  for (let epoch = 0; epoch < CHECKED_EPOCHS; epoch++) {
    if (epoch > 0) engine.renew(epochs.next());
    nowNs = START_NS + epoch * SECOND_NS;
    for (const sent of secondOf(second, epoch, few, CHECKED)) send(sent);
  }
  return digest.toString();
}

/** @throws InternalError when the engines differ: there is no figure then */
export function measureEpochs(
  input: WorldInput,
  options: EpochOptions,
): Measured & { readonly epochs: EpochFigures } {
  const digests = ['reference', 'compiled'].map((kind) => {
    const epochs = new Epochs(input);
    const engines = enginesOn(epochs.topology, options.seed, {});
    return digestOf(
      epochs,
      kind === 'compiled' ? engines.compiled() : engines.reference(),
      options,
    );
  });
  const [digest = '', got] = digests;
  if (digest !== got) throw new InternalError(`reference ${digest}, compiled ${got}`);
  return { ...measured(input, options), digest, checked: CHECKED_EPOCHS * CHECKED };
}

function measured(input: WorldInput, options: EpochOptions) {
  const { clock, samples: wanted, packets } = options;
  const epochs = new Epochs(input);
  const sizes = { connections: options.connections * 2 + options.opening * (wanted * 2 + 4) };
  const engine = enginesOn(epochs.topology, options.seed, sizes).compiled();
  const second = talksOf(epochs.pairs, options);
  const outcomes = new Map<string, number>();
  const send = (sent: readonly Sent[], batch: NativeBatch) => {
    engine.injectBatch(
      batch,
      (i) => injectionOf(sent[i] ?? second.talks.there(0), 1, batch.times[i] ?? 0),
      (_, { outcome }) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1),
    );
  };
  const opening = [...second.talks.openings(0, second.open)];
  const first = toBatch(opening, (place) => engine.entryOf(place));
  stamp(first, START_NS);
  send(opening, first);
  const walks = () => {
    const { moved, slow } = engine.statistics();
    return { moved, walked: Object.values(slow).reduce((sum, n) => sum + n, 0) };
  };
  const took = (act: () => void) => {
    const began = clock();
    act();
    return Number(clock() - began);
  };
  const samples: Sample[] = [];
  const times = { render: [] as number[], packets: [] as number[], quiet: [] as number[] };
  let before = walks();
  let walked = 0;
  // Each epoch has a second that begins with a change, and one in which nothing changes.
  for (let epoch = 0; epoch <= wanted; epoch++) {
    if (epoch === 1) before = walks();
    for (const changes of [true, false]) {
      const at = epoch * 2 + Number(!changes);
      const sent = secondOf(second, at, options, packets);
      const batch = toBatch(sent, (place) => engine.entryOf(place));
      stamp(batch, START_NS + (at + 1) * SECOND_NS, SECOND_NS / packets / 2);
      const rendering = changes ? took(() => engine.renew(epochs.next())) : 0;
      const start = walks().walked;
      const moving = took(() => send(sent, batch));
      if (epoch === 0) continue;
      if (!changes) times.quiet.push(moving);
      if (!changes) continue;
      walked += walks().walked - start;
      times.render.push(rendering);
      times.packets.push(moving);
      samples.push({ packets, ns: rendering + moving });
    }
  }
  const { slow, ...others } = engine.statistics();
  const after = walks();
  const ms = (all: readonly number[]) =>
    ([...all].sort((a, b) => a - b)[all.length >> 1] ?? 0) / 1e6;
  return {
    samples,
    counters: { ...slow, ...others },
    hits: { moved: after.moved - before.moved, walked: after.walked - before.walked },
    outcomes: Object.fromEntries(outcomes),
    epochs: {
      renderMs: ms(times.render),
      packetsMs: ms(times.packets),
      quietMs: ms(times.quiet),
      walkedAnEpoch: Math.round(walked / Math.max(1, samples.length)),
    },
  };
}
