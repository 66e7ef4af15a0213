/**
 * Host ports (`hostPort` of a container): the `portmap` CNI plugin, which runs behind the plugin
 * that wires a pod, and leads a port of the node to the pod.
 *
 *   PREROUTING, OUTPUT ─ to a local address ─► CNI-HOSTPORT-DNAT ─ ports ─► CNI-DN-… ─ DNAT
 *                                                      from the pods' range, from 127.0.0.1: marked
 *   POSTROUTING ─► CNI-HOSTPORT-MASQ ─ mark 0x2000 ─ MASQUERADE     (kubenet: kube-proxy's mark)
 *
 * The jumps are appended, so that kube-proxy's come first; a pod's own are appended, so that of two
 * pods with one port the first wins (newer releases insert them).
 *
 * Source: containernetworking/plugins v1.5.1 `plugins/meta/portmap/portmap.go`
 * (`genToplevelDnatChain`, `fillDnatRules`, `genSetMarkChain`, `genMarkMasqChain`,
 * `enableLocalnetRouting`), `chain.go`, `pkg/utils/utils.go` (`formatChainName`). A sandbox's id is
 * drawn on a real node; here it follows from the pod's name.
 * @module
 */
import { createHash } from 'node:crypto';
import { type ContainerPort, formatSource, type Node, type Pod } from '../../cluster/model.ts';
import type { IpMatch, Match } from '../../netfilter/match.ts';
import type { Provenance } from '../../netfilter/rule.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import {
  type Address,
  equalAddress,
  type Family,
  hostPrefix,
  type Prefix,
} from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { literal, podsOf } from '../azure-cni/neighbors.ts';
import { addressRanges } from '../azure-cni/ranges.ts';
import type { NetworkRenderer, RenderInput } from '../dataplane.ts';
import { type Portmap, portmapRange } from './portmap.ts';

const TOP = 'CNI-HOSTPORT-DNAT';
const SET_MARK = 'CNI-HOSTPORT-SETMARK';
const MASQUERADE = 'CNI-HOSTPORT-MASQ';
/** Bit 13: Kubernetes has 14 and 15, Calico 20 to 31. */
const MARK = 0x2000;

const LOCALHOST = hostPrefix(literal('127.0.0.1'));
const MOST_PORTS = 15;
const LONGEST_CHAIN = 28;
const KINDS = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

interface HostPort {
  readonly port: ContainerPort;
  readonly hostPort: number;
}

/** Write a node's host ports; nothing on nodes whose pods have none. */
export function renderHostPorts(
  builder: PlanBuilder,
  input: RenderInput,
  node: Node,
  network: NetworkRenderer,
): void {
  const portmap = network.portmap?.(input.stack);
  if (!portmap) return;
  const ranges = addressRanges(input.cluster);
  for (const pod of podsOf(input.cluster, node.name)) {
    const ports = pod.ports.flatMap((port) =>
      port.hostPort === undefined || port.init ? [] : [{ port, hostPort: port.hostPort }],
    );
    if (ports.length === 0) continue;
    for (const family of [4, 6] as const) {
      const address = pod.addresses.find((a) => a.family === family);
      if (!address) continue;
      const range = portmapRange(portmap, ranges.rangeOf, node, address);
      addTopLevel(builder, family, portmap);
      addPod(builder, { portmap, pod, address, range, ports });
      const device = network.hostDevice(pod, input.stack);
      if (family === 4) allowLocalhost(builder, device);
    }
  }
}

/** 127.0.0.0/8 may cross the device that leads to the pod: its veth, or the veth's bridge. */
function allowLocalhost(builder: PlanBuilder, device: string): void {
  const veth = builder.interfaces.find((i) => i.name === device);
  builder.sysctls[`net.ipv4.conf.${veth?.master ?? device}.route_localnet`] = '1';
}

