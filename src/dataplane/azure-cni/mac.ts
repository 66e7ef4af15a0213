/**
 * Names and MAC addresses that Azure and Azure CNI give, made repeatable.
 *
 * Veth names are exact: azure-container-networking `network/endpoint_linux.go`
 * (`hostVEthInterfacePrefix` + `generateVethName`), keyed by `NAMESPACE.POD` as
 * `cni/network/network.go` `getPodInfo`'s veth option does. MAC addresses are drawn by the platform
 * and by the kernel on a real node; here they follow from names, with the real ones' shape.
 * @module
 */
import { hash } from 'node:crypto';
import type { Pod } from '../../cluster/model.ts';

/** What the Azure fabric answers ARP with (`network/network_linux.go` `virtualMacAddress`). */
export const FABRIC_MAC = '12:34:56:78:9a:bc';

/** The host's end of every veth in transparent mode (`defaultHostVethHwAddr`). */
export const TRANSPARENT_VETH_MAC = 'aa:aa:aa:aa:aa:aa';

/** The host's end of a pod's veth pair: `azv` and eleven hex digits. */
export function hostVethName(pod: Pod): string {
  return `azv${sha1(`${pod.namespace}.${pod.name}`).slice(0, 11)}`;
}

/**
 * The MAC of a VM's NIC. Of Microsoft's prefixes (00:0d:3a, 60:45:bd, …) always the first: a bridge
 * takes the lowest MAC of its ports, and with it that is the NIC's, whatever the veths have.
 */
export function nodeMac(node: string): string {
  return `00:0d:3a:${octets(sha1(`nic ${node}`), 3)}`;
}

/** The MAC of a pod's eth0: locally administered, as the kernel draws it (`eth_random_addr`). */
export function podMac(pod: Pod): string {
  return randomLike(`pod ${pod.namespace}/${pod.name}`);
}

/** The MAC of the host's end in bridge mode, where Azure CNI leaves it to the kernel. */
export function hostVethMac(pod: Pod): string {
  return randomLike(`veth ${pod.namespace}/${pod.name}`);
}

/** The MAC of a node's bridge that keeps the one it was made with. */
export function bridgeMac(node: string): string {
  return randomLike(`bridge ${node}`);
}

/** `PREFIX` and eight hex digits, as the CNI plugins draw them (`ip.RandomVethName`). */
export function drawnVethName(pod: Pod): string {
  return `veth${sha1(`veth ${pod.namespace}/${pod.name}`).slice(0, 8)}`;
}

function randomLike(key: string): string {
  const digest = sha1(key);
  const local = (Number.parseInt(digest.slice(0, 2), 16) & 0xfc) | 0x02;
  return `${local.toString(16).padStart(2, '0')}:${octets(digest.slice(2), 5)}`;
}

/** The first octets of a digest, with colons between. */
function octets(hex: string, count: number): string {
  let text = hex.slice(0, 2);
  for (let i = 1; i < count; i++) text += `:${hex.slice(2 * i, 2 * i + 2)}`;
  return text;
}

function sha1(text: string): string {
  return hash('sha1', text, 'hex');
}
