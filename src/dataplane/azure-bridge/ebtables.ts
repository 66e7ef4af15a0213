/**
 * The ebtables rules of Azure CNI's bridge mode, in the order in which it appends them.
 *
 * Source: azure-container-networking `ebtables/ebtables.go`, called from
 * `network/bridge_networkclient_linux.go` `AddL2Rules` (host) and
 * `network/bridge_endpointclient_linux.go` `AddEndpointRules` (per pod), commit cbd7560cf.
 * @module
 */
import type { EbChain, EbMatch, EbRule, EbTable } from '../../netfilter/ebtables.ts';
import { type Address, hostPrefix } from '../../wire/address/address.ts';
import { EtherType } from '../../wire/protocol.ts';

const ARP_REQUEST = 1;
const ARP_REPLY = 2;

export interface BridgedPod {
  readonly addresses: readonly Address[];
  readonly mac: string;
}

/** The `nat` table of a node: host rules first, then each pod's. */
export function bridgeNatTable(
  uplink: { readonly name: string; readonly mac: string; readonly address: Address },
  pods: readonly BridgedPod[],
): EbTable {
  const postrouting: EbRule[] = [snatToUplink(uplink.name, uplink.mac)];
  const prerouting: EbRule[] = [];
  if (uplink.address.family === 4) prerouting.push(arpReply(uplink.address, uplink.mac));
  prerouting.push(spreadArpReplies(uplink.name));
  for (const pod of pods) {
    for (const address of pod.addresses) {
      if (address.family === 4) prerouting.push(arpReply(address, pod.mac));
      prerouting.push(dnatToPod(uplink.name, address, pod.mac));
    }
  }
  return {
    name: 'nat',
    chains: [
      chain('PREROUTING', prerouting),
      chain('OUTPUT', []),
      chain('POSTROUTING', postrouting),
    ],
  };
}

/** `-s unicast -o eth0 -j snat --to-src MAC --snat-arp`: the fabric knows only the VM's MAC. */
function snatToUplink(device: string, mac: string): EbRule {
  return {
    matches: [
      {
        kind: 'source',
        mac: '00:00:00:00:00:00',
        mask: '01:00:00:00:00:00',
        negate: false,
      },
      { kind: 'outInterface', name: device, negate: false },
    ],
    target: { kind: 'snat', mac, arp: true, verdict: 'ACCEPT' },
  };
}

/** `--arp-op Request --arp-ip-dst ADDRESS -j arpreply`: the bridge answers for this VM's own. */
function arpReply(address: Address, mac: string): EbRule {
  return {
    matches: [
      protocol(EtherType.arp),
      { kind: 'arpOperation', operation: ARP_REQUEST, negate: false },
      { kind: 'arpDestination', net: hostPrefix(address), negate: false },
    ],
    target: { kind: 'arpreply', mac, verdict: 'DROP' },
  };
}

/** `-i eth0 --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff`: replies reach every pod. */
function spreadArpReplies(device: string): EbRule {
  return {
    matches: [
      protocol(EtherType.arp),
      { kind: 'inInterface', name: device, negate: false },
      { kind: 'arpOperation', operation: ARP_REPLY, negate: false },
    ],
    target: { kind: 'dnat', mac: 'ff:ff:ff:ff:ff:ff', verdict: 'ACCEPT' },
  };
}

/** `-i eth0 --ip-dst ADDRESS -j dnat --to-dst PODMAC`: frames come in with the VM's MAC. */
function dnatToPod(device: string, address: Address, mac: string): EbRule {
  return {
    matches: [
      protocol(address.family === 4 ? EtherType.ipv4 : EtherType.ipv6),
      { kind: 'inInterface', name: device, negate: false },
      { kind: 'ipDestination', net: hostPrefix(address), negate: false },
    ],
    target: { kind: 'dnat', mac, verdict: 'ACCEPT' },
  };
}

function protocol(etherType: number): EbMatch {
  return { kind: 'protocol', etherType, negate: false };
}

function chain(name: string, rules: readonly EbRule[]): EbChain {
  return { name, policy: 'ACCEPT', builtin: true, rules };
}
