/**
 * How NPM makes kernel names from long ones.
 *
 * Source: azure-container-networking `npm/util/util.go` `Hash` (until v1.6.45), `GetHashedName` and
 * `GetHashedChainName` (since v1.6.46); golden vectors in `npm/util/util_test.go`.
 * @module
 */
import { createHash } from 'node:crypto';
import type { NpmBehavior } from './version.ts';

const SET_PREFIX = 'azure-npm-';
const SET_DIGITS = 20;
const CHAIN_DIGITS = 10;

/** The kernel name of a set from its prefixed name (`podlabel-app:web`). */
export function kernelSetName(prefixed: string, names: NpmBehavior['names']): string {
  return SET_PREFIX + (names === 'fnv' ? fnv1a32(prefixed) : wideSetDigest(prefixed));
}

/** What a policy's chains end in, from its key (`NAMESPACE/NAME`). */
export function chainSuffix(policyKey: string, names: NpmBehavior['names']): string {
  return String(names === 'fnv' ? fnv1a32(policyKey) : chainDigest(policyKey));
}

/** FNV-1a, 32 bits (Go's `fnv.New32a`), over the text's UTF-8 bytes. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash;
}

/** The first twenty base-36 digits of SHA-256. */
function wideSetDigest(text: string): string {
  return sha256(text).toString(36).padStart(SET_DIGITS, '0').slice(0, SET_DIGITS);
}

/** SHA-256 modulo 36^10, in base 36. */
function chainDigest(text: string): string {
  const digest = sha256(text) % 36n ** BigInt(CHAIN_DIGITS);
  return digest.toString(36).padStart(CHAIN_DIGITS, '0');
}

function sha256(text: string): bigint {
  return BigInt(`0x${createHash('sha256').update(text).digest('hex')}`);
}
