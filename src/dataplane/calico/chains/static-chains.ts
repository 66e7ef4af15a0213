/**
 * The chains that a node has whatever its pods and policies are: raw, mangle, nat and filter.
 *
 * For an AKS node: no VXLAN, IPIP or WireGuard of Calico's, IPPools only where objects of them are
 * given, no BGP configuration (Felix knows no service CIDR, so cidr-block is empty), no host
 * endpoints (their dispatch chains are empty), kube-proxy in iptables mode.
 * Source: felix/rules/static.go, felix/rules/nat.go, felix/dataplane/linux/int_dataplane.go
 * `setUpIptablesNormal`; proved by test/dataplane/calico/labels.test.ts.
 * @module
 */
import type { IpPool } from '../../../cluster/model.ts';
import type { TableName } from '../../../netfilter/hook.ts';
import type { Family } from '../../../wire/address/address.ts';
import { Protocol } from '../../../wire/protocol.ts';
import { setName } from '../names.ts';
import type { FelixConfig } from '../options.ts';
import { MASQUERADED } from '../sets.ts';
import { FROM_WORKLOAD, TO_WORKLOAD } from './dispatch.ts';
import type { Action, FelixChain, FelixRule } from './felix-rule.ts';
import {
  ACCEPT,
  clearMark,
  conntrack,
  DROP,
  goTo,
  icmp6Type,
  inInterface,
  inSet,
  jump,
  MASQUERADE,
  markClear,
  markSet,
  notConntrack,
  notInSet,
  outInterface,
  protocolNumber,
  RETURN,
  RPF_FAILED,
  setMark,
} from './fragment.ts';

/** Who allowed a packet is who set its accept bit: the policy or profile that let it pass. */
function acceptedBy(config: FelixConfig, action: Action, comments: string[] = []): FelixRule {
  return { comments, matches: [markSet(config.release.marks.accept)], action, origin: [] };
}

const HOST_ACCEPTED = ['Host endpoint policy accepted packet.'];

/** Neighbour discovery and multicast listeners, which a router must hear. */
const ICMP6_FROM_PODS = [130, 131, 132, 133, 135, 136];

/** What Felix adds to a built-in chain: at its top, and at its end. */
export interface BuiltinHook {
  readonly table: TableName;
  readonly chain: string;
  readonly insert: readonly FelixRule[];
  readonly append: readonly FelixRule[];
}

export function builtinHooks(config: FelixConfig): BuiltinHook[] {
  const first = (table: TableName, chain: string): BuiltinHook => ({
    table,
    chain,
    insert: [{ action: jump(`cali-${chain}`) }],
    append: [],
  });
  const { accept } = config.release.marks;
  return [
    first('raw', 'PREROUTING'),
    first('raw', 'OUTPUT'),
    first('mangle', 'PREROUTING'),
    first('mangle', 'POSTROUTING'),
    first('nat', 'PREROUTING'),
    first('nat', 'OUTPUT'),
    // Last, so that kube-proxy's masquerade goes first and clears its mark.
    {
      table: 'nat',
      chain: 'POSTROUTING',
      insert: [],
      append: [{ action: jump('cali-POSTROUTING') }],
    },
    first('filter', 'INPUT'),
    {
      ...first('filter', 'FORWARD'),
      append: [
        acceptedBy(config, allowAction(config), ['Policy explicitly accepted packet.']),
        // Tells mangle POSTROUTING that the packet was forwarded.
        { action: setMark(accept) },
      ],
    },
    first('filter', 'OUTPUT'),
  ];
}

/** The static chains of a table; those that nothing refers to are left out by the caller. */
export function staticChains(
  config: FelixConfig,
  table: TableName,
  family: Family,
  pools: readonly IpPool[] = [],
): FelixChain[] {
  switch (table) {
    case 'raw':
      return rawChains(config);
    case 'mangle':
      return mangleChains(config, family);
    case 'nat':
      return natChains(config, family, pools);
    case 'filter':
      return filterChains(config, family);
    case 'security':
      return [];
  }
}

function allowAction(config: FelixConfig): Action {
  return config.filterAllow === 'accept' ? ACCEPT : RETURN;
}

function allMarks(config: FelixConfig): number {
  const { accept, pass, scratch0, scratch1 } = config.release.marks;
  return accept | pass | scratch0 | scratch1;
}

function empty(name: string): FelixChain {
  return { name, rules: [] };
}

function rawChains(config: FelixConfig): FelixChain[] {
  const { scratch0: fromWorkload } = config.release.marks;
  const accepted = acceptedBy(config, ACCEPT);
  return [
    {
      name: 'cali-PREROUTING',
      rules: [
        { action: clearMark(allMarks(config)) },
        { matches: [inInterface(`${config.interfacePrefix}+`)], action: setMark(fromWorkload) },
        { matches: [markSet(fromWorkload)], action: jump('cali-rpf-skip') },
        // Anti-spoofing: the way back to the source must be the pod's own interface.
        { matches: [markSet(fromWorkload), RPF_FAILED], action: DROP },
        { matches: [markClear(fromWorkload)], action: jump('cali-from-host-endpoint') },
        accepted,
      ],
    },
    {
      name: 'cali-OUTPUT',
      rules: [
        { action: clearMark(allMarks(config)) },
        { action: jump('cali-to-host-endpoint') },
        accepted,
      ],
    },
    empty('cali-rpf-skip'),
    empty('cali-from-host-endpoint'),
    empty('cali-to-host-endpoint'),
  ];
}

