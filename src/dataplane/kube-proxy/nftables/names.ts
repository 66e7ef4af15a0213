/**
 * Names of kube-proxy's chains and sets in nftables mode: what they are for, behind the head of its
 * hash.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/nftables/proxier.go` `hashAndTruncate`,
 * `servicePortChainNameBase`, `servicePortEndpointChainNameBase`.
 * @module
 */
import { createHash } from 'node:crypto';
import type { ProxyEndpoint } from '../services/endpoints.ts';
import type { ProxyPort } from '../services/service-port.ts';

/** RFC 4648 section 6. */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const DIGITS = 8;
/** The longest name that knftables takes, less that of the longest prefix. */
const LONGEST = 240;

export interface NftPortChains {
  readonly cluster: string;
  readonly local: string;
  readonly external: string;
  readonly firewall: string;
}

/** The chains of one port of one Service. */
export function nftPortChains(port: ProxyPort): NftPortChains {
  const base = hashed(portText(port));
  return {
    cluster: `service-${base}`,
    local: `local-${base}`,
    external: `external-${base}`,
    firewall: `firewall-${base}`,
  };
}

/** The chain of an endpoint, and the set of clients that keep to it. */
export function nftEndpointNames(
  port: ProxyPort,
  endpoint: ProxyEndpoint,
): { readonly chain: string; readonly affinity: string } {
  const address = endpoint.text.replace(/:\d+$/, '').replaceAll(/[[\]]/g, '');
  const place = `${address.replaceAll(':', '.')}/${endpoint.port}`;
  const base = hashed(`${portText(port)}__${place}`);
  return { chain: `endpoint-${base}`, affinity: `affinity-${base}` };
}

function portText({ service, port }: ProxyPort): string {
  return [service.namespace, service.name, port.protocol.toLowerCase(), port.name].join('/');
}

function hashed(text: string): string {
  const name = `${head(text)}-${text}`;
  return name.length > LONGEST ? `${name.slice(0, LONGEST - 3)}...` : name;
}

/** The first eight base-32 digits of SHA-256: five bytes. */
function head(text: string): string {
  const bytes = createHash('sha256').update(text).digest();
  const bits = BigInt(`0x${bytes.subarray(0, (DIGITS * 5) / 8).toString('hex')}`);
  let digits = '';
  for (let i = DIGITS - 1; i >= 0; i--) digits += BASE32[Number((bits >> BigInt(i * 5)) & 31n)];
  return digits;
}
