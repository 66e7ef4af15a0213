/**
 * Kinds of difference between stacks that are known and documented, each recognised by what the
 * connection is, explained in a sentence, with its source. What none of them explains is
 * `unclassified`, which is where a reader should look first.
 * @module
 */
import { proxySettings } from '../../dataplane/kube-proxy/config.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { equalAddress, formatAddress } from '../../wire/address/address.ts';
import type { ConnectionResult } from '../result.ts';
import type { World } from '../world.ts';
import type { DifferenceClass, DifferenceRule, DifferenceSide } from './difference-rule.ts';
import { WINDOWS_RULES } from './windows-class.ts';

const NPM_ENFORCES_IN_FORWARD =
  'Azure NPM hooks FORWARD only; Microsoft, migrate-from-npm-to-cilium-network-policy (2025-07-30); ' +
  'Azure/azure-container-networking#2786';

const IPVS_HOOKS = 'net/netfilter/ipvs/ip_vs_core.c ip_vs_ops4 (LOCAL_IN, LOCAL_OUT)';

const CALICO_FIRST = 'felix/rules/static.go (cali-FORWARD is inserted first)';

const RULES: readonly DifferenceRule[] = [
  ...WINDOWS_RULES,
  {
    id: 'service-hairpin',
    explanation:
      'a pod reaches itself through its own Service: kube-proxy marks it for masquerade, and ' +
      'KUBE-FORWARD accepts marked packets before Azure NPM is asked; Calico applies the policies ' +
      'of both directions at the pod',
    source: `kube-proxy KUBE-SEP chains (-s ENDPOINT -j KUBE-MARK-MASQ); ${CALICO_FIRST}`,
    applies: (sides) => isHairpin(sides) && onlyCalicoRefuses(sides),
  },
  {
    id: 'lb-health-probes',
    explanation:
      "a policy keeps the load balancer's health probes (from 168.63.129.16, to the node port) " +
      'from every backend, so none is healthy and the frontend passes nothing on; Azure NPM does ' +
      'not police node ports with externalTrafficPolicy Cluster, so its probes are answered',
    source:
      'azure-docs load-balancer-custom-probe-overview; cloud-provider-azure ' +
      `azure_loadbalancer_healthprobe.go; ${CALICO_FIRST}`,
    applies: (sides) => isFromOutsideServices(sides) && isRefusedByFrontend(sides),
  },
  {
    id: 'lb-nodeport-cluster',
    explanation:
      'it comes in by a node port, a load balancer or an external address with ' +
      'externalTrafficPolicy Cluster: kube-proxy marks it for masquerade, and KUBE-FORWARD accepts ' +
      'marked packets before Azure NPM is asked, so NPM does not police it on the node that takes ' +
      'it in; Calico does, by the address that the client still has there',
    source:
      'Microsoft, migrate-from-npm-to-cilium-network-policy (2025-07-30); ' +
      `Azure/azure-container-networking#1088, #940; ${CALICO_FIRST}`,
    applies: (sides) => isFromOutsideServices(sides) && onlyCalicoRefuses(sides),
  },
  {
    id: 'local-node-egress',
    explanation:
      'a pod reaches its own node: the packet ends in INPUT, which Azure NPM does not police and ' +
      'Calico does (cali-wl-to-host applies the egress policy)',
    source: `${NPM_ENFORCES_IN_FORWARD}; felix/rules/static.go filterWorkloadToHostChain`,
    applies: (sides) => isPodToOwnNode(sides) && onlyCalicoRefuses(sides),
  },
  {
    id: 'ipv6-unfiltered',
    explanation: 'Azure NPM programs no ip6tables rules, so IPv6 is never filtered by it',
    source: 'Azure/azure-container-networking npm/iptm; AKS documentation: NPM has no dual-stack',
    applies: (sides) =>
      sides.some((s) => s.row.src?.includes(':')) && passesOn(sides, 'npm').includes(true),
  },
  {
    id: 'policy-rejected-by-npm',
    explanation:
      'Azure NPM rejects the whole policy (an IPv6 ipBlock), so what it isolates stays open there',
    source: 'npm/pkg/controlplane/translation/translatePolicy.go ErrUnsupportedIPAddress',
    applies: (sides) =>
      sides.some(
        (s) =>
          s.world?.stack.policy === 'npm' && (s.world.network.warnings ?? []).some(isRejection),
      ),
  },
  {
    id: 'npm-namespace-negation',
    explanation:
      'this version of Azure NPM reads a namespaceSelector of negations too widely (NotIn of ' +
      'several values as any of them; a negation alone as every address outside the cluster too), ' +
      'so it allows what the policy does not',
    source: 'Azure/azure-container-networking#4662, #4866, #4868',
    applies: isNegationRead,
  },
  {
    id: 'no-policy-engine',
    explanation: 'one of the stacks has no policy engine: NetworkPolicies have no effect there',
    source: 'AKS networkPolicy: none',
    applies: (sides) =>
      passesOn(sides, 'none').includes(true) && differ(sides, (w) => w.stack.policy),
  },
  {
    id: 'npm-accepts-past-node-rules',
    explanation:
      'once any policy exists, Azure NPM accepts every new packet that no policy drops, so rules ' +
      "of the node behind its jump in FORWARD are never asked (the platform's DROP of pods that " +
      'ask the wire server 168.63.129.16; REJECTs of Services without endpoints); Calico hands ' +
      'the packet back to them. AKS changed the order of the wire server rules in July 2024',
    source:
      'Azure/azure-container-networking npm/pkg/dataplane/policies/chain-management_linux.go ' +
      '(AZURE-NPM-ACCEPT); AgentBaker block_wireserver.sh; AKS CHANGELOG 2024-07',
    applies: isAcceptedPastNode,
  },
  {
    id: 'npm-mark-clash',
    explanation:
      'up to 1.4.23 Azure NPM marks with bits that kube-proxy uses too: placed first in FORWARD, ' +
      'it takes what kube-proxy marked for masquerade for what a policy marked for dropping, and ' +
      'drops it, whatever policies say',
    source: 'Azure/azure-container-networking#1313',
    applies: (sides) =>
      sides.some(({ row, world }) => isNpm(world) && isDroppedByNobody(row)) &&
      sides.some(({ row }) => row.verdict === 'allowed'),
  },
  {
    id: 'npm-place-first',
    explanation:
      'Azure NPM placed first in FORWARD polices what kube-proxy marked for masquerade (node ' +
      'ports, load balancers, a pod that reaches itself by its Service); placed behind kube-proxy ' +
      'it never sees it, since KUBE-FORWARD accepts marked packets',
    source:
      'Azure/azure-container-networking npm/config (PlaceAzureChainFirst), #1086, #1088; ' +
      'kube-proxy KUBE-FORWARD',
    applies: (sides) =>
      isAcceptedByMark(sides) && differ(sides, (w) => w.stack.options['place-first'] === 'true'),
  },
  {
    id: 'proxy-nftables-no-mark-accept',
    explanation:
      'kube-proxy in iptables mode accepts in FORWARD what it marked for masquerade, before Azure ' +
      'NPM is asked; in nftables mode it has no such rule, so NPM polices it',
    source:
      'kubernetes pkg/proxy/iptables/proxier.go (KUBE-FORWARD), pkg/proxy/nftables/proxier.go ' +
      '(no accept in forward)',
    applies: (sides) => isAcceptedByMark(sides) && differ(sides, proxyMode),
  },
  {
    id: 'proxy-nftables-local-policy',
    explanation:
      'a node reaches an external address of a Service with externalTrafficPolicy Local that has ' +
      'no endpoint on it: in iptables mode kube-proxy short-circuits it to all endpoints, in ' +
      'nftables mode it is dropped before its destination is translated',
    source: 'kubernetes pkg/proxy/nftables/proxier.go (filter-output at priority dstnat - 10)',
    applies: (sides) =>
      sides[0]?.detail.conversation.from.kind === 'node' &&
      isFromOutsideServices(sides) &&
      differ(sides, proxyMode),
  },
  {
    id: 'proxy-ipvs-not-forwarded',
    explanation:
      "a Service's packets are the node's own in IPVS mode: they pass INPUT and OUTPUT, and a " +
      'policy engine that stands in FORWARD is not asked on the node of the client',
    source: `${IPVS_HOOKS}; kubernetes#68055`,
    applies: (sides) =>
      ofModes(sides, ({ row }) => row.verdict === 'allowed', isRefusedByPolicy) &&
      sides.every(({ world }) => world?.stack.policy === 'npm'),
  },
  {
    id: 'proxy-ipvs-bridged',
    explanation:
      "behind Azure CNI's bridge a pod's frames are addressed to the network's gateway: rules of " +
      'PREROUTING translate them on the bridge all the same, but IPVS sees only what is routed ' +
      'to the node itself, so Services have no effect for pods',
    source: `${IPVS_HOOKS}; net/bridge/br_netfilter_hooks.c br_nf_pre_routing_finish`,
    applies: (sides) =>
      sides[0]?.detail.conversation.from.kind === 'pod' &&
      ofModes(sides, isLostInFabric, ({ row }) => row.verdict === 'allowed') &&
      sides.every(({ world }) => world?.stack.network === 'azure-bridge'),
  },
  {
    id: 'proxy-ipvs-hairpin',
    explanation:
      'a pod reaches itself through its own Service on a bridge whose ports send nothing back: ' +
      'translated on the bridge it would leave by the port it came by; in IPVS mode the node ' +
      'routes it, and it is a packet of the node that the bridge delivers',
    source: `${IPVS_HOOKS}; net/bridge/br_forward.c should_deliver`,
    applies: (sides) =>
      isHairpin(sides) &&
      ofModes(
        sides,
        ({ row }) => row.verdict === 'allowed',
        ({ row }) => row.reason === 'sameBridgePort',
      ),
  },
  {
    id: 'proxy-ipvs-open-range',
    explanation:
      'loadBalancerSourceRanges holds 0.0.0.0/0: sets hold no net of length 0, so in IPVS mode ' +
      'kube-proxy fails to add it, logs that, and drops whom the range was to let in',
    source: 'kubernetes pkg/proxy/ipvs/ipset.go syncIPSetEntries; ipset(8) hash:ip,port,net',
    applies: (sides) =>
      ofModes(
        sides,
        ({ row }) => row.decidedBy?.rule?.startsWith('filter/KUBE-SOURCE-RANGES-FIREWALL') === true,
        ({ row }) => row.verdict === 'allowed',
      ),
  },
];

