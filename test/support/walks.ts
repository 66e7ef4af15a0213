/**
 * Small hosts for tests of rules: a plan, its image, and a context to walk it with.
 * @module
 */
import type { HostImage } from '../../src/image/image.ts';
import { lower } from '../../src/lowering/link.ts';
import { RuleCounters } from '../../src/node/counters.ts';
import type { ConnectionFacts, WalkContext } from '../../src/node/hook/walk-context.ts';
import { RuleLooks } from '../../src/node/hook/walk-recorder.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import type { Interface, Plan } from '../../src/plan/model.ts';
import type { Family } from '../../src/wire/address/address.ts';
import { type Prefix, parsePrefix } from '../../src/wire/address/address.ts';

/** Parse a prefix that a test wrote itself. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === null) throw new Error(`not a prefix: ${text}`);
  return parsed;
}

/** An interface with addresses as `ADDRESS/LENGTH`. */
export function iface(name: string, addresses: readonly string[], more: Partial<Interface> = {}) {
  const kind = name === 'lo' ? 'loopback' : 'veth';
  return {
    name,
    kind,
    mac: `02:00:00:00:00:${name.length.toString(16).padStart(2, '0')}`,
    mtu: 1500,
    up: true,
    addresses: addresses.map((text) => ({ ...prefix(text), scope: 'global' as const })),
    ...more,
  } satisfies Interface;
}

/** A router: eth0 10.1.0.1/24 and 2001:db8:1::1/64, eth1 10.2.0.1/24 and 2001:db8:2::1/64. */
export function routerPlan(): PlanBuilder {
  const builder = new PlanBuilder('router', 'node');
  builder.interfaces.push(
    iface('lo', ['127.0.0.1/8', '::1/128']),
    iface('eth0', ['10.1.0.1/24', '2001:db8:1::1/64']),
    iface('eth1', ['10.2.0.1/24', '2001:db8:2::1/64']),
  );
  for (const [device, nets] of [
    ['eth0', ['10.1.0.0/24', '2001:db8:1::/64']],
    ['eth1', ['10.2.0.0/24', '2001:db8:2::/64']],
  ] as const) {
    for (const destination of nets.map(prefix)) {
      const { family } = destination.address;
      const base = { family, type: 'unicast', destination, table: 254, device } as const;
      builder.routes.push({ ...base, metric: 0, scope: 'link' });
    }
  }
  return builder;
}

/** A connection as tests see it. */
export interface TestConnection {
  mark: number;
  snat: boolean;
  dnat: boolean;
}

export const TEST_CONNECTIONS: ConnectionFacts = {
  mark: (c) => (c as TestConnection).mark,
  setMark: (c, mark) => {
    (c as TestConnection).mark = mark;
  },
  isSourceTranslated: (c) => (c as TestConnection).snat,
  isDestinationTranslated: (c) => (c as TestConnection).dnat,
};

/** A context with counters of its own; `looks` collects the trace. */
export function contextOf(image: HostImage): WalkContext & { readonly recorder: RuleLooks } {
  return {
    image,
    counters: new RuleCounters(image.program),
    connections: TEST_CONNECTIONS,
    recorder: new RuleLooks({ tracing: true }),
    nowNs: 0,
    seed: 1,
  };
}

/** Lower a plan and make a context to walk it with. */
export function walkContext(plan: Plan): WalkContext & { readonly recorder: RuleLooks } {
  return contextOf(lower(plan));
}

/** `[family, table, chain, index]` of a rule → packets counted. */
export function counted(
  ctx: WalkContext,
  at: { family?: Family; table: string; chain: string; index: number },
): number {
  const rule = ctx.image.program.rules.find(
    ({ address: a }) =>
      a.family === (at.family ?? 4) &&
      a.table === at.table &&
      a.chain === at.chain &&
      a.index === at.index,
  );
  if (rule === undefined) throw new Error('no such rule');
  return ctx.counters.packets(rule);
}