/** What all pods share, made for the first. */
function addTopLevel(builder: PlanBuilder, family: Family, { markChain }: Portmap): void {
  const chain = (name: string) => builder.rules(family, 'nat', name);
  // Where kube-proxy is in another mode, nobody fills its chain.
  if (markChain !== undefined) builder.ensureChain(family, 'nat', markChain);
  else if (chain(SET_MARK).length === 0) {
    builder.append(family, 'nat', SET_MARK, {
      matches: [{ kind: 'comment', text: 'CNI portfwd masquerade mark' }],
      target: { kind: 'mark', value: MARK, mask: MARK },
    });
    builder.append(family, 'nat', MASQUERADE, {
      matches: [{ kind: 'mark', value: MARK, mask: MARK, negate: false }],
      target: {
        kind: 'masquerade',
        range: { random: false, randomFully: false, persistent: false },
      },
    });
    builder.insert(family, 'nat', 'POSTROUTING', {
      matches: [{ kind: 'comment', text: 'CNI portfwd requiring masquerade' }],
      target: { kind: 'jump', chain: MASQUERADE },
    });
  }
  if (chain(TOP).length > 0) return;
  for (const hook of ['PREROUTING', 'OUTPUT']) {
    builder.append(family, 'nat', hook, {
      matches: [
        {
          kind: 'addrtype',
          destination: { value: ['LOCAL'], negate: false },
          limitIfaceIn: false,
          limitIfaceOut: false,
        },
      ],
      target: { kind: 'jump', chain: TOP },
    });
  }
}

interface PodPorts {
  readonly portmap: Portmap;
  readonly pod: Pod;
  readonly address: Address;
  readonly range: Prefix;
  readonly ports: readonly HostPort[];
}

function addPod(builder: PlanBuilder, { portmap, pod, address, range, ports }: PodPorts): void {
  const { family } = address;
  const id = sandboxId(pod);
  const digest = createHash('sha512').update(`${portmap.network}${id}`).digest('hex');
  const chain = `CNI-DN-${digest}`.slice(0, LONGEST_CHAIN);
  const text = `dnat name: "${portmap.network}" id: "${id}"`;
  for (const protocol of ['SCTP', 'TCP', 'UDP'] as const) {
    const own = ports.filter((p) => p.port.protocol === protocol);
    for (let i = 0; i < own.length; i += MOST_PORTS) {
      const some = own.slice(i, i + MOST_PORTS);
      const numbers = some.map(({ hostPort }) => ({ low: hostPort, high: hostPort }));
      builder.append(family, 'nat', TOP, {
        ip: { protocol: { value: Protocol[KINDS[protocol]], negate: false } },
        matches: [
          { kind: 'comment', text },
          { kind: 'multiport', which: 'dports', ports: numbers, negate: false },
        ],
        target: { kind: 'jump', chain },
        origin: some.map((one) => originOf(pod, one)),
      });
    }
  }
  for (const one of ports) {
    if (!isOf(one.port, family)) continue;
    builder.append(family, 'nat', chain, ...portRules({ pod, address, range, portmap }, one));
  }
}

/** A port with an address of the node is of that address's family; 0.0.0.0 and :: are any. */
function isOf({ hostIp }: ContainerPort, family: Family): boolean {
  return hostIp === undefined || hostIp.family === family;
}

function portRules(
  { pod, address, range, portmap }: Omit<PodPorts, 'ports'>,
  one: HostPort,
): RuleParts[] {
  const { protocol, hostIp, containerPort } = one.port;
  const kind = KINDS[protocol];
  const origin = [originOf(pod, one)];
  const isAny = hostIp === undefined || isUnspecified(hostIp);
  const head = (source?: Prefix): IpMatch => ({
    ...(source ? { source: { value: source, negate: false } } : {}),
    ...(isAny ? {} : { destination: { value: hostPrefix(hostIp), negate: false } }),
    protocol: { value: Protocol[kind], negate: false },
  });
  const dport = { value: { low: one.hostPort, high: one.hostPort }, negate: false };
  const matches: readonly Match[] = [{ kind, dport }];
  const marked = (source: Prefix): RuleParts => ({
    ip: head(source),
    matches,
    target: { kind: 'jump', chain: portmap.markChain ?? SET_MARK },
    origin,
  });
  return [
    marked(range),
    ...(address.family === 4 ? [marked(LOCALHOST)] : []),
    {
      ip: head(),
      matches,
      target: {
        kind: 'dnat',
        range: {
          low: address,
          ports: { low: containerPort, high: containerPort },
          random: false,
          randomFully: false,
          persistent: false,
        },
      },
      origin,
    },
  ];
}

function isUnspecified(address: Address): boolean {
  return equalAddress(address, literal(address.family === 4 ? '0.0.0.0' : '::'));
}

/** 64 hexadecimal digits, as containerd draws them. */
function sandboxId(pod: Pod): string {
  return createHash('sha256').update(`sandbox ${pod.namespace}/${pod.name}`).digest('hex');
}

function originOf(pod: Pod, { hostPort, port }: HostPort): Provenance {
  return {
    object: `${pod.namespace}/Pod/${pod.name}`,
    effect: 'platform',
    field: `hostPort ${hostPort}/${port.protocol}`,
    source: formatSource(pod.source),
  };
}
