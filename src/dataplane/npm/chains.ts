/**
 * NPM's chains and the rules in them.
 *
 *   FORWARD, NEW only ─► AZURE-NPM (empty while there is no policy)
 *     1 ─► AZURE-NPM-INGRESS   jumps to policies that select the destination; drop if marked so
 *     2 ─► AZURE-NPM-EGRESS    jumps to policies that select the source; drop, or accept, if marked
 *     3 ─► AZURE-NPM-ACCEPT
 *
 * Source: azure-container-networking `npm/pkg/dataplane/policies/chain-management_linux.go`
 * (`creatorForBootup`, `positionAzureChainJumpRule`), `policymanager_linux.go`
 * (`creatorForNewNetworkPolicies`, `writeNetworkPolicyRules`), `policy_linux.go` (comments).
 * @module
 */
import { formatSource } from '../../cluster/model.ts';
import type { Match, PortRange, SetDirection } from '../../netfilter/match.ts';
import type { Provenance } from '../../netfilter/rule.ts';
import type { Target } from '../../netfilter/target.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import { policyId } from '../../policy/model.ts';
import { Protocol } from '../../wire/protocol.ts';
import { chainSuffix } from './hash.ts';
import { commentOf, NAMED_PORT_DIRECTIONS, type NpmSet, type SetUse } from './set.ts';
import type { Acl, Direction, NpmPolicy } from './translate.ts';
import type { NpmBehavior, NpmMark } from './version.ts';

const MAIN_CHAIN = 'AZURE-NPM';
const INGRESS = 'AZURE-NPM-INGRESS';
const INGRESS_ALLOW = 'AZURE-NPM-INGRESS-ALLOW-MARK';
const EGRESS = 'AZURE-NPM-EGRESS';
const ACCEPT = 'AZURE-NPM-ACCEPT';

/** What xt_comment keeps of a longer text (XT_MAX_COMMENT_LEN less the final NUL). */
const MAX_COMMENT = 255;

const TRANSPORT = {
  TCP: { number: Protocol.tcp, match: 'tcp' },
  UDP: { number: Protocol.udp, match: 'udp' },
  SCTP: { number: Protocol.sctp, match: 'sctp' },
} as const;

/** A chain and its rules, in order. */
export interface NpmChain {
  readonly name: string;
  readonly rules: readonly RuleParts[];
}

/** The chain of a policy in one direction. */
export function policyChainName(key: string, direction: Direction, behavior: NpmBehavior): string {
  return `${baseChain(direction)}-${chainSuffix(key, behavior.names)}`;
}

/** Every chain of NPM for these policies, base chains first. `nameOf`: kernel name of a set. */
export function npmChains(
  policies: readonly NpmPolicy[],
  behavior: NpmBehavior,
  nameOf: (set: NpmSet) => string,
): NpmChain[] {
  const chains: NpmChain[] = [];
  const jumps: Record<Direction, RuleParts[]> = { ingress: [], egress: [] };
  for (const policy of policies) {
    for (const direction of ['ingress', 'egress'] as const) {
      const acls = policy[direction];
      if (acls === undefined) continue;
      const name = policyChainName(policy.key, direction, behavior);
      chains.push({
        name,
        rules: acls.map((acl) => aclRule(acl, direction, behavior, nameOf)),
      });
      jumps[direction].push(policyJump(policy, direction, name, nameOf));
    }
  }
  return [...baseChains(policies.length > 0, jumps, behavior), ...chains];
}

function baseChains(
  active: boolean,
  jumps: Readonly<Record<Direction, readonly RuleParts[]>>,
  behavior: NpmBehavior,
): NpmChain[] {
  const { ingressAllow, ingressDrop, egressDrop } = behavior;
  const clear: NpmMark = { value: 0, mask: 0xffff_ffff, text: '0x0' };
  return [
    { name: MAIN_CHAIN, rules: active ? [to(INGRESS), to(EGRESS), to(ACCEPT)] : [] },
    {
      name: INGRESS,
      rules: [
        ...jumps.ingress,
        onMark(ingressDrop, { kind: 'drop' }, `DROP-ON-INGRESS-DROP-MARK-${ingressDrop.text}`),
      ],
    },
    {
      name: INGRESS_ALLOW,
      rules: [
        {
          matches: [comment(`SET-INGRESS-ALLOW-MARK-${ingressAllow.text}`)],
          target: setMark(ingressAllow),
        },
        to(EGRESS),
      ],
    },
    {
      name: EGRESS,
      rules: [
        ...jumps.egress,
        onMark(egressDrop, { kind: 'drop' }, `DROP-ON-EGRESS-DROP-MARK-${egressDrop.text}`),
        onMark(
          ingressAllow,
          { kind: 'jump', chain: ACCEPT },
          `ACCEPT-ON-INGRESS-ALLOW-MARK-${ingressAllow.text}`,
        ),
      ],
    },
    {
      name: ACCEPT,
      rules: [
        ...(behavior.clearsMarks
          ? [{ matches: [comment('CLEAR-AZURE-NPM-MARKS')], target: setMark(clear) }]
          : []),
        { target: { kind: 'accept' } },
      ],
    },
  ];
}

