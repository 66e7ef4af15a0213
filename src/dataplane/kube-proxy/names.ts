/**
 * Names of kube-proxy's chains: a prefix, and the head of a hash of what the chain is for, because
 * a chain has at most 28 characters.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/iptables/proxier.go` `portProtoHash`,
 * `servicePortEndpointChainName`; pkg/proxy/types.go `ServicePortName.String`.
 * @module
 */
import { createHash } from 'node:crypto';
import type { TransportProtocol } from '../../cluster/model.ts';

const DIGITS = 16;
/** RFC 4648 section 6. */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Chains of one port of one Service. */
export interface PortChains {
  /** Endpoints by traffic policy Cluster, and by Local. */
  readonly cluster: string;
  readonly local: string;
  /** What comes from outside the cluster, and what `loadBalancerSourceRanges` lets through. */
  readonly external: string;
  readonly firewall: string;
}

/** `NAMESPACE/NAME:PORT`, or `NAMESPACE/NAME` for a port without name. */
export function servicePortName(namespace: string, name: string, port: string): string {
  return port === '' ? `${namespace}/${name}` : `${namespace}/${name}:${port}`;
}

/** The chains of the port called `name`. */
export function portChains(name: string, protocol: TransportProtocol): PortChains {
  const hash = head(name + protocol.toLowerCase());
  return {
    cluster: `KUBE-SVC-${hash}`,
    local: `KUBE-SVL-${hash}`,
    external: `KUBE-EXT-${hash}`,
    firewall: `KUBE-FW-${hash}`,
  };
}

/** The chain of one endpoint (`ADDRESS:PORT`) of the port called `name`. */
export function endpointChain(name: string, protocol: TransportProtocol, endpoint: string): string {
  return `KUBE-SEP-${head(name + protocol.toLowerCase() + endpoint)}`;
}

/** The first sixteen base-32 digits of SHA-256: ten bytes. */
function head(text: string): string {
  const bytes = createHash('sha256').update(text).digest();
  let bits = 0n;
  for (let i = 0; i < (DIGITS * 5) / 8; i++) bits = (bits << 8n) | BigInt(bytes.readUInt8(i));
  let digits = '';
  for (let i = DIGITS - 1; i >= 0; i--) digits += BASE32[Number((bits >> BigInt(i * 5)) & 31n)];
  return digits;
}
