/**
 * Connection tracking at the hooks (being written: waits for src/conntrack).
 * @module
 */
import type { Packet } from '../packet/packet.ts';
import type { Visit } from './hook.ts';
import type { Host } from './host.ts';

export function trackIn(_visit: Visit): boolean {
  return true;
}
export function translate(_visit: Visit): boolean {
  return true;
}
export function confirm(_visit: Visit): boolean {
  return true;
}
export function attachReverse(_cause: Packet, _made: Packet): void {}
export function openByHand(_connection: object, _nowNs: number): void {}
export function connectionViews(_host: Host): [] {
  return [];
}
