/**
 * Trails → journeys: which copy of a packet is the one that is reported, and what it went through.
 * @module
 */
import { InternalError } from '../diagnostic/diagnostic.ts';
import type { Ending, Trail } from '../node/trail.ts';
import type { GeneratedPacket, Injection, Journey } from './engine.ts';

interface Leaf {
  readonly trail: Trail;
  readonly ending: Ending;
}

/** The journey of a whole trail: that of its most telling copy, the others beside it. */
export function journeyOf(root: Trail): Journey {
  const leaves = collectLeaves(root);
  const primary = leaves.reduce((best, leaf) => (rank(leaf) < rank(best) ? leaf : best));
  const shown = pathOf(primary.trail);
  const copies = leaves
    .filter((leaf) => leaf !== primary)
    .map((leaf) => describe(leaf, new Set(shown), []));
  return describe(primary, new Set(), copies);
}

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
  const generated = path
    .filter((part) => !shared.has(part))
    .flatMap((part) => part.generated)
    .map(
      (made): GeneratedPacket => ({
        kind: made.kind,
        from: made.from,
        journey: journeyOf(made.trail),
      }),
    );
  return {
    outcome: ending.outcome,
    reason: ending.reason,
    decision: trail.decision,
    heldForReassembly: trail.heldForReassembly,
    end: { host: ending.host, device: ending.device },
    packet: ending.packet,
    frame: ending.frame,
    steps: path.length === 1 ? trail.steps : path.flatMap((part) => part.steps),
    generated,
    copies,
    forgiven: path.flatMap((part) => part.forgiven),
    hosts: path.flatMap((part) => part.hosts),
    crossings: path.length === 1 ? trail.crossings : path.flatMap((part) => part.crossings),
  };
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
