/**
 * A proxy in the path, in words: both connections, and what becomes of the client's address.
 * @module
 */
import type { Leg, ProxyReport } from '../../lab/ask/ingress/proxied.ts';

export function legText(leg: Leg): string {
  return leg === 'client' ? 'client to proxy' : 'proxy to backend';
}

/** Several lines, each ended. */
export function proxyText(p: ProxyReport): string {
  const rule = p.ingress === null ? 'no rule of an Ingress' : p.ingress;
  const client = p.clientVerdict ?? 'not judged (both ends are outside the cluster)';
  const sent = p.redirectedTo === null ? '' : `, sent on to port ${p.redirectedTo} for TLS`;
  const backends = p.backends.map((b) => {
    const who = b.name === null ? b.to : `${b.to} (${b.name})`;
    return `  proxy to backend: ${b.from} > ${who}  ${b.verdict}${b.policy ? ` by ${b.policy}` : ''}\n`;
  });
  return [
    `${p.host}${p.path} by ${p.proxy}: ${rule}${p.backend === null ? '' : `, ${p.backend}`}\n`,
    `  client to proxy: ${client}${sent}\n`,
    ...backends,
    `  ${p.clientAddress}\n`,
  ].join('');
}
