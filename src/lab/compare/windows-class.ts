/**
 * Kinds of difference that Windows nodes make: between two operating systems of a pool, or between
 * two policy engines on Windows.
 * @module
 */
import type { DifferenceRule, DifferenceSide } from './difference-rule.ts';

const LIMITS = 'kubernetes.io "Networking on Windows", Limitations';

/** Asked before those of Linux nodes: each looks for a Windows node that decided. */
export const WINDOWS_RULES: readonly DifferenceRule[] = [
  {
    id: 'windows-policy-refused',
    explanation:
      'Azure NPM does not apply this policy on Windows nodes (named ports, SCTP, except, negated ' +
      'selectors): what it isolates stays open there',
    source:
      'azure-container-networking npm/pkg/controlplane/translation (errors "… used on windows"), ' +
      'npm/pkg/dataplane/policies/policy_windows.go',
    applies: (sides) => isMisread(sides, 'NPM_WINDOWS_REFUSED', 'allowed'),
  },
  {
    id: 'windows-allowance-refused',
    explanation:
      'Azure NPM does not apply this policy on Windows nodes (named ports, SCTP, except, negated ' +
      'selectors): another policy isolates the pod there, and what this one allows is denied',
    source:
      'azure-container-networking npm/pkg/controlplane/translation (errors "… used on windows")',
    applies: (sides) => isMisread(sides, 'NPM_WINDOWS_REFUSED', 'denied'),
  },
  {
    id: 'windows-negation-lost',
    explanation:
      'Azure NPM on Windows drops the negation of a namespaceSelector in egress rules: it allows ' +
      'the namespaces that the policy excludes, and no others',
    source:
      'azure-container-networking npm/pkg/dataplane/policies/policy_windows.go (SrcList only)',
    applies: (sides) =>
      isMisread(sides, 'NPM_WINDOWS_NEGATION', 'allowed') ||
      isMisread(sides, 'NPM_WINDOWS_NEGATION', 'denied'),
  },
  {
    id: 'windows-rule-left-out',
    explanation:
      'Calico for Windows leaves single rules out (named ports, except): what they allow is denied',
    source: 'felix/dataplane/windows/policysets/policysets.go (protoRuleToHnsRules)',
    applies: (sides) => isMisread(sides, 'CALICO_WINDOWS_RULE', 'denied'),
  },
  {
    id: 'windows-node-let-in',
    explanation:
      "a Windows pod lets in what comes with its own node's address, whatever its policies say: " +
      'readiness probes, and everything that a node port or load balancer with ' +
      'externalTrafficPolicy Cluster passes through that node',
    source:
      'azure-container-networking#1881 (priority 201); felix endpoint_mgr.go nodeToEndpointRule ' +
      '(900); kubernetes pkg/proxy/winkernel/proxier.go (SourceVIP)',
    applies: (sides) =>
      sides.some(
        (s) => s.row.verdict === 'allowed' && isDecidedThere(s, /filter\/VIA-|Allow (201|900)\b/),
      ) && isRefusedByPolicy(sides),
  },
  {
    id: 'windows-egress-at-port',
    explanation:
      'on Windows egress rules stand at the port of the pod, so they hold for its own node too; on ' +
      'Linux Azure NPM does not police what ends in INPUT',
    source:
      'azure-container-networking npm/pkg/dataplane/policies/policymanager_windows.go; ' +
      'npm/pkg/dataplane/policies/chain-management_linux.go (FORWARD)',
    applies: (sides) =>
      sides.some((s) => s.row.decidedBy?.hook === 'input' && isDecidedThere(s, /filter\/OUT-/)),
  },
  {
    id: 'windows-node-services',
    explanation:
      'a Windows node reaches no ClusterIP, and none of its own node ports: only its pods, other ' +
      'nodes and clients outside do',
    source: `${LIMITS}; "Troubleshooting Kubernetes on Windows" (service IP)`,
    applies: (sides) => sides.some((s) => isDecidedThere(s, /Windows nodes? do(es)? not reach/)),
  },
  {
    id: 'windows-icmp-outbound',
    explanation:
      'the Windows switch translates TCP and UDP only: ping from a pod gets no answer from ' +
      'destinations outside of the exceptions of OutBoundNAT',
    source: `${LIMITS} (ICMP packet transpositions)`,
    applies: (sides) => sides.some((s) => isDecidedThere(s, /VFP does not translate ICMP/)),
  },
  {
    id: 'windows-protocols',
    explanation: 'Windows containers take in TCP, UDP, ICMP and IGMP only',
    source: 'Microsoft, "Network isolation and security" of Windows containers',
    applies: (sides) => sides.some((s) => isDecidedThere(s, /filter\/VFP-FIREWALL/)),
  },
];

/** Whether a Windows node decided, by a rule whose place or text is so. */
function isDecidedThere({ row, world }: DifferenceSide, rule: RegExp): boolean {
  const by = row.decidedBy;
  const node = world?.network.nodes.find(({ host }) => host === by?.node);
  return node?.hns !== undefined && rule.test(`${by?.rule ?? ''} ${by?.text ?? ''}`);
}

function isRefusedByPolicy(sides: readonly DifferenceSide[]): boolean {
  return sides.some(
    ({ row }) => row.verdict === 'denied' && (row.decidedBy?.policies ?? []).length > 0,
  );
}

/** Whether a stack that decides so warns of a policy, by which it or another decides. */
function isMisread(
  sides: readonly DifferenceSide[],
  code: string,
  verdict: 'allowed' | 'denied',
): boolean {
  return sides.some((side) => {
    if (side.row.verdict !== verdict) return false;
    const misread = new Set(
      (side.world?.network.warnings ?? []).filter((w) => w.code === code).map((w) => w.object),
    );
    const deciding = verdict === 'denied' ? sides : sides.filter((other) => other !== side);
    return deciding.some(({ row }) =>
      (row.decidedBy?.policies ?? []).some((policy) => misread.has(policy)),
    );
  });
}