export const UNCLASSIFIED: DifferenceClass = {
  id: 'unclassified',
  explanation: 'no documented difference explains it; see the deciding rules of both stacks',
  source: 'none',
};

/** Every kind that is documented. */
export const DOCUMENTED: readonly DifferenceClass[] = RULES;

/** The first documented kind that explains the difference. */
export function classify(sides: readonly DifferenceSide[]): DifferenceClass {
  const found = RULES.find((rule) => rule.applies(sides));
  if (!found) return UNCLASSIFIED;
  const { id, explanation, source } = found;
  return { id, explanation, source };
}

const NEGATIONS = ['NPM_NOT_IN_ALLOWS_ALL', 'NPM_NEGATION_MATCHES_OUTSIDE'];

/** Whether NPM allows it, and another stack refuses it by a policy that NPM reads too widely. */
function isNegationRead(sides: readonly DifferenceSide[]): boolean {
  const refusing = new Set(
    sides.flatMap((s) => (s.row.verdict === 'allowed' ? [] : (s.row.decidedBy?.policies ?? []))),
  );
  return sides.some(
    ({ row, world }) =>
      row.verdict === 'allowed' &&
      world?.stack.policy === 'npm' &&
      (world.network.warnings ?? []).some(
        ({ code, object }) =>
          NEGATIONS.includes(code) && object !== undefined && refusing.has(object),
      ),
  );
}

