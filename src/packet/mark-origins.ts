/**
 * Who set a mark bit of a packet: the origins of the rules that did, in order, each once.
 *
 * A packet that ten thousand policies select is marked by all of them, and most packets are never
 * asked: origins are listed when somebody asks. Equal histories are one object, so that their lists
 * are made once.
 * @module
 */
import type { Provenance } from '../netfilter/rule.ts';

/** Origins of one rule, or of many that are listed when asked for. */
export type OriginPart = readonly Provenance[] | { origins(): readonly Provenance[] };

export class MarkOrigins {
  static readonly #first = new WeakMap<OriginPart, MarkOrigins>();
  readonly #before: MarkOrigins | null;
  readonly #part: OriginPart;
  #next: WeakMap<OriginPart, MarkOrigins> | null = null;
  #list: readonly Provenance[] | null = null;

  private constructor(before: MarkOrigins | null, part: OriginPart) {
    this.#before = before;
    this.#part = part;
  }

  /** The history `before`, and then these. */
  static after(before: MarkOrigins | undefined, part: OriginPart): MarkOrigins {
    const known = before === undefined ? MarkOrigins.#first : before.#furtherOn();
    const found = known.get(part);
    if (found !== undefined) return found;
    const made = new MarkOrigins(before ?? null, part);
    known.set(part, made);
    return made;
  }

  #furtherOn(): WeakMap<OriginPart, MarkOrigins> {
    this.#next ??= new WeakMap();
    return this.#next;
  }

  list(): readonly Provenance[] {
    if (this.#list !== null) return this.#list;
    const parts: (readonly Provenance[])[] = [];
    for (let at: MarkOrigins | null = this; at !== null; at = at.#before) {
      if (at.#list !== null) {
        parts.push(at.#list);
        break;
      }
      parts.push('origins' in at.#part ? at.#part.origins() : at.#part);
    }
    this.#list = mergeOrigins(parts.reverse());
    return this.#list;
  }
}

/** All of them in order, each once. A list that holds all that follow is itself the answer. */
export function mergeOrigins(lists: readonly (readonly Provenance[])[]): readonly Provenance[] {
  const filled = lists.filter((list) => list.length > 0);
  const [first] = filled;
  if (first === undefined || filled.length === 1) return first ?? [];
  const known = new Set<string>();
  const isNew = (origin: Provenance) => known.size < known.add(keyOf(origin)).size;
  const [own, ...further] = filled.map((list) => list.filter(isNew));
  const added = further.flat();
  return added.length === 0 ? first : [...(own ?? []), ...added];
}

function keyOf({ object, direction, effect, field, source }: Provenance): string {
  return JSON.stringify([object, direction, effect, field, source]);
}
