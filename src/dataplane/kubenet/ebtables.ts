/**
 * The ebtables chain against frames that a promiscuous bridge would deliver twice: what the node
 * sends to its pods with a pod's own source address is dropped.
 *
 * Source: AgentBaker `parts/linux/cloud-init/artifacts/ensure-no-dup.sh` (3e51ffb3, 2026), which
 * does what kubelet did (kubernetes pull 28717). It reads the bridge's IPv4 range only.
 * @module
 */
import type { EbMatch, EbTable } from '../../netfilter/ebtables.ts';
import { hostPrefix, type Prefix } from '../../wire/address/address.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { NodeRange } from '../plain/node-range.ts';

const CHAIN = 'AKS-DEDUP-PROMISC';

/** The `filter` table of a node whose bridge has this MAC and range. */
export function dedupTable(mac: string, { range, gateway }: NodeRange): EbTable {
  const from = (net: Prefix): EbMatch[] => [
    { kind: 'protocol', etherType: EtherType.ipv4, negate: false },
    { kind: 'source', mac, mask: 'ff:ff:ff:ff:ff:ff', negate: false },
    { kind: 'outInterface', name: 'veth+', negate: false },
    { kind: 'ipSource', net, negate: false },
  ];
  return {
    name: 'filter',
    chains: [
      { name: 'INPUT', policy: 'ACCEPT', builtin: true, rules: [] },
      { name: 'FORWARD', policy: 'ACCEPT', builtin: true, rules: [] },
      {
        name: 'OUTPUT',
        policy: 'ACCEPT',
        builtin: true,
        rules: [{ matches: [], target: { kind: 'jump', chain: CHAIN } }],
      },
      {
        name: CHAIN,
        policy: 'ACCEPT',
        builtin: false,
        rules: [
          { matches: from(hostPrefix(gateway)), target: { kind: 'accept' } },
          { matches: from(range), target: { kind: 'drop' } },
        ],
      },
    ],
  };
}