/** Whether a warning says that Azure NPM left a whole policy out. */
function isRejection({ code }: Diagnostic): boolean {
  return code === 'NPM_POLICY_REJECTED';
}

/** Whether Azure NPM lets it pass and Calico does not. */
function onlyCalicoRefuses(sides: readonly DifferenceSide[]): boolean {
  return passesOn(sides, 'npm').includes(true) && passesOn(sides, 'calico').includes(false);
}

/** Whether it is allowed, for each stack that has a policy engine. */
function passesOn(sides: readonly DifferenceSide[], engine: string): readonly boolean[] {
  const own = sides.filter((s) => s.world?.stack.policy === engine);
  return own.map((s) => s.row.verdict === 'allowed');
}

function isNpm(world: World | undefined): boolean {
  return world?.stack.policy === 'npm';
}

/** Whether a rule of NPM drops it that no policy caused. */
function isDroppedByNobody({ verdict, decidedBy }: ConnectionResult): boolean {
  const isOurs = decidedBy?.rule?.startsWith('filter/AZURE-NPM') === true;
  return verdict !== 'allowed' && isOurs && decidedBy.policy === null;
}

/** Whether NPM's last word keeps it from a rule of the node that refuses it elsewhere. */
function isAcceptedPastNode(sides: readonly DifferenceSide[]): boolean {
  const isAccepted = sides.some(
    ({ row, world }) =>
      isNpm(world) &&
      row.verdict === 'allowed' &&
      row.decidedBy?.rule?.startsWith('filter/AZURE-NPM-ACCEPT') === true,
  );
  const isRefused = sides.some(
    ({ row }) =>
      row.verdict !== 'allowed' &&
      row.decidedBy?.hook === 'forward' &&
      row.decidedBy.policy === null &&
      row.decidedBy.rule !== null,
  );
  return isAccepted && isRefused;
}

