/**
 * Which backend a proxy picks for a host and a path, by the Ingresses that it serves.
 *
 * Truth: the Ingress API (networking/v1 types.go: hosts, PathType); ingress-nginx
 * internal/ingress/controller (one server a host, wildcards of one label, default backends) and
 * docs/user-guide/nginx-configuration/annotations.md; AGIC docs (paths that end in `*`,
 * `hostname-extension`). A `rewrite-target` changes what the backend is asked, not who is.
 * @module
 */
import type { Ingress, IngressBackend, IngressPath } from '../../../cluster/ingress/model.ts';
import { byExpression, type Candidate, isRegexServer, nginxAnnotation } from './nginx-paths.ts';

export type ProxyKind = 'nginx' | 'gateway';

/** What a proxy does with a request. */
export type Route =
  | { readonly kind: 'backend'; readonly ingress: Ingress; readonly backend: IngressBackend }
  /** No rule: the proxy answers itself. */
  | { readonly kind: 'none' }
  /** An annotation makes it depend on more than host and path. */
  | { readonly kind: 'unclear'; readonly ingress: Ingress; readonly annotation: string };

/** Annotations that change what a whole host's requests come to, in ways that are not emulated. */
const UNCLEAR_SERVER = [
  'nginx.ingress.kubernetes.io/canary',
  'nginx.ingress.kubernetes.io/server-snippet',
];

/** Annotations that change it for their own paths. */
const UNCLEAR = [
  'nginx.ingress.kubernetes.io/permanent-redirect',
  'nginx.ingress.kubernetes.io/temporal-redirect',
  'nginx.ingress.kubernetes.io/auth-url',
  'nginx.ingress.kubernetes.io/configuration-snippet',
  'appgw.ingress.kubernetes.io/rewrite-rule-set',
  'appgw.ingress.kubernetes.io/rewrite-rule-set-custom-resource',
  'appgw.ingress.kubernetes.io/override-frontend-port',
];

/** Whether a rule's host speaks of a host; an empty one speaks of all. */
export function hostRank(rule: string, host: string): 0 | 1 | 2 | 3 {
  const asked = host.toLowerCase().replace(/\.$/, '');
  if (rule === '') return 1;
  if (rule === asked) return 3;
  const isWild = rule.startsWith('*.') && asked.slice(asked.indexOf('.') + 1) === rule.slice(2);
  return isWild && asked.includes('.') ? 2 : 0;
}

/** Whether an Ingress names the host: in a rule, with a wildcard, or as an alias of its hosts. */
export function namesHost(ingress: Ingress, host: string): boolean {
  return (
    ingress.rules.some((rule) => hostRank(rule.host, host) > 1) ||
    aliasesOf(ingress).some((alias) => hostRank(alias, host) > 1)
  );
}

/** Further names of an Ingress' hosts; expressions (`~…`) are left out. */
function aliasesOf(ingress: Ingress): readonly string[] {
  const written = [
    nginxAnnotation(ingress, 'server-alias'),
    ingress.annotations['appgw.ingress.kubernetes.io/hostname-extension'] ?? '',
  ];
  const names = written.flatMap((list) => list.split(',')).map((n) => n.trim().toLowerCase());
  return names.filter((name) => name !== '' && !name.startsWith('~'));
}

interface Served {
  readonly ingress: Ingress;
  readonly paths: readonly IngressPath[];
}

/** The rules of the host that speaks best of the asked one; aliases where no rule names it. */
function serverOf(ingresses: readonly Ingress[], host: string): readonly Served[] {
  const all = ingresses.flatMap((ingress) =>
    ingress.rules.map(({ host: own, paths }) => ({ ingress, paths, rank: hostRank(own, host) })),
  );
  const best = Math.max(0, ...all.map((s) => s.rank));
  if (best < 3) {
    const aliased = all.filter(({ ingress }) =>
      aliasesOf(ingress).some((alias) => hostRank(alias, host) > best),
    );
    if (aliased.length > 0) return aliased;
  }
  return best === 0 ? [] : all.filter((s) => s.rank === best);
}

/** Route a request among the Ingresses of one proxy. */
export function routeOf(
  ingresses: readonly Ingress[],
  host: string,
  path: string,
  kind: ProxyKind,
): Route {
  const server = serverOf(ingresses, host);
  for (const { ingress } of server) {
    const annotation = annotatedBy(ingress, UNCLEAR_SERVER);
    if (annotation !== undefined) return { kind: 'unclear', ingress, annotation };
  }
  const paths = server.flatMap(({ ingress, paths: own }) =>
    own.map((one): Candidate => ({ ingress, path: one })),
  );
  const found =
    kind === 'nginx' && isRegexServer(paths)
      ? byExpression(paths, path)
      : bestPath(paths, path, kind);
  if (found !== null && 'unclear' in found) {
    return { kind: 'unclear', ingress: found.unclear.ingress, annotation: 'use-regex' };
  }
  if (found !== null) {
    const root = kind === 'nginx' ? nginxAnnotation(found.ingress, 'app-root') : '';
    // The client is sent on, and asks again.
    if (path === '/' && root.startsWith('/') && root !== '/') {
      return routeOf(ingresses, host, root, kind);
    }
    return settled(found.ingress, found.path.backend);
  }
  const fallbacks = [
    ...server.map((s) => s.ingress),
    ...ingresses.filter((ingress) => ingress.rules.length === 0),
  ];
  const fallback = fallbacks.find((ingress) => ingress.defaultBackend !== undefined);
  if (fallback?.defaultBackend === undefined) return { kind: 'none' };
  return settled(fallback, fallback.defaultBackend);
}

function settled(ingress: Ingress, backend: IngressBackend): Route {
  const annotation = annotatedBy(ingress, UNCLEAR);
  if (annotation !== undefined) return { kind: 'unclear', ingress, annotation };
  // A whole URL for a target makes it a redirect.
  if (/^(https?:|\$scheme)/.test(nginxAnnotation(ingress, 'rewrite-target'))) {
    return { kind: 'unclear', ingress, annotation: 'rewrite-target' };
  }
  return { kind: 'backend', ingress, backend };
}

function annotatedBy({ annotations }: Ingress, names: readonly string[]): string | undefined {
  return names.find((name) => (annotations[name] ?? 'false') !== 'false');
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
