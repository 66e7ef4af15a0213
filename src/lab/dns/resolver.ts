/**
 * How a pod turns a name into addresses: the search list and `ndots` of the resolv.conf that
 * kubelet writes for `dnsPolicy: ClusterFirst`, tried as resolv.conf(5) says.
 *
 * Truth: kubernetes pkg/kubelet/network/dns/dns.go (`generateSearchesForDNSClusterFirst`,
 * `defaultDNSOptions` ndots:5); glibc and musl go on through the list where a name has no record
 * of the wanted type.
 * @module
 */
import type { Address, Family } from '../../wire/address.ts';
import { type Answer, CLUSTER_DOMAIN, type ClusterZone } from './zone.ts';

const NDOTS = 5;
/** CNAMEs that a server follows before it gives up. */
const MOST_ALIASES = 8;

export interface Resolution {
  /** The names asked, in order; the last one gave the answer. */
  readonly asked: readonly string[];
  readonly addresses: readonly Address[];
  /** `elsewhere`: a server that nobody emulates would have to say. */
  readonly end: 'found' | 'elsewhere';
}

/** The names that a resolver tries for `host`, in order. */
export function candidates(
  host: string,
  namespace: string,
  domain = CLUSTER_DOMAIN,
): readonly string[] {
  if (host.endsWith('.')) return [host.slice(0, -1)];
  const searched = [`${namespace}.svc.${domain}`, `svc.${domain}`, domain].map(
    (suffix) => `${host}.${suffix}`,
  );
  const dots = host.split('.').length - 1;
  return dots >= NDOTS ? [host, ...searched] : [...searched, host];
}

/** Resolve a name as a pod of `namespace` does, to addresses of these families. */
export function resolve(
  zone: ClusterZone,
  host: string,
  namespace: string,
  families: readonly Family[],
): Resolution {
  const asked: string[] = [];
  for (const name of candidates(host, namespace)) {
    asked.push(name);
    const found = families.map((family) => follow(zone, name, family));
    const addresses = found.flatMap((a) => (a.kind === 'addresses' ? a.addresses : []));
    if (addresses.length > 0) return { asked, addresses, end: 'found' };
    if (found.some((a) => a.kind === 'elsewhere')) break;
  }
  return { asked, addresses: [], end: 'elsewhere' };
}

/** The answer to a question, aliases followed. */
function follow(zone: ClusterZone, name: string, family: Family): Answer {
  let at = name;
  for (let i = 0; i < MOST_ALIASES; i++) {
    const answer = zone.answer(at, family === 4 ? 'A' : 'AAAA');
    if (answer.kind !== 'alias') return answer;
    at = answer.name;
  }
  return { kind: 'noName' };
}
