/**
 * Small hosts and networks for traversal tests, and the few words to drive an engine with.
 * @module
 */
import type { Injection, Journey } from '../../src/engine/engine.ts';
import { ReferenceEngine, type ReferenceOptions } from '../../src/engine/reference.ts';
import type { Attachment, Link } from '../../src/engine/topology.ts';
import type { HostImage } from '../../src/image/image.ts';
import { lower } from '../../src/lowering/link.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import type { Interface, InterfaceAddress, Plan, Route } from '../../src/plan/model.ts';
import { MAIN_TABLE } from '../../src/plan/model.ts';
import { parseIptables } from '../../src/plan/rule/iptables-text.ts';
import { type Prefix, parsePrefix } from '../../src/wire/address/address.ts';
import { address } from './packets.ts';

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === null) throw new Error(`not a prefix: ${text}`);
  return parsed;
}

/** An interface with its addresses written `10.0.0.1/24`. */
export function iface(
  name: string,
  mac: string,
  options: Partial<Omit<Interface, 'addresses'>> & { readonly addresses?: readonly string[] } = {},
): Interface {
  const { addresses = [], ...rest } = options;
  return {
    name,
    kind: 'veth',
    mac,
    mtu: 1500,
    up: true,
    ...rest,
    addresses: addresses.map((text): InterfaceAddress => {
      const { address: own, length } = prefix(text);
      const scope = text.startsWith('127.') || text.startsWith('::1') ? 'host' : 'global';
      return { address: own, length, scope: text.startsWith('fe80') ? 'link' : scope };
    }),
  };
}

export function loopback(): Interface {
  return iface('lo', '00:00:00:00:00:00', {
    kind: 'loopback',
    mtu: 65536,
    addresses: ['127.0.0.1/8', '::1/128'],
  });
}

/** `route('10.0.0.0/24', { device: 'eth0' })`, `route('0.0.0.0/0', { device, via })`. */
export function route(
  destination: string,
  options: { device?: string; via?: string; type?: Route['type']; source?: string },
): Route {
  const to = prefix(destination);
  const { device, via, type = 'unicast', source } = options;
  return {
    family: to.address.family,
    type,
    destination: to,
    table: MAIN_TABLE,
    metric: 0,
    scope: via === undefined && type === 'unicast' ? 'link' : 'global',
    ...(device === undefined ? {} : { device }),
    ...(via === undefined ? {} : { via: address(via) }),
    ...(source === undefined ? {} : { source: address(source) }),
  };
}

export interface HostParts {
  readonly role?: Plan['role'];
  readonly interfaces: readonly Interface[];
  readonly routes?: readonly Route[];
  /** `[address, device, mac]`. */
  readonly neighbors?: readonly (readonly [string, string, string])[];
  readonly sysctls?: Readonly<Record<string, string>>;
  /** iptables-restore text. */
  readonly iptables?: string;
  readonly ip6tables?: string;
  readonly extend?: (builder: PlanBuilder) => void;
}

/** A whole plan; loopback is added. */
export function hostPlan(name: string, parts: HostParts): Plan {
  const builder = new PlanBuilder(name, parts.role ?? 'node');
  builder.interfaces.push(loopback(), ...parts.interfaces);
  builder.routes.push(...(parts.routes ?? []));
  for (const [ip, device, mac] of parts.neighbors ?? []) {
    builder.neighbors.push({ address: address(ip), device, mac, state: 'permanent' });
  }
  Object.assign(builder.sysctls, parts.sysctls);
  parts.extend?.(builder);
  const plan = builder.build();
  const read4 = parts.iptables === undefined ? [] : parseIptables(parts.iptables, 'test', 4);
  const read6 = parts.ip6tables === undefined ? [] : parseIptables(parts.ip6tables, 'test', 6);
  return { ...plan, tables: [...plan.tables, ...read4, ...read6] };
}

/** An engine over plans. Devices that no link names are edges: what is sent there has exited. */
export function engineOf(
  plans: readonly Plan[],
  links: readonly Link[] = [],
  options: ReferenceOptions = {},
): ReferenceEngine {
  const byName = new Map(plans.map((plan) => [plan.host, plan]));
  const images = new Map<string, HostImage>();
  const hosts = (name: string): HostImage | undefined => {
    const plan = byName.get(name);
    const image = images.get(name) ?? (plan === undefined ? undefined : lower(plan));
    if (image !== undefined) images.set(name, image);
    return image;
  };
  const linked = new Set(links.flat().map((end) => `${end.host} ${end.device}`));
  const edges: Attachment[] = plans.flatMap((plan) =>
    plan.interfaces
      .filter((device) => device.kind === 'veth' || device.kind === 'physical')
      .map((device) => ({ host: plan.host, device: device.name }))
      .filter((end) => !linked.has(`${end.host} ${end.device}`)),
  );
  const connections = (name: string) => byName.get(name)?.connections ?? [];
  return new ReferenceEngine({ hosts, links, edges, connections }, options);
}

export function link(a: string, b: string): Link {
  return [attachment(a), attachment(b)];
}

function attachment(text: string): Attachment {
  const [host = '', device = ''] = text.split('/');
  return { host, device };
}

/** One frame that left the emulation. */
export interface Sent {
  readonly host: string;
  readonly device: string;
  readonly frame: Uint8Array;
}

/** Every frame that left by an edge because of this journey, copies and generated ones too. */
export function sentBy(journey: Journey): Sent[] {
  const own =
    journey.outcome === 'exited' && journey.frame != null
      ? [{ ...journey.end, frame: journey.frame }]
      : [];
  return [
    ...own,
    ...journey.copies.flatMap(sentBy),
    ...journey.generated.flatMap((made) => sentBy(made.journey)),
  ];
}

/** `prerouting, route, forward, postrouting, transmit`: the stages that a packet went through. */
export function stages(journey: Journey, host?: string): string {
  return journey.steps
    .filter((step) => host === undefined || step.host === host)
    .map((step) => step.stage)
    .join(' ');
}

let nextFrame = 1;

/** Injections with the parts that tests rarely care about filled in. */
export const inject = {
  local: (host: string, packet: Uint8Array, nowNs = 0): Injection => ({
    as: 'local',
    frame: nextFrame++,
    nowNs,
    host,
    packet,
  }),
  frame: (at: string, frameBytes: Uint8Array, nowNs = 0): Injection => ({
    as: 'frame',
    frame: nextFrame++,
    nowNs,
    ...attachment(at),
    frameBytes,
  }),
  received: (at: string, packet: Uint8Array, nowNs = 0): Injection => ({
    as: 'received',
    frame: nextFrame++,
    nowNs,
    ...attachment(at),
    packet,
  }),
};
