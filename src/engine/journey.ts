/**
 * Trails → journeys: which copy of a packet is the one that is reported, and what it went through.
 * @module
 */
import { InternalError } from '../diagnostic/diagnostic.ts';
import type { Ending, GeneratedTrail, Trail } from '../node/trail.ts';
import type { GeneratedPacket, Injection, Journey } from './engine.ts';

interface Leaf {
  readonly trail: Trail;
  readonly ending: Ending;
}

/** The journey of a whole trail: that of its most telling copy, the others beside it. */
export function journeyOf(root: Trail): Journey {
  const leaves = collectLeaves(root);
  if (leaves.length === 1) return describe(leaves[0], NOTHING_SHARED, []);
  const primary = leaves.reduce((best, leaf) => (rank(leaf) < rank(best) ? leaf : best));
  const shown = pathOf(primary.trail);
  const copies = leaves
    .filter((leaf) => leaf !== primary)
    .map((leaf) => describe(leaf, new Set(shown), []));
  return describe(primary, NOTHING_SHARED, copies);
}

const NOTHING_SHARED: ReadonlySet<Trail> = new Set();

function collectLeaves(trail: Trail): [Leaf, ...Leaf[]] {
  const found: Leaf[] = [];
  const visit = (at: Trail) => {
    if (at.ending !== null) found.push({ trail: at, ending: at.ending });
    for (const branch of at.branches) visit(branch);
  };
  visit(trail);
  const [first, ...rest] = found;
  if (first === undefined) throw new InternalError('every packet ends');
  return [first, ...rest];
}

/** Lower is more telling: the copy that reached its owner before copies that nobody wanted. */
function rank({ trail, ending }: Leaf): number {
  switch (ending.outcome) {
    case 'delivered':
      return 0;
    case 'exited':
      return 1;
    case 'consumed':
      return trail.heldForReassembly ? 5 : 2;
    case 'unknown':
      return 3;
    case 'dropped':
      return ending.reason === 'otherHost' ? 6 : 4;
  }
}

/** From the root down to this trail. */
function pathOf(trail: Trail): readonly Trail[] {
  const path: Trail[] = [];
  for (let at: Trail | null = trail; at !== null; at = at.parent) path.push(at);
  return path.reverse();
}

/** Packets that a shared part of the way caused are reported once, with the primary copy. */
function describe(leaf: Leaf, shared: ReadonlySet<Trail>, copies: readonly Journey[]): Journey {
  const { trail, ending } = leaf;
  const path = pathOf(trail);
  return {
    outcome: ending.outcome,
    reason: ending.reason,
    decision: trail.decision,
    heldForReassembly: trail.heldForReassembly,
    end: { host: ending.host, device: ending.device },
    packet: ending.packet,
    frame: ending.frame,
    steps: along(path, (part) => part.steps),
    generated: along(path, (part) => (shared.has(part) ? [] : part.generated)).map(generatedPacket),
    copies,
    forgiven: along(path, (part) => part.forgiven),
    hosts: along(path, (part) => part.hosts),
    crossings: along(path, (part) => part.crossings),
  };
}

/** What the parts of a way hold, one after the other; most ways have one part. */
function along<T>(path: readonly Trail[], pick: (part: Trail) => readonly T[]): readonly T[] {
  const [only] = path;
  return path.length === 1 && only !== undefined ? pick(only) : path.flatMap(pick);
}

function generatedPacket({ kind, from, trail }: GeneratedTrail): GeneratedPacket {
  return { kind, from, journey: journeyOf(trail) };
}

/** The journey of a packet whose host or device does not exist. */
export function nowhere(injection: Injection): Journey {
  const device = injection.as === 'local' ? '' : injection.device;
  return {
    outcome: 'dropped',
    reason: 'noSuchDevice',
    decision: { host: injection.host, stage: 'link-input' },
    heldForReassembly: false,
    end: { host: injection.host, device },
    packet: null,
    frame: null,
    steps: [],
    generated: [],
    copies: [],
    forgiven: [],
    hosts: [],
    crossings: [],
  };
}