/** `-m set … dst` (ingress) or `src` (egress) for every set of the podSelector. */
function policyJump(
  policy: NpmPolicy,
  direction: Direction,
  chain: string,
  nameOf: (set: NpmSet) => string,
): RuleParts {
  const side: SetDirection = direction === 'ingress' ? 'dst' : 'src';
  const selected = policy.selector.map(commentOf).join('-AND-');
  const text =
    `${direction.toUpperCase()}-POLICY-${policy.key}-` +
    `${direction === 'ingress' ? 'TO' : 'FROM'}-${selected}-IN-ns-${policy.policy.namespace}`;
  const origin: Provenance = {
    object: policyId(policy.policy),
    direction,
    effect: 'select',
    field: 'spec.podSelector',
    source: formatSource(policy.policy.source),
  };
  return {
    matches: [...setMatches(policy.selector, side, nameOf), comment(text)],
    target: { kind: 'jump', chain },
    origin: [origin],
  };
}

function aclRule(
  acl: Acl,
  direction: Direction,
  behavior: NpmBehavior,
  nameOf: (set: NpmSet) => string,
): RuleParts {
  const matches: Match[] = [];
  if (acl.protocol !== null && acl.ports !== null) {
    matches.push({
      kind: TRANSPORT[acl.protocol].match,
      dport: { value: acl.ports, negate: false },
    });
  }
  matches.push(...setMatches(acl.peers, direction === 'ingress' ? 'src' : 'dst', nameOf));
  if (acl.namedPort !== null) {
    matches.push({
      kind: 'set',
      set: nameOf(acl.namedPort),
      directions: NAMED_PORT_DIRECTIONS,
      negate: false,
    });
  }
  matches.push(comment(aclComment(acl, direction)));
  return {
    ...(acl.protocol === null
      ? {}
      : { ip: { protocol: { value: TRANSPORT[acl.protocol].number, negate: false } } }),
    matches,
    target: aclTarget(acl, direction, behavior),
    origin: [acl.origin],
  };
}

function aclTarget(acl: Acl, direction: Direction, behavior: NpmBehavior): Target {
  if (acl.effect === 'drop') {
    return setMark(direction === 'ingress' ? behavior.ingressDrop : behavior.egressDrop);
  }
  return { kind: 'jump', chain: direction === 'ingress' ? INGRESS_ALLOW : ACCEPT };
}

function aclComment(acl: Acl, direction: Direction): string {
  const peers = acl.peers.map(commentOf).join('-AND-');
  const verb = acl.effect === 'allow' ? 'ALLOW' : 'DROP';
  const who = peers === '' ? 'ALL' : `${direction === 'ingress' ? 'FROM' : 'TO'}-${peers}`;
  const protocol = acl.protocol === null ? '' : `-ON-${acl.protocol}`;
  const ports = acl.ports === null ? '' : `-TO-PORT-${portText(acl.ports)}`;
  const named = acl.namedPort === null ? '' : `-TO-${acl.namedPort.name}`;
  return `${verb}-${who}${protocol}${ports}${named}`;
}

function portText({ low, high }: PortRange): string {
  return low >= high ? String(low) : `${low}:${high}`;
}

function setMatches(
  uses: readonly SetUse[],
  side: SetDirection,
  nameOf: (set: NpmSet) => string,
): Match[] {
  return uses.map(({ set, included }) => ({
    kind: 'set',
    set: nameOf(set),
    directions: [side],
    negate: !included,
  }));
}

function baseChain(direction: Direction): string {
  return direction === 'ingress' ? INGRESS : EGRESS;
}

function to(chain: string): RuleParts {
  return { target: { kind: 'jump', chain } };
}

function comment(text: string): Match {
  return { kind: 'comment', text: text.slice(0, MAX_COMMENT) };
}

function onMark(mark: NpmMark, target: Target, text: string): RuleParts {
  const test: Match = { kind: 'mark', value: mark.value, mask: mark.mask, negate: false };
  return { matches: [test, comment(text)], target };
}

/** `--set-mark V/M`: clears M, sets V; `--set-xmark` with mask V|M is the same rule. */
function setMark(mark: NpmMark): Target {
  return { kind: 'mark', value: mark.value, mask: (mark.value | mark.mask) >>> 0 };
}

/**
 * Put the jump in FORWARD: right after the one to KUBE-SERVICES, or first when there is none or
 * `first` is asked for.
 */
export function placeJump(builder: PlanBuilder, position: 'first' | 'after-kube-services'): void {
  const jump: RuleParts = {
    matches: [{ kind: 'conntrack', states: ['NEW'], negate: false }],
    target: { kind: 'jump', chain: MAIN_CHAIN },
  };
  const services = builder
    .rules(4, 'filter', 'FORWARD')
    .findIndex(({ target }) => target.kind === 'jump' && target.chain === 'KUBE-SERVICES');
  const index = position === 'first' || services < 0 ? 1 : services + 2;
  builder.insert(4, 'filter', 'FORWARD', jump, index);
}
