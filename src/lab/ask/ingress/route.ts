/**
 * Which backend a proxy picks for a host and a path, by the Ingresses that it serves.
 *
 * Truth: the Ingress API (networking/v1 types.go: hosts, PathType); ingress-nginx
 * internal/ingress/controller (one server a host, wildcards of one label, default backends); AGIC
 * docs (paths that end in `*`).
 * @module
 */
import type { Ingress, IngressBackend, IngressPath } from '../../../cluster/ingress/model.ts';

export type ProxyKind = 'nginx' | 'gateway';

/** What a proxy does with a request. */
export type Route =
  | { readonly kind: 'backend'; readonly ingress: Ingress; readonly backend: IngressBackend }
  /** No rule: the proxy answers itself. */
  | { readonly kind: 'none' }
  /** An annotation makes it depend on more than host and path. */
  | { readonly kind: 'unclear'; readonly ingress: Ingress; readonly annotation: string };

/** Annotations under which a request goes elsewhere, or nowhere, by what we do not emulate. */
const UNCLEAR = [
  'nginx.ingress.kubernetes.io/use-regex',
  'nginx.ingress.kubernetes.io/rewrite-target',
  'nginx.ingress.kubernetes.io/canary',
  'nginx.ingress.kubernetes.io/app-root',
  'nginx.ingress.kubernetes.io/permanent-redirect',
  'nginx.ingress.kubernetes.io/temporal-redirect',
  'nginx.ingress.kubernetes.io/default-backend',
  'nginx.ingress.kubernetes.io/server-alias',
  'nginx.ingress.kubernetes.io/whitelist-source-range',
  'nginx.ingress.kubernetes.io/allowlist-source-range',
  'nginx.ingress.kubernetes.io/denylist-source-range',
  'nginx.ingress.kubernetes.io/auth-url',
  'nginx.ingress.kubernetes.io/configuration-snippet',
  'nginx.ingress.kubernetes.io/server-snippet',
  'appgw.ingress.kubernetes.io/backend-path-prefix',
  'appgw.ingress.kubernetes.io/rewrite-rule-set',
  'appgw.ingress.kubernetes.io/override-frontend-port',
  'appgw.ingress.kubernetes.io/hostname-extension',
];

/** Whether a rule's host speaks of a host; an empty one speaks of all. */
export function hostRank(rule: string, host: string): 0 | 1 | 2 | 3 {
  const asked = host.toLowerCase().replace(/\.$/, '');
  if (rule === '') return 1;
  if (rule === asked) return 3;
  const isWild = rule.startsWith('*.') && asked.slice(asked.indexOf('.') + 1) === rule.slice(2);
  return isWild && asked.includes('.') ? 2 : 0;
}

/** Whether an Ingress has a rule that names the host, by itself or with a wildcard. */
export function namesHost(ingress: Ingress, host: string): boolean {
  return ingress.rules.some((rule) => hostRank(rule.host, host) > 1);
}

interface Candidate {
  readonly ingress: Ingress;
  readonly path: IngressPath;
}

/** Route a request among the Ingresses of one proxy. */
export function routeOf(
  ingresses: readonly Ingress[],
  host: string,
  path: string,
  kind: ProxyKind,
): Route {
  const servers = ingresses.flatMap((ingress) =>
    ingress.rules.map((rule) => ({ ingress, rule, rank: hostRank(rule.host, host) })),
  );
  const best = Math.max(0, ...servers.map((s) => s.rank));
  const server = best === 0 ? [] : servers.filter((s) => s.rank === best);
  for (const { ingress } of server) {
    const annotation = unclearBy(ingress);
    if (annotation !== undefined) return { kind: 'unclear', ingress, annotation };
  }
  const paths = server.flatMap(({ ingress, rule }) =>
    rule.paths.map((one): Candidate => ({ ingress, path: one })),
  );
  const taken = bestPath(paths, path, kind);
  if (taken !== null) return settled(taken.ingress, taken.path.backend);
  const fallbacks = [
    ...server.map((s) => s.ingress),
    ...ingresses.filter((ingress) => ingress.rules.length === 0),
  ];
  const fallback = fallbacks.find((ingress) => ingress.defaultBackend !== undefined);
  if (fallback?.defaultBackend === undefined) return { kind: 'none' };
  return settled(fallback, fallback.defaultBackend);
}

function settled(ingress: Ingress, backend: IngressBackend): Route {
  const annotation = unclearBy(ingress);
  if (annotation !== undefined) return { kind: 'unclear', ingress, annotation };
  return { kind: 'backend', ingress, backend };
}

function unclearBy({ annotations }: Ingress): string | undefined {
  return UNCLEAR.find((name) => (annotations[name] ?? 'false') !== 'false');
}

/** Exact before prefix, longer before shorter; of equals the first. */
function bestPath(
  candidates: readonly Candidate[],
  path: string,
  kind: ProxyKind,
): Candidate | null {
  let best: { readonly candidate: Candidate; readonly weight: number } | null = null;
  for (const candidate of candidates) {
    const weight = pathWeight(candidate.path, path, kind);
    if (weight < 0 || (best !== null && weight <= best.weight)) continue;
    best = { candidate, weight };
  }
  return best?.candidate ?? null;
}

const EXACT = 1e6;

/** How well a path fits; below 0: not at all. */
function pathWeight(rule: IngressPath, path: string, kind: ProxyKind): number {
  const own = rule.path === '' ? '/' : rule.path;
  switch (rule.pathType) {
    case 'Exact':
      return own === path ? EXACT : -1;
    case 'Prefix':
      return hasPrefix(own, path) ? own.length : -1;
    case 'ImplementationSpecific': {
      const isOpen = own.endsWith('*');
      if (kind === 'gateway' && !isOpen && own !== '/') return own === path ? EXACT : -1;
      const start = isOpen && kind === 'gateway' ? own.slice(0, -1) : own;
      return path.startsWith(start) ? start.length : -1;
    }
  }
}

/** Prefix element by element: `/a` holds for `/a` and `/a/b`, not for `/ab`. */
function hasPrefix(prefix: string, path: string): boolean {
  const bare = prefix.replace(/\/+$/, '');
  return path === bare || path.startsWith(`${bare}/`) || bare === '';
}
