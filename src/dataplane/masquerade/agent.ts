/**
 * The chain of the masquerade agents: everything that does not stay in the cluster leaves with the
 * node's address.
 *
 * kube-proxy inserts its KUBE-POSTROUTING jump, the agent appends its own: what kube-proxy marked
 * is masqueraded first. Rules and comments: kubernetes-sigs/ip-masq-agent (e3000864) and
 * Azure/ip-masq-agent-v2 (45758a6f) `cmd/…/ip-masq-agent.go` `syncMasqRules`,
 * `ensurePostroutingJump`, `writeNonMasqRule`, `writeMasqRule`; equal to the dump of an AKS node.
 * @module
 */
import type { Masquerade } from '../../cluster/model.ts';
import { assert } from '../../diagnostic/diagnostic.ts';
import type { Match } from '../../netfilter/match.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import { type Family, type Prefix, parsePrefix } from '../../wire/address/address.ts';

export const MASQUERADE_CHAIN = 'IP-MASQ-AGENT';

const LINK_LOCAL: Readonly<Record<Family, Prefix>> = {
  4: constant('169.254.0.0/16'),
  6: constant('fe80::/10'),
};

/** Write the agent's chain for the families that it runs for. */
export function renderMasqueradeAgent(
  builder: PlanBuilder,
  masquerade: Masquerade,
  families: readonly Family[],
): void {
  for (const family of families) {
    builder.append(family, 'nat', 'POSTROUTING', {
      matches: [
        comment(
          'ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to ' +
            `our custom ${MASQUERADE_CHAIN} chain`,
        ),
        {
          kind: 'addrtype',
          destination: { value: ['LOCAL'], negate: true },
          limitIfaceIn: false,
          limitIfaceOut: false,
        },
      ],
      target: { kind: 'jump', chain: MASQUERADE_CHAIN },
    });
    const kept = masquerade.nonMasqueradeCidrs.filter((p) => p.address.family === family);
    const linkLocal = family === 4 ? masquerade.linkLocal : masquerade.linkLocal6;
    const alone = linkLocal ? kept : [LINK_LOCAL[family], ...kept];
    builder.append(family, 'nat', MASQUERADE_CHAIN, ...alone.map(leftAlone), {
      matches: [
        comment('ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)'),
      ],
      target: {
        kind: 'masquerade',
        range: {
          random: false,
          // v1 asks for it by default (`--random-fully`); v2 has no such option.
          randomFully: masquerade.agent === 'ip-masq-agent',
          persistent: false,
        },
      },
    });
  }
}

function leftAlone(destination: Prefix): RuleParts {
  return {
    ip: { destination: { value: destination, negate: false } },
    matches: [comment('ip-masq-agent: local traffic is not subject to MASQUERADE')],
    target: { kind: 'return' },
  };
}

function comment(text: string): Match {
  return { kind: 'comment', text };
}

function constant(text: string): Prefix {
  const prefix = parsePrefix(text);
  assert(prefix !== null, `${text} is a prefix`);
  return prefix;
}