function mangleChains(config: FelixConfig, family: Family): FelixChain[] {
  return [
    {
      name: 'cali-PREROUTING',
      rules: [
        { matches: [conntrack('RELATED', 'ESTABLISHED')], action: ACCEPT },
        acceptedBy(config, ACCEPT),
        { action: jump('cali-from-host-endpoint') },
        acceptedBy(config, ACCEPT, HOST_ACCEPTED),
      ],
    },
    {
      name: 'cali-POSTROUTING',
      rules: [
        ...dscpRules(config, family),
        acceptedBy(config, RETURN),
        { action: clearMark(allMarks(config)) },
        { matches: [conntrack('DNAT')], action: jump('cali-to-host-endpoint') },
        acceptedBy(config, RETURN, HOST_ACCEPTED),
      ],
    },
    empty('cali-from-host-endpoint'),
    empty('cali-to-host-endpoint'),
    empty('cali-egress-dscp'),
  ];
}

function dscpRules({ release }: FelixConfig, family: Family): FelixRule[] {
  if (!release.dscp) return [];
  return [
    {
      comments: ['set dscp for traffic leaving cluster.'],
      matches: [
        inSet('source', setName(family, 'dscp-src-net')),
        notInSet('destination', setName(family, release.poolsSet)),
        notInSet('destination', setName(family, 'this-host')),
      ],
      action: jump('cali-egress-dscp'),
    },
  ];
}

/** natOutgoing: what leaves the pools' addresses (felix/rules/nat.go `NATOutgoingChain`). */
function natChains(config: FelixConfig, family: Family, pools: readonly IpPool[]): FelixChain[] {
  const masqueraded = pools.some((p) => p.natOutgoing && p.cidr.address.family === family);
  const outgoing: FelixRule = {
    matches: [
      inSet('source', setName(family, MASQUERADED)),
      notInSet('destination', setName(family, config.release.poolsSet)),
    ],
    action: MASQUERADE,
  };
  return [
    { name: 'cali-PREROUTING', rules: [{ action: jump('cali-fip-dnat') }] },
    { name: 'cali-OUTPUT', rules: [{ action: jump('cali-fip-dnat') }] },
    {
      name: 'cali-POSTROUTING',
      rules: [{ action: jump('cali-fip-snat') }, { action: jump('cali-nat-outgoing') }],
    },
    empty('cali-fip-dnat'),
    empty('cali-fip-snat'),
    { name: 'cali-nat-outgoing', rules: masqueraded ? [outgoing] : [] },
  ];
}

function filterChains(config: FelixConfig, family: Family): FelixChain[] {
  const { accept } = config.release.marks;
  const pods = `${config.interfacePrefix}+`;
  const allow = allowAction(config);
  const accepted = acceptedBy(config, allow);
  const hostAccepted = acceptedBy(config, allow, HOST_ACCEPTED);
  const clearAll: FelixRule = { action: clearMark(allMarks(config)) };
  return [
    {
      name: 'cali-INPUT',
      rules: [
        { matches: [inInterface(pods)], action: goTo('cali-wl-to-host') },
        accepted,
        clearAll,
        { action: jump('cali-from-host-endpoint') },
        hostAccepted,
      ],
    },
    workloadToHost(config, family),
    {
      name: 'cali-FORWARD',
      rules: [
        // The accept bit may come from raw or mangle, so it stays.
        { action: clearMark(allMarks(config) & ~accept) },
        { matches: [markClear(accept)], action: jump('cali-from-hep-forward') },
        { matches: [inInterface(pods)], action: jump(FROM_WORKLOAD) },
        { matches: [outInterface(pods)], action: jump(TO_WORKLOAD) },
        { action: jump('cali-to-hep-forward') },
        { action: jump('cali-cidr-block') },
      ],
    },
    {
      name: 'cali-OUTPUT',
      rules: [
        accepted,
        // From the node to its own pods: never policed.
        { matches: [outInterface(pods)], action: RETURN },
        clearAll,
        { matches: [notConntrack('DNAT')], action: jump('cali-to-host-endpoint') },
        hostAccepted,
      ],
    },
    empty('cali-from-host-endpoint'),
    empty('cali-to-host-endpoint'),
    empty('cali-from-hep-forward'),
    empty('cali-to-hep-forward'),
    empty('cali-cidr-block'),
  ];
}

/** A pod to its own node: its egress policy first, then the configured action. */
function workloadToHost(config: FelixConfig, family: Family): FelixChain {
  const discovery = ICMP6_FROM_PODS.map((type): FelixRule => {
    const matches = [protocolNumber(Protocol.icmpv6), icmp6Type(type)];
    return { matches, action: allowAction(config) };
  });
  return {
    name: 'cali-wl-to-host',
    rules: [
      ...(family === 6 ? discovery : []),
      { action: jump(FROM_WORKLOAD) },
      {
        comments: ['Configured DefaultEndpointToHostAction'],
        action: { accept: ACCEPT, drop: DROP, return: RETURN }[config.toHost],
      },
    ],
  };
}
