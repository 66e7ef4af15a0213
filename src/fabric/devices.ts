/**
 * The fabric's devices: one per node's NIC, and those that lead out of the emulation.
 * @module
 */
import { createHash } from 'node:crypto';
import type { Link } from '../plan/model.ts';

/** Everything that no node or pod owns is behind this device. */
export const INTERNET = 'internet';
/** On-premises networks, by VPN or ExpressRoute. */
export const GATEWAY = 'gateway';
/** Peered virtual networks. */
export const PEERING = 'peering';
/** Network virtual appliances that are not emulated. */
export const APPLIANCE = 'appliance';

/** All NIC-facing devices begin so; a rule can name them with `nic-+`. */
export const NIC_PREFIX = 'nic-';
/** Devices at firewalls begin so: they send from any address. */
const FIREWALL_PREFIX = 'fw-';

/** Longest interface name that Linux takes (IFNAMSIZ less the final NUL). */
const MAX_NAME = 15;

/** The fabric's device at a node: `nic-NODE` when that fits a Linux name, else a hash of it. */
export function fabricDevice(node: string): string {
  return named(NIC_PREFIX, node);
}

/** The fabric's device at a firewall. */
export function firewallDevice(firewall: string): string {
  return named(FIREWALL_PREFIX, firewall);
}

function named(prefix: string, what: string): string {
  const plain = prefix + what;
  if (plain.length <= MAX_NAME && /^[a-z0-9-]+$/.test(what)) return plain;
  const room = MAX_NAME - prefix.length;
  return prefix + createHash('sha1').update(what).digest('hex').slice(0, room);
}

/** The cables between nodes' NICs and the fabric. */
export function fabricLinks(host: string, nodes: readonly string[]): Link[] {
  return nodes.map((node) => [
    { host: node, device: 'eth0' },
    { host, device: fabricDevice(node) },
  ]);
}
