/**
 * Azure Load Balancer on the fabric host.
 *
 *   mangle PREROUTING  -d VIP  CONNMARK --restore-mark       a known connection keeps its node
 *   nat PREROUTING     -d VIP -p tcp --dport 80 ─► LB-…-80   a new one draws it, once:
 *     LB-…-80            statistic 1/n ─► LB-NODE-1 … ─► LB-NODE-n
 *     LB-NODE-i          MARK i, CONNMARK --save-mark        floating IP: address stays, and
 *   ip rule fwmark i ─► table of node i                      the mark routes it to the node
 *
 * Without floating IP the drawn rule is a DNAT to the node's address and node port. Azure's hash is
 * not public: every healthy backend is possible, and the draw stands for it. Clients that stick
 * (SourceIP distribution) are remembered by xt_recent. A frontend has no other ports: what has no
 * rule, or no healthy backend, is dropped. A backend that is drawn for its own packet can not
 * reach itself by an internal frontend (load-balancer-floating-ip `05f0e716`, AKS documentation).
 * @module
 */
import { createHash } from 'node:crypto';
import type { Node } from '../cluster/model.ts';
import type { Match } from '../netfilter/match.ts';
import type { Provenance } from '../netfilter/rule.ts';
import type { PlanBuilder, RuleParts } from '../plan/builder.ts';
import { MAIN_TABLE } from '../plan/model.ts';
import { type Address, type Family, formatAddress, hostPrefix } from '../wire/address/address.ts';
import { Protocol } from '../wire/protocol.ts';
import { fabricDevice, NIC_PREFIX } from './devices.ts';
import { backendAddress, backendKey, byFrontend, type LoadBalancerRule } from './frontends.ts';
import { ANY, comment, head, jump, routeVia, rule } from './parts.ts';

/** Marks 1 … n stand for nodes; tables and rules of node i are numbered from here. */
const FIRST_TABLE = 10_000;
const MARK_PREFERENCE = 2000;

const LB = 'LB-FRONTENDS';
/** 31 bits of chance (xt_statistic). */
const CERTAIN = 0x80000000;

export interface BalancerInput {
  readonly rules: readonly LoadBalancerRule[];
  readonly nodes: readonly Node[];
  /** Backends whose probe was not answered (`backendKey`). */
  readonly unhealthy: ReadonlySet<string>;
}

/** Write all frontends; nothing when there are none. */
export function addLoadBalancers(builder: PlanBuilder, input: BalancerInput): void {
  const frontends = byFrontend(input.rules);
  for (const family of [4, 6] as const) {
    const own = frontends.filter(([address]) => address.family === family);
    if (own.length === 0) continue;
    const marked = own.some(([, rules]) => rules.some((r) => r.floating));
    if (marked) addNodes(builder, family, input);
    for (const [address, rules] of own) addFrontend(builder, address, rules, input);
  }
}

function nodeChain(index: number, internal: boolean): string {
  return `LB-NODE-${index}${internal ? '-I' : ''}`;
}

/** What a drawn node's mark does: chains that set it, and where it leads. */
function addNodes(builder: PlanBuilder, family: Family, input: BalancerInput): void {
  // What no frontend marked need not look at all of them.
  builder.routingRules.push({
    family,
    preference: MARK_PREFERENCE - 1,
    table: MAIN_TABLE,
    fwmark: { value: 0, mask: 0xffffffff },
  });
  input.nodes.forEach((node, i) => {
    const mark = i + 1;
    const via = node.addresses.find((a) => a.family === family);
    if (!via) return;
    builder.routingRules.push({
      family,
      preference: MARK_PREFERENCE,
      table: FIRST_TABLE + mark,
      fwmark: { value: mark, mask: 0xffffffff },
    });
    const hop = { via, device: fabricDevice(node.name) };
    builder.routes.push(routeVia(ANY[family], hop, FIRST_TABLE + mark));
    for (const internal of [false, true]) {
      const chain = nodeChain(mark, internal);
      const set: RuleParts = { target: { kind: 'mark', value: mark, mask: 0xffffffff } };
      const keep: RuleParts = {
        target: {
          kind: 'connmark',
          operation: 'save',
          value: 0,
          mask: 0xffffffff,
          nfmask: 0xffffffff,
        },
      };
      builder.append(family, 'nat', chain, set, keep, { target: { kind: 'accept' } });
    }
  });
}

function addFrontend(
  builder: PlanBuilder,
  address: Address,
  rules: readonly LoadBalancerRule[],
  input: BalancerInput,
): void {
  const { family } = address;
  const to = hostPrefix(address);
  const text = `load balancer frontend ${formatAddress(address)}`;
  // Answers leave a NIC with the frontend's address; the reverse path leads elsewhere.
  builder.append(
    family,
    'raw',
    'PREROUTING',
    rule({ from: to, in: `${NIC_PREFIX}+` }, 'accept', comment(`${text}: answers`)),
  );
  builder.append(
    family,
    'mangle',
    'PREROUTING',
    rule({ from: to, in: `${NIC_PREFIX}+` }, 'drop', comment(`${text}: only answers`), {
      kind: 'conntrackDetail',
      direction: 'ORIGINAL',
    }),
    rule(
      { to },
      {
        kind: 'connmark',
        operation: 'restore',
        value: 0,
        mask: 0xffffffff,
        nfmask: 0xffffffff,
      },
      comment(text),
    ),
  );
  if (builder.rules(family, 'nat', LB).length === 0) {
    builder.append(family, 'nat', 'PREROUTING', { target: jump(LB) });
  }
  for (const one of rules) addRule(builder, one, input);
  dropRest(builder, address, rules, input);
}

