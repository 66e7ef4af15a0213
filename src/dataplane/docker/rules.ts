/**
 * The chains of Docker's default bridge: what leaves is hidden, what comes in was published.
 *
 * Source: moby/moby v24 `libnetwork/drivers/bridge/setup_ip_tables.go`, `libnetwork/iptables`
 * (`Forward`, `ProgramChain`), `libnetwork/firewall_linux.go` (DOCKER-USER); equal to the dumps of
 * two hosts (Docker 24 beside kubelet, 2024; 2016 before the isolation chains).
 * @module
 */
import type { ContainerPort, Pod } from '../../cluster/model.ts';
import type { Match } from '../../netfilter/match.ts';
import type { Target } from '../../netfilter/target.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import {
  type Address,
  formatAddress,
  hostPrefix,
  type Prefix,
} from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { prefix } from '../azure-cni/neighbors.ts';

const CHAIN = 'DOCKER';
const STAGE_1 = 'DOCKER-ISOLATION-STAGE-1';
const STAGE_2 = 'DOCKER-ISOLATION-STAGE-2';
const USER = 'DOCKER-USER';

/** A port of the host that leads to a container's (`docker run -p`). */
interface Published {
  readonly address: Address;
  readonly port: ContainerPort;
  readonly hostPort: number;
  readonly pod: Pod;
}

/** Write Docker's IPv4 chains for a bridge with this range. */
export function addDockerRules(
  builder: PlanBuilder,
  bridge: string,
  range: Prefix | null,
  pods: readonly Pod[],
): void {
  const published = pods.flatMap(publishedOf);
  addNat(builder, bridge, range, published);
  addFilter(builder, bridge, published);
}

function publishedOf(pod: Pod): readonly Published[] {
  const address = pod.addresses.find((a) => a.family === 4);
  if (!address) return [];
  return pod.ports.flatMap((port) =>
    port.hostPort === undefined ? [] : [{ address, port, hostPort: port.hostPort, pod }],
  );
}

function addNat(
  builder: PlanBuilder,
  bridge: string,
  range: Prefix | null,
  published: readonly Published[],
): void {
  const local: Match = {
    kind: 'addrtype',
    destination: { value: ['LOCAL'], negate: false },
    limitIfaceIn: false,
    limitIfaceOut: false,
  };
  const notLoopback = { destination: { value: prefix('127.0.0.0/8'), negate: true } };
  builder.append(4, 'nat', 'PREROUTING', { matches: [local], target: jump(CHAIN) });
  builder.append(4, 'nat', 'OUTPUT', { ip: notLoopback, matches: [local], target: jump(CHAIN) });
  if (range) {
    const ip = {
      source: { value: range, negate: false },
      outInterface: { value: bridge, negate: true },
    };
    builder.append(4, 'nat', 'POSTROUTING', { ip, target: masquerade() });
  }
  for (const one of published) {
    const itself = { value: hostPrefix(one.address), negate: false };
    const ip = { source: itself, destination: itself, ...protocolOf(one) };
    const matches = [portMatch(one, one.port.containerPort)];
    builder.append(4, 'nat', 'POSTROUTING', { ip, matches, target: masquerade() });
  }
  const own = { inInterface: { value: bridge, negate: false } };
  builder.append(4, 'nat', CHAIN, { ip: own, target: { kind: 'return' } });
  for (const one of published) {
    const to = one.port.containerPort;
    const { address } = one;
    const elsewhere = { inInterface: { value: bridge, negate: true } };
    builder.append(4, 'nat', CHAIN, {
      ip: { ...elsewhere, ...protocolOf(one) },
      matches: [portMatch(one, one.hostPort)],
      target: {
        kind: 'dnat',
        range: {
          low: address,
          high: address,
          ports: { low: to, high: to },
          random: false,
          randomFully: false,
          persistent: false,
        },
      },
      origin: originOf(one),
    });
  }
}

function addFilter(builder: PlanBuilder, bridge: string, published: readonly Published[]): void {
  const into = { outInterface: { value: bridge, negate: false } };
  const from = { inInterface: { value: bridge, negate: false } };
  const away = { outInterface: { value: bridge, negate: true } };
  builder.policy(4, 'filter', 'FORWARD', 'DROP');
  builder.append(
    4,
    'filter',
    'FORWARD',
    { target: jump(USER) },
    { target: jump(STAGE_1) },
    {
      ip: into,
      matches: [{ kind: 'conntrack', states: ['RELATED', 'ESTABLISHED'], negate: false }],
      target: { kind: 'accept' },
    },
    { ip: into, target: jump(CHAIN) },
    { ip: { ...from, ...away }, target: { kind: 'accept' } },
    { ip: { ...from, ...into }, target: { kind: 'accept' } },
  );
  builder.ensureChain(4, 'filter', CHAIN);
  for (const one of published) {
    const elsewhere = { inInterface: { value: bridge, negate: true } };
    const destination = { value: hostPrefix(one.address), negate: false };
    builder.append(4, 'filter', CHAIN, {
      ip: { destination, ...elsewhere, ...into, ...protocolOf(one) },
      matches: [portMatch(one, one.port.containerPort)],
      target: { kind: 'accept' },
      origin: originOf(one),
    });
  }
  const back: RuleParts = { target: { kind: 'return' } };
  builder.append(4, 'filter', STAGE_1, { ip: { ...from, ...away }, target: jump(STAGE_2) }, back);
  builder.append(4, 'filter', STAGE_2, { ip: into, target: { kind: 'drop' } }, back);
  builder.append(4, 'filter', USER, back);
}

function jump(chain: string): Target {
  return { kind: 'jump', chain };
}

function masquerade(): Target {
  return { kind: 'masquerade', range: { random: false, randomFully: false, persistent: false } };
}

function protocolOf({ port }: Published) {
  const numbers = { TCP: Protocol.tcp, UDP: Protocol.udp, SCTP: Protocol.sctp };
  return { protocol: { value: numbers[port.protocol], negate: false } };
}

function portMatch({ port }: Published, number: number): Match {
  const kinds = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;
  return {
    kind: kinds[port.protocol],
    dport: { value: { low: number, high: number }, negate: false },
  };
}

function originOf({ pod, hostPort, address }: Published) {
  return [
    {
      object: `${pod.namespace}/Pod/${pod.name}`,
      effect: 'platform' as const,
      field: `hostPort ${hostPort} of ${formatAddress(address)}`,
      source: `${pod.source.file}:${pod.source.line}`,
    },
  ];
}
