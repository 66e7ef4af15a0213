/**
 * The SNAT of pods that have a subnet of their own (dynamic pod subnet): DNS and the instance
 * metadata service know the node only, so requests to them leave with the node's address.
 *
 * Azure CNS `programSNATRules` (azure-container-networking `cns/restserver/internalapi_linux.go`,
 * cbd7560c): chain SWIFT-POSTROUTING, appended; before CNS did so the CNI wrote chain
 * SWIFT, whose rules it inserted and whose DNS rules took the network container's first address.
 * @module
 */
import { assert } from '../../diagnostic/diagnostic.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import { type Address, hostPrefix, type Prefix, parseAddress } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';

export const SWIFT_CHAIN = 'SWIFT-POSTROUTING';

const AZURE_DNS = literal('168.63.129.16');
const AZURE_IMDS = literal('169.254.169.254');

/** Append the chain: requests of `podSubnets` to DNS and IMDS take the node's `primary` address. */
export function renderSwift(
  builder: PlanBuilder,
  podSubnets: readonly Prefix[],
  primary: Address,
): void {
  builder.append(4, 'nat', 'POSTROUTING', { target: { kind: 'jump', chain: SWIFT_CHAIN } });
  builder.ensureChain(4, 'nat', SWIFT_CHAIN);
  for (const subnet of podSubnets) {
    builder.append(
      4,
      'nat',
      SWIFT_CHAIN,
      request(subnet, { to: AZURE_DNS, protocol: Protocol.udp, port: 53 }, primary),
      request(subnet, { to: AZURE_DNS, protocol: Protocol.tcp, port: 53 }, primary),
      request(subnet, { to: AZURE_IMDS, protocol: Protocol.tcp, port: 80 }, primary),
    );
  }
}

interface Service {
  readonly to: Address;
  readonly protocol: number;
  readonly port: number;
}

function request(from: Prefix, service: Service, primary: Address): RuleParts {
  const { to, protocol, port } = service;
  return {
    ip: {
      source: { value: from, negate: false },
      destination: { value: hostPrefix(to), negate: false },
      protocol: { value: protocol, negate: false },
    },
    matches: [
      {
        kind: 'addrtype',
        destination: { value: ['LOCAL'], negate: true },
        limitIfaceIn: false,
        limitIfaceOut: false,
      },
      {
        kind: protocol === Protocol.udp ? 'udp' : 'tcp',
        dport: { value: { low: port, high: port }, negate: false },
      },
    ],
    target: {
      kind: 'snat',
      range: { low: primary, high: primary, random: false, randomFully: false, persistent: false },
    },
  };
}

function literal(text: string): Address {
  const address = parseAddress(text);
  assert(address !== null, `${text} is an address`);
  return address;
}
