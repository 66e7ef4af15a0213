/**
 * Which location of an NGINX server takes a path, as ingress-nginx writes locations.
 *
 * Plain servers: `= PATH` for Exact, `PATH/` and `= PATH` for Prefix, `PATH` for
 * ImplementationSpecific; the longest wins. As soon as one location of a host has `use-regex` or a
 * `rewrite-target`, every path of that host, whatever its type and Ingress, is a regular expression
 * `~* "^PATH"` (case ignored), and the first in order wins: longer paths before shorter ones, later
 * in the alphabet before earlier.
 *
 * Source: kubernetes/ingress-nginx internal/ingress/controller (`getBackendServers` sorts,
 * `updateServerLocations`, `needsRewrite`), template/template.go (`buildLocation`,
 * `enforceRegexModifier`), docs/user-guide/ingress-path-matching.md.
 * @module
 */
import type { Ingress, IngressPath } from '../../../cluster/ingress/model.ts';

/** A path of an Ingress. */
export interface Candidate {
  readonly ingress: Ingress;
  readonly path: IngressPath;
}

const PREFIX = 'nginx.ingress.kubernetes.io/';

/** An annotation of ingress-nginx; empty when it is not there. */
export function nginxAnnotation({ annotations }: Ingress, name: string): string {
  return annotations[PREFIX + name] ?? '';
}

/** Whether some location makes all of its host's paths regular expressions. */
export function isRegexServer(candidates: readonly Candidate[]): boolean {
  return candidates.some(({ ingress, path }) => {
    const target = nginxAnnotation(ingress, 'rewrite-target');
    const isRewritten = target !== '' && target !== ownPath(path);
    return isRewritten || nginxAnnotation(ingress, 'use-regex') === 'true';
  });
}

function ownPath({ path }: IngressPath): string {
  return path === '' ? '/' : path;
}

/**
 * The path that takes a request on a server of regular expressions: the first in NGINX' order; null
 * for none. `unclear` is an expression of PCRE that is not read here and that would be asked.
 */
export function byExpression(
  candidates: readonly Candidate[],
  asked: string,
): Candidate | null | { readonly unclear: Candidate } {
  const inOrder = [...candidates].sort((a, b) => order(ownPath(a.path), ownPath(b.path)));
  for (const candidate of inOrder) {
    const expression = expressionOf(ownPath(candidate.path));
    if (expression === null) return { unclear: candidate };
    if (expression.test(asked)) return candidate;
  }
  return null;
}

/** Longer first, then the later in the alphabet; equal paths stay as they are (oldest first). */
function order(a: string, b: string): number {
  if (a.length !== b.length) return b.length - a.length;
  return a === b ? 0 : a > b ? -1 : 1;
}

/** Of groups only plain, non-capturing and look-around ones mean the same to PCRE and here. */
const FOREIGN_GROUP = /\(\?(?!:|=|!|<=|<!)/;
/** Possessive quantifiers, classes by name, and escapes beyond those that both have. */
const FOREIGN = /[*+?}]\+|\[\[[:.=]|\\[^dDwWsSbBnrtfv\\/.^$|?*+()[\]{}\-"'#%&,:;<=>@_`~!]/;

/** The expression of a location; null when PCRE may read it otherwise. */
function expressionOf(path: string): RegExp | null {
  if (FOREIGN_GROUP.test(path) || FOREIGN.test(path)) return null;
  try {
    return new RegExp(`^${path}`, 'i');
  } catch {
    return null;
  }
}
