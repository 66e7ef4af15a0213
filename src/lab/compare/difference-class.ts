/**
 * Kinds of difference between stacks that are known and documented, each recognised by what the
 * connection is, explained in a sentence, with its source. What none of them explains is
 * `unclassified`, which is where a reader should look first.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { equalAddress, formatAddress } from '../../wire/address.ts';
import type { ConnectionResult } from '../result.ts';
import type { ConnectionDetail } from '../stack-run.ts';
import type { World } from '../world.ts';

export interface DifferenceClass {
  readonly id: string;
  readonly explanation: string;
  readonly source: string;
}

export interface DifferenceSide {
  readonly row: ConnectionResult;
  readonly detail: ConnectionDetail;
  readonly world: World | undefined;
}

interface Rule extends DifferenceClass {
  applies(sides: readonly DifferenceSide[]): boolean;
}

const NPM_ENFORCES_IN_FORWARD =
  'Azure NPM hooks FORWARD only; Microsoft, migrate-from-npm-to-cilium-network-policy (2025-07-30); ' +
  'Azure/azure-container-networking#2786';

const CALICO_FIRST = 'felix/rules/static.go (cali-FORWARD is inserted first)';

const RULES: readonly Rule[] = [
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
    applies: (sides) => isPodToOwnNode(sides) && onPolicies(sides, 'npm', 'calico'),
  },
  {
    id: 'ipv6-unfiltered',
    explanation: 'Azure NPM programs no ip6tables rules, so IPv6 is never filtered by it',
    source: 'Azure/azure-container-networking npm/iptm; AKS documentation: NPM has no dual-stack',
    applies: (sides) => sides.some((s) => s.row.src?.includes(':')) && onPolicies(sides, 'npm'),
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
    applies: (sides) => onPolicies(sides, 'none'),
  },
];

export const UNCLASSIFIED: DifferenceClass = {
  id: 'unclassified',
  explanation: 'no documented difference explains it; see the deciding rules of both stacks',
  source: 'none',
};

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
  const passes = (engine: string) =>
    sides.filter((s) => s.world?.stack.policy === engine).map((s) => s.row.verdict === 'allowed');
  return passes('npm').includes(true) && passes('calico').includes(false);
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

function isPodToOwnNode(sides: readonly DifferenceSide[]): boolean {
  const conversation = sides[0]?.detail.conversation;
  if (conversation?.from.kind !== 'pod' || conversation.to.kind !== 'node') return false;
  return conversation.from.pod.node === conversation.to.node.name;
}

/** Whether the stacks that differ have all of these policy engines among them. */
function onPolicies(sides: readonly DifferenceSide[], ...engines: readonly string[]): boolean {
  return engines.every((engine) => sides.some((s) => s.world?.stack.policy === engine));
}
