/**
 * What differs between Calico releases in the chains of the iptables dataplane.
 *
 * Read at tags v3.26.4, v3.28.2, v3.29.3, v3.30.3, v3.31.3 and v3.32.1 of projectcalico/calico:
 * felix/dataplane/driver.go (marks), felix/rules/{endpoints,policy,static}.go,
 * felix/types/policy_id.go, libcalico-go/lib/backend/k8s/conversion/conversion.go.
 * @module
 */

/** Felix's bits of the packet mark, allocated upwards from mask 0xffff0000. */
export interface Marks {
  readonly accept: number;
  readonly pass: number;
  readonly scratch0: number;
  readonly scratch1: number;
}

/** How Felix calls one policy in its different places. */
export interface PolicyNames {
  /** What follows `cali-pi-` or `cali-po-`. */
  readonly chain: string;
  /** First comment of the chain, without the direction. */
  readonly comment: string;
  /** Policies of one order are sorted by this. */
  readonly sort: string;
  /** What the hash of a policy group reads. */
  readonly group: string;
}

export interface Release {
  readonly name: string;
  readonly marks: Marks;
  /** `plain`: 'Start of policies'; `none`: no start rule; `named`: 'Start of tier NAME'. */
  readonly tierStart: 'plain' | 'none' | 'named';
  /** Whether the end-of-tier drop names its tier. */
  readonly namedTierEnd: boolean;
  /** Whether the endpoint chain clears the pass bit together with the accept bit. */
  readonly clearsPass: boolean;
  /** Policies in a row with one selector share a `cali-gi-`/`cali-go-` chain. */
  readonly groups: boolean;
  /** Whether the group's hash reads the tier. */
  readonly groupHashesTier: boolean;
  /** RETURN rules at the end of policy and profile chains are left out. */
  readonly stripsReturns: boolean;
  /** A rule with an exception of 0.0.0.0/0 is left out (before, it never matched). */
  readonly dropsNegatedCatchAll: boolean;
  /** mangle POSTROUTING sends pods with a DSCP annotation to cali-egress-dscp. */
  readonly dscp: boolean;
  /** IP set of all IPPools. */
  readonly poolsSet: string;
  /** Names of a Kubernetes NetworkPolicy. */
  policyNames(namespace: string, name: string): PolicyNames;
}

const FOUR_BITS: Marks = { accept: 0x10000, pass: 0x20000, scratch0: 0x40000, scratch1: 0x80000 };
/** From 3.30 the third bit is the drop bit (set before a Deny, for flow logs). */
const FIVE_BITS: Marks = { accept: 0x10000, pass: 0x20000, scratch0: 0x80000, scratch1: 0x100000 };

function untieredNames(namespace: string, name: string): PolicyNames {
  const key = `${namespace}/knp.default.${name}`;
  return { chain: key, comment: `Policy ${key}`, sort: key, group: key };
}

function tieredNames(namespace: string, name: string): PolicyNames {
  const key = `${namespace}/knp.default.${name}`;
  return { chain: `default/${key}`, comment: `Policy ${key}`, sort: key, group: key };
}

function kindNames(namespace: string, name: string): PolicyNames {
  const kind = 'KubernetesNetworkPolicy';
  return {
    chain: `knp/${namespace}/${name}`,
    comment: `${kind} ${namespace}/${name}`,
    sort: `${name}/${namespace}/${kind}`,
    group: `{Name: ${name}, Namespace: ${namespace}, Kind: ${kind}}`,
  };
}

const V326: Release = {
  name: '3.26',
  marks: FOUR_BITS,
  tierStart: 'plain',
  namedTierEnd: false,
  clearsPass: false,
  groups: false,
  groupHashesTier: false,
  stripsReturns: false,
  dropsNegatedCatchAll: false,
  dscp: false,
  poolsSet: 'all-ipam-pools',
  policyNames: untieredNames,
};
const V328: Release = {
  ...V326,
  name: '3.28',
  tierStart: 'none',
  clearsPass: true,
  groups: true,
  groupHashesTier: true,
  stripsReturns: true,
};
const V329: Release = { ...V328, name: '3.29', tierStart: 'named', policyNames: tieredNames };
const V330: Release = {
  ...V329,
  name: '3.30',
  marks: FIVE_BITS,
  namedTierEnd: true,
  dropsNegatedCatchAll: true,
};
const V331: Release = { ...V330, name: '3.31', dscp: true };
const V332: Release = {
  ...V331,
  name: '3.32',
  groupHashesTier: false,
  poolsSet: 'network-ip-pools',
  policyNames: kindNames,
};

export const RELEASES: readonly Release[] = [V326, V328, V329, V330, V331, V332];

/** The release called `3.30`, also when a patch level follows (`3.30.3`, `v3.30.3`). */
export function findRelease(text: string): Release | undefined {
  const m = /^v?(3\.\d+)(\.\d+)?$/.exec(text);
  return RELEASES.find((r) => r.name === m?.[1]);
}
