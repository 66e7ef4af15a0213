/**
 * The fabric's devices: one per node's NIC, and one that leads out of the emulation.
 * @module
 */
import { createHash } from 'node:crypto';
import type { Link } from '../plan/model.ts';

/** Everything that no node or pod owns is behind this device. */
export const INTERNET = 'internet';

/** All NIC-facing devices begin so; a rule can name them with `nic-+`. */
export const NIC_PREFIX = 'nic-';

/** Longest interface name that Linux takes (IFNAMSIZ less the final NUL). */
const MAX_NAME = 15;

/** The fabric's device at a node: `nic-NODE` when that fits a Linux name, else a hash of it. */
export function fabricDevice(node: string): string {
  const plain = NIC_PREFIX + node;
  if (plain.length <= MAX_NAME && /^[a-z0-9-]+$/.test(node)) return plain;
  const room = MAX_NAME - NIC_PREFIX.length;
  return NIC_PREFIX + createHash('sha1').update(node).digest('hex').slice(0, room);
}

/** The cables between nodes' NICs and the fabric. */
export function fabricLinks(host: string, nodes: readonly string[]): Link[] {
  return nodes.map((node) => [
    { host: node, device: 'eth0' },
    { host, device: fabricDevice(node) },
  ]);
}