/** Whether kube-proxy's mark lets it pass on one stack, and NPM refuses it on another. */
function isAcceptedByMark(sides: readonly DifferenceSide[]): boolean {
  const isMarked = sides.some(
    ({ row, world }) =>
      isNpm(world) &&
      row.verdict === 'allowed' &&
      row.decidedBy?.rule?.startsWith('filter/KUBE-FORWARD') === true,
  );
  return isMarked && passesOn(sides, 'npm').includes(false);
}

/** Whether something is not the same on all stacks. */
function differ(sides: readonly DifferenceSide[], of: (world: World) => unknown): boolean {
  const values = sides.map(({ world }) => (world === undefined ? undefined : of(world)));
  return new Set(values).size > 1;
}

function proxyMode({ cluster, stack }: World): string {
  return proxySettings(cluster, stack).mode;
}

/** Whether every stack in IPVS mode is one thing, and every other stack another. */
function ofModes(
  sides: readonly DifferenceSide[],
  inIpvs: (side: DifferenceSide) => boolean,
  elsewhere: (side: DifferenceSide) => boolean,
): boolean {
  const isIpvs = ({ world }: DifferenceSide) => world !== undefined && proxyMode(world) === 'ipvs';
  const [own, others] = [sides.filter(isIpvs), sides.filter((side) => !isIpvs(side))];
  return own.length > 0 && others.length > 0 && own.every(inIpvs) && others.every(elsewhere);
}

function isRefusedByPolicy({ row }: DifferenceSide): boolean {
  return row.verdict !== 'allowed' && (row.decidedBy?.policy ?? null) !== null;
}

/** Whether it got out to the network, which knows no address of a Service. */
function isLostInFabric({ row, world }: DifferenceSide): boolean {
  const fabric = world?.network.fabric.host;
  return row.verdict !== 'allowed' && fabric !== undefined && row.decidedBy?.node === fabric;
}

/** Whether kube-proxy hands it to the pod that sent it. */
function isHairpin(sides: readonly DifferenceSide[]): boolean {
  const conversation = sides[0]?.detail.conversation;
  if (conversation?.from.kind !== 'pod') return false;
  const own = conversation.from.pod.addresses.map(formatAddress);
  return sides.some(({ row }) => row.translated !== null && own.includes(row.translated.dst));
}

/** Whether it is addressed to a Service by any other address than its cluster address. */
function isFromOutsideServices(sides: readonly DifferenceSide[]): boolean {
  const conversation = sides[0]?.detail.conversation;
  const identities = sides[0]?.world?.identities;
  if (conversation === undefined || identities === undefined) return false;
  const { to, dst, dport, protocol } = conversation;
  if (to.kind === 'node') return identities.isNodePort(protocol, dport ?? 0);
  return to.kind === 'service' && !to.service.clusterIps.some((a) => equalAddress(a, dst));
}

/** Whether the load balancer itself passes nothing on, where another stack's does. */
function isRefusedByFrontend(sides: readonly DifferenceSide[]): boolean {
  const isRefused = sides.some(({ row, world }) => {
    const fabric = world?.network.fabric.host;
    return row.verdict !== 'allowed' && fabric !== undefined && row.decidedBy?.node === fabric;
  });
  return isRefused && onlyCalicoRefuses(sides);
}

function isPodToOwnNode(sides: readonly DifferenceSide[]): boolean {
  const conversation = sides[0]?.detail.conversation;
  if (conversation?.from.kind !== 'pod' || conversation.to.kind !== 'node') return false;
  return conversation.from.pod.node === conversation.to.node.name;
}
