/**
 * NPM's sets as policies and objects name them, before they have kernel names.
 *
 * Source: azure-container-networking `npm/pkg/dataplane/ipsets/ipset.go` `GetPrefixName`, prefixes
 * in `npm/util/const.go`.
 * @module
 */
import type { SetDirection } from '../../netfilter/match.ts';
import type { Prefix } from '../../wire/address/address.ts';

/** A CIDR of an ipBlock; `nomatch` for its exceptions. */
export interface CidrMember {
  readonly net: Prefix;
  readonly nomatch: boolean;
}

/** A set by what it holds. `name` is the whole prefixed name, which is also its identity. */
export type NpmSet =
  | { readonly kind: 'pods'; readonly name: string; readonly describes: string }
  | { readonly kind: 'namespaces'; readonly name: string; readonly describes: string }
  | { readonly kind: 'namedPort'; readonly name: string; readonly describes: string }
  | {
      readonly kind: 'nested';
      readonly name: string;
      readonly describes: string;
      readonly members: readonly NpmSet[];
    }
  | {
      readonly kind: 'cidr';
      readonly name: string;
      readonly describes: string;
      readonly members: readonly CidrMember[];
    };

/** One `-m set` of a rule. */
export interface SetUse {
  readonly set: NpmSet;
  readonly included: boolean;
}

/** How a set is written in NPM's comments. */
export function commentOf(use: SetUse): string {
  return use.included ? use.set.name : `!${use.set.name}`;
}

/** Which addresses of a packet a named port is looked up by. */
export const NAMED_PORT_DIRECTIONS: readonly SetDirection[] = ['dst', 'dst'];

/** All pods of a namespace. */
export function namespaceSet(namespace: string): NpmSet {
  return { kind: 'pods', name: `ns-${namespace}`, describes: `pods of namespace ${namespace}` };
}

/** Pods that have a label key, whatever its value. */
export function podLabelSet(key: string): NpmSet {
  return { kind: 'pods', name: `podlabel-${key}`, describes: `pods with label ${key}` };
}

/** Pods that have a label with one value. */
export function podLabelValueSet(key: string, value: string): NpmSet {
  return {
    kind: 'pods',
    name: `podlabel-${key}:${value}`,
    describes: `pods labelled ${key}=${value}`,
  };
}

/** Pods of all namespaces that have a label key. */
export function namespaceLabelSet(key: string): NpmSet {
  return {
    kind: 'namespaces',
    name: `nslabel-${key}`,
    describes: `pods of namespaces with label ${key}`,
  };
}

/** Pods of all namespaces that have a label with one value. */
export function namespaceLabelValueSet(key: string, value: string): NpmSet {
  return {
    kind: 'namespaces',
    name: `nslabel-${key}:${value}`,
    describes: `pods of namespaces labelled ${key}=${value}`,
  };
}

/** Pods of all namespaces; a label key that no namespace may have. */
export const ALL_NAMESPACES: NpmSet = {
  kind: 'namespaces',
  name: 'nslabel-all-namespaces',
  describes: 'pods of all namespaces',
};

/** Addresses and numbers of all container ports of that name. */
export function namedPortSet(port: string): NpmSet {
  return {
    kind: 'namedPort',
    name: `namedport:${port}`,
    describes: `container ports named ${port}`,
  };
}
