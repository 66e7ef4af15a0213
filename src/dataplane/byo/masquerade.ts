/**
 * The source NAT that CNI agents of clusters elsewhere keep on a node.
 *
 * flannel: flannel-io/flannel v0.25 `pkg/trafficmngr/iptables/iptables.go` `masqRules`,
 * `forwardRules`; equal to the dump of a kubeadm node. kindnet: kubernetes-sigs/kind v0.23
 * `images/kindnetd/cmd/kindnetd/masq.go`.
 * @module
 */
import type { Node, Wiring } from '../../cluster/model.ts';
import type { IpMatch, Match } from '../../netfilter/match.ts';
import type { Target } from '../../netfilter/target.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import type { Family, Prefix } from '../../wire/address/address.ts';
import { prefix } from '../azure-cni/neighbors.ts';
import { nodeRanges } from '../plain/node-range.ts';

const MULTICAST: Readonly<Record<Family, Prefix>> = {
  4: prefix('224.0.0.0/4'),
  6: prefix('ff00::/8'),
};

/** Chains FLANNEL-POSTRTG and FLANNEL-FWD. */
export function addFlannelRules(builder: PlanBuilder, wiring: Wiring, node: Node): void {
  for (const { range: own } of nodeRanges(node)) {
    const { family } = own.address;
    const whole = wiring.podCidrs.find((p) => p.address.family === family);
    if (!whole) continue;
    const masq = { kind: 'comment', text: 'flanneld masq' } as const;
    const jump = (chain: string): Target => ({ kind: 'jump', chain });
    builder.append(family, 'nat', 'POSTROUTING', {
      matches: [masq],
      target: jump('FLANNEL-POSTRTG'),
    });
    const marked = { kind: 'mark', value: 0x4000, mask: 0x4000, negate: false } as const;
    builder.append(
      family,
      'nat',
      'FLANNEL-POSTRTG',
      { matches: [marked, masq], target: { kind: 'return' } },
      returning({ source: is(own), destination: is(whole) }, masq),
      returning({ source: is(whole), destination: is(own) }, masq),
      returning({ source: not(whole), destination: is(own) }, masq),
      hiding({ source: is(whole), destination: not(MULTICAST[family]) }, masq),
      hiding({ source: not(whole), destination: is(whole) }, masq),
    );
    const forward = { kind: 'comment', text: 'flanneld forward' } as const;
    builder.append(family, 'filter', 'FORWARD', {
      matches: [forward],
      target: jump('FLANNEL-FWD'),
    });
    for (const ip of [{ source: is(whole) }, { destination: is(whole) }]) {
      const accepted = { ip, matches: [forward], target: { kind: 'accept' } } as const;
      builder.append(family, 'filter', 'FLANNEL-FWD', accepted);
    }
  }
}

/** Chain KIND-MASQ-AGENT. */
export function addKindnetRules(builder: PlanBuilder, wiring: Wiring): void {
  const families = new Set(wiring.podCidrs.map((p) => p.address.family));
  for (const family of families) {
    builder.append(family, 'nat', 'POSTROUTING', {
      matches: [
        {
          kind: 'addrtype',
          destination: { value: ['LOCAL'], negate: true },
          limitIfaceIn: false,
          limitIfaceOut: false,
        },
        kind(
          'ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom ' +
            'KIND-MASQ-AGENT chain',
        ),
      ],
      target: { kind: 'jump', chain: 'KIND-MASQ-AGENT' },
    });
    for (const pods of wiring.podCidrs) {
      if (pods.address.family !== family) continue;
      const local = kind('local traffic is not subject to MASQUERADE');
      const kept = returning({ destination: is(pods) }, local);
      builder.append(family, 'nat', 'KIND-MASQ-AGENT', kept);
    }
    builder.append(family, 'nat', 'KIND-MASQ-AGENT', {
      matches: [kind('outbound traffic is subject to MASQUERADE (must be last in chain)')],
      target: masquerade(false),
    });
  }
}

function kind(text: string): Match {
  return { kind: 'comment', text: `kind-masq-agent: ${text}` };
}

function is(value: Prefix) {
  return { value, negate: false };
}

function not(value: Prefix) {
  return { value, negate: true };
}

function returning(ip: IpMatch, why: Match): RuleParts {
  return { ip, matches: [why], target: { kind: 'return' } };
}

function hiding(ip: IpMatch, why: Match): RuleParts {
  return { ip, matches: [why], target: masquerade(true) };
}

function masquerade(randomFully: boolean): Target {
  return { kind: 'masquerade', range: { random: false, randomFully, persistent: false } };
}
