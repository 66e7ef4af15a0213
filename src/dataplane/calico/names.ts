/**
 * How Felix makes names fit: chains have 28 characters, IP sets 31.
 *
 * Source: felix/hashutils/id.go `GetLengthLimitedID` (v3.32: libcalico-go/lib/hash),
 * libcalico-go/lib/hash/unique_id.go `MakeUniqueID`, felix/ipsets/ipset_defs.go
 * `NameForMainIPSet`, felix/rules/endpoints.go `PolicyGroup.UniqueID`,
 * libcalico-go/lib/backend/k8s/conversion/workload_endpoint_default.go `VethNameForWorkload`.
 * @module
 */
import { createHash } from 'node:crypto';
import type { Family } from '../../wire/address/address.ts';
import type { Release } from './release.ts';

const CHAIN_LENGTH = 28;
const SET_LENGTH = 31;

/** `PREFIX` + `id`, or `PREFIX_` + the head of its hash where that would be too long. */
export function chainName(prefix: string, id: string): string {
  const length = prefix.length + id.length;
  const mistakable = length === CHAIN_LENGTH && id.startsWith('_');
  if (length <= CHAIN_LENGTH && !mistakable) return prefix + id;
  const digest = createHash('sha256').update(id).digest('base64url');
  return `${prefix}_${digest.slice(0, CHAIN_LENGTH - 1 - prefix.length)}`;
}

/** `KIND:` + base64url SHA-224 of `KIND:CONTENT`. */
export function uniqueId(kind: 's' | 'n', content: string): string {
  return `${kind}:${createHash('sha224').update(`${kind}:${content}`).digest('base64url')}`;
}

/** The kernel's name of the IP set with this id. */
export function setName(family: Family, id: string): string {
  return `cali${family}0${id}`.slice(0, SET_LENGTH);
}

export interface GroupContent {
  readonly direction: 'inbound' | 'outbound';
  /** The selector that the group's policies share. */
  readonly selector: string;
  /** `PolicyNames.group` of each policy, in order. */
  readonly policies: readonly string[];
}

/** Chain of a group of policies of tier `default`. */
export function groupChainName(release: Release, group: GroupContent): string {
  const lines = [
    ...(release.groupHashesTier ? ['default'] : []),
    group.selector,
    group.direction,
    `${group.policies.length}`,
    ...group.policies,
  ];
  const hash = createHash('sha3-224');
  for (const line of lines) hash.update(`${line}\n`);
  const prefix = group.direction === 'inbound' ? 'cali-gi-' : 'cali-go-';
  return prefix + hash.digest('base64url').slice(0, CHAIN_LENGTH - prefix.length);
}

/** Name of the host's end of a pod's veth pair, as Felix expects it. */
export function workloadInterface(prefix: string, namespace: string, pod: string): string {
  return prefix + createHash('sha1').update(`${namespace}.${pod}`).digest('hex').slice(0, 11);
}