/** Healthy backends of a rule. */
export function healthyBackends(
  one: LoadBalancerRule,
  unhealthy: ReadonlySet<string>,
): readonly Node[] {
  return one.candidates.filter((node) => !unhealthy.has(backendKey(one, node)));
}

function addRule(builder: PlanBuilder, one: LoadBalancerRule, input: BalancerInput): void {
  const { family } = one.address;
  const chain = ruleChain(one);
  const origin = originOf(one);
  builder.append(family, 'nat', LB, { ...portHead(one, jump(chain)), origin });
  builder.ensureChain(family, 'nat', chain);
  const backends = healthyBackends(one, input.unhealthy);
  const list = (node: Node) => `${chain}-${input.nodes.indexOf(node) + 1}`;
  if (one.sticky) {
    for (const node of backends) {
      const match = recent(list(node), family, 'rcheck');
      builder.append(family, 'nat', chain, backendRule(one, node, input, [match]));
    }
  }
  backends.forEach((node, i) => {
    const left = backends.length - i;
    const chance: Match[] =
      left === 1 ? [] : [{ kind: 'random', threshold: Math.round(CERTAIN / left), negate: false }];
    if (!one.sticky) {
      builder.append(family, 'nat', chain, backendRule(one, node, input, chance));
      return;
    }
    // Remember the client where it is sent: the list is named by rule and node.
    const seen = `${list(node)}-s`;
    builder.append(family, 'nat', chain, { matches: chance, target: jump(seen), origin });
    builder.append(
      family,
      'nat',
      seen,
      { matches: [recent(list(node), family, 'set')] },
      backendRule(one, node, input, []),
    );
  });
}

function backendRule(
  one: LoadBalancerRule,
  node: Node,
  input: BalancerInput,
  matches: readonly Match[],
): RuleParts {
  const origin = originOf(one);
  const address = backendAddress(one, node);
  const why = comment(`backend ${node.name}`);
  if (one.floating || address === undefined || one.port.nodePort === undefined) {
    const target = jump(nodeChain(input.nodes.indexOf(node) + 1, one.internal));
    return { matches: [...matches, why], target, origin };
  }
  return {
    ip: head({ protocol: protocolOf(one) }),
    matches: [...matches, why],
    target: {
      kind: 'dnat',
      range: {
        low: address,
        high: address,
        ports: { low: one.port.nodePort, high: one.port.nodePort },
        random: false,
        randomFully: false,
        persistent: false,
      },
    },
    origin,
  };
}

/** What a frontend does not pass on, and a backend's own packets. */
function dropRest(
  builder: PlanBuilder,
  address: Address,
  rules: readonly LoadBalancerRule[],
  input: BalancerInput,
): void {
  const { family } = address;
  const text = `load balancer frontend ${formatAddress(address)}`;
  for (const one of rules) {
    if (healthyBackends(one, input.unhealthy).length > 0) continue;
    const dead = portHead(one, { kind: 'drop' }, comment(`${text}: no healthy backend`));
    builder.append(family, 'filter', 'FORWARD', { ...dead, origin: originOf(one) });
  }
  if (rules.some((one) => one.internal)) {
    const asked: Match = {
      kind: 'conntrackDetail',
      originalDestination: { value: hostPrefix(address), negate: false },
      direction: 'ORIGINAL',
    };
    for (const node of input.nodes) {
      const nic = fabricDevice(node.name);
      const why = 'a backend can not reach itself by an internal frontend';
      const own = rule({ in: nic, out: nic }, 'drop', asked, comment(why));
      builder.append(family, 'filter', 'FORWARD', own);
    }
  }
  const unmarked: Match = { kind: 'mark', value: 0, mask: 0xffffffff, negate: false };
  builder.append(
    family,
    'filter',
    'FORWARD',
    rule({ to: hostPrefix(address) }, 'drop', unmarked, comment(`${text}: no rule for this port`)),
  );
}

function portHead(one: LoadBalancerRule, target: RuleParts['target'], ...more: Match[]): RuleParts {
  const dport = { value: { low: one.port.port, high: one.port.port }, negate: false };
  return {
    ip: head({ to: hostPrefix(one.address), protocol: protocolOf(one) }),
    matches: [{ kind: one.port.protocol === 'UDP' ? 'udp' : 'tcp', dport }, ...more],
    ...(target === undefined ? {} : { target }),
  };
}

function protocolOf(one: LoadBalancerRule): number {
  return one.port.protocol === 'UDP' ? Protocol.udp : Protocol.tcp;
}

function recent(name: string, family: Family, operation: 'rcheck' | 'set'): Match {
  return {
    kind: 'recent',
    operation,
    negate: false,
    seconds: 0,
    reap: false,
    hitcount: 0,
    ttl: false,
    list: name,
    mask: allOnes(family),
    side: 'source',
  };
}

function allOnes(family: Family): Address {
  const w = 0xffffffff;
  return family === 4
    ? { family, w0: 0, w1: 0, w2: 0, w3: w }
    : { family, w0: w, w1: w, w2: w, w3: w };
}

/** `LB-5f3a91c2-tcp-80`: chain names have at most 28 characters. */
function ruleChain(one: LoadBalancerRule): string {
  const digest = createHash('sha1').update(formatAddress(one.address)).digest('hex').slice(0, 8);
  return `LB-${digest}-${one.port.protocol.toLowerCase()}-${one.port.port}`;
}

function originOf({ service, port }: LoadBalancerRule): readonly Provenance[] {
  return [
    {
      object: `${service.namespace}/Service/${service.name}`,
      effect: 'platform',
      field: `spec.ports[${port.name === '' ? port.port : port.name}]`,
      source: `${port.source.file}:${port.source.line}`,
    },
  ];
}
