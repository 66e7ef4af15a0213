/**
 * Where the clients of a proxy find it: what a name server outside the cluster answers for a host
 * that an Ingress names, and where the proxy sends them on to.
 * @module
 */
import type { Cluster } from '../../../cluster/model.ts';
import type { Address } from '../../../wire/address/address.ts';
import type { Ends } from '../exchange.ts';
import type { Front } from './fronts.ts';
import { namesHost } from './route.ts';

export interface Published {
  readonly addresses: readonly Address[];
  readonly port: number | undefined;
  /** Whether clients take any of the addresses (nodes), or the first. */
  readonly any: boolean;
}

/** Addresses of a proxy as its host's name gives them; null when none is known. */
export function publishedAt(
  { nodes }: Pick<Cluster, 'nodes'>,
  front: Front,
  port: number | undefined,
): Published | null {
  if (front.kind === 'gateway') {
    const { frontends } = front.gateway;
    const told = front.ingresses.flatMap((i) => i.addresses);
    const addresses = told.length > 0 ? told : frontends;
    return addresses.length === 0 ? null : { addresses, port, any: false };
  }
  const { service } = front;
  const [first] = [service.loadBalancerIps, service.externalIps].filter((a) => a.length > 0);
  if (first !== undefined) return { addresses: first, port, any: false };
  if (service.type !== 'NodePort') return null;
  const own = service.ports.find((p) => p.protocol === 'TCP' && p.port === port);
  const isNodePort = service.ports.some((p) => p.nodePort === port);
  const nodePort = own?.nodePort ?? (isNodePort ? port : undefined);
  const addresses = nodes.flatMap((node) => node.addresses);
  return nodePort === undefined ? null : { addresses, port: nodePort, any: true };
}

const REDIRECT = ['ssl-redirect', 'force-ssl-redirect'] as const;
const PREFIX = 'nginx.ingress.kubernetes.io/';
const GATEWAY_REDIRECT = 'appgw.ingress.kubernetes.io/ssl-redirect';

/**
 * The port to which a client that came without TLS is sent on (308); null when it is not. NGINX
 * does so for hosts that have a certificate, unless an annotation says otherwise; a gateway where
 * one asks for it.
 */
export function redirectPort(front: Front, host: string, flow: Ends): number | null {
  const naming = front.ingresses.filter((i) => namesHost(i, host));
  if (front.kind === 'gateway') {
    const isSecured = naming.some(
      ({ annotations, tlsHosts }) =>
        annotations[GATEWAY_REDIRECT] === 'true' && tlsHosts.length > 0,
    );
    return isSecured && flow.dport === 80 ? 443 : null;
  }
  const isSentOn = naming.some(({ annotations, tlsHosts }) => {
    const [plain, forced] = REDIRECT.map((name) => annotations[PREFIX + name]);
    return forced === 'true' || (tlsHosts.includes(host.toLowerCase()) && plain !== 'false');
  });
  if (!isSentOn) return null;
  const { ports } = front.service;
  const asked = ports.find((p) => p.port === flow.dport || p.nodePort === flow.dport);
  const secure = ports.find((p) => p.port === 443 && p.protocol === 'TCP');
  if (secure === undefined || asked === undefined || asked === secure) return null;
  return (flow.to.kind === 'node' ? secure.nodePort : secure.port) ?? null;
}
