/**
 * kube-proxy on Windows: an HNS load balancer for each address of each port of a Service.
 *
 * Source: kubernetes `pkg/proxy/winkernel/proxier.go` `syncProxyRules` (1.30 and later),
 * `hns.go` `getLoadBalancerPolicyFlags`. It tells ready from unready endpoints itself and knows no
 * topology hints; HNS takes one port number for all endpoints of a load balancer.
 * @module
 */
import type { Node } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { BalancerFlag, type HnsLoadBalancer, MappingFlag } from '../../plan/hns/model.ts';
import type { Address, Family } from '../../wire/address/address.ts';
import { formatAddress } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { RenderInput } from '../dataplane.ts';
import { EndpointIndex, type ProxyEndpoint } from '../kube-proxy/services/endpoints.ts';
import { type ProxyPort, proxyPorts } from '../kube-proxy/services/service-port.ts';
import { guid } from './endpoints.ts';
import { DSR } from './options.ts';

const PROTOCOLS = { TCP: Protocol.tcp, UDP: Protocol.udp } as const;

/** What a port comes to on a node. */
export interface WindowsPort {
  readonly port: ProxyPort;
  /** `preserve-destination`: what then happens to a packet is documented nowhere. */
  readonly preserves: boolean;
  readonly balancers: readonly HnsLoadBalancer[];
}

/** All ports of a node in both families; those of SCTP have no load balancer. */
export function windowsPorts(input: RenderInput, node: Node): readonly WindowsPort[] {
  const { services, endpointSlices } = input.cluster;
  return ([4, 6] as const).flatMap((family: Family) => {
    const address = node.addresses.find((a) => a.family === family);
    if (address === undefined) return [];
    const index = new EndpointIndex(endpointSlices, family, node.name);
    return proxyPorts(services, family).map((port) => {
      const preserves = port.service.annotations['preserve-destination'] === 'true';
      const balancers = balancersOf({ input, node, address, port, all: index.of(port), preserves });
      return { port, preserves, balancers };
    });
  });
}

interface Asked {
  readonly input: RenderInput;
  readonly node: Node;
  /** The node's, of the port's family. */
  readonly address: Address;
  readonly port: ProxyPort;
  readonly all: readonly ProxyEndpoint[];
  readonly preserves: boolean;
}

function balancersOf(asked: Asked): readonly HnsLoadBalancer[] {
  const { port, all, preserves } = asked;
  if (port.port.protocol === 'SCTP') return [];
  const { used, available } = usedEndpoints(port, all);
  const local = used.filter((e) => e.local);
  const outside = preserves || port.externalLocal ? local : used;
  const [first] = used;
  if (first === undefined) return [];
  const { targetPort } = port.port;
  const internalPort = typeof targetPort === 'number' && targetPort > 0 ? targetPort : first.port;
  const isDsr = asked.input.stack.options[DSR.name] !== 'false';
  const make = (
    role: HnsLoadBalancer['role'],
    vips: readonly Address[],
    endpoints: readonly ProxyEndpoint[],
  ): readonly HnsLoadBalancer[] => {
    if (endpoints.length === 0) return [];
    const direct =
      role === 'clusterIp' ? isDsr : port.externalLocal || (role === 'ingress' && preserves);
    return [
      {
        id: guid(
          `balancer ${asked.node.name} ${port.name} ${role} ${vips.map(formatAddress).join()}`,
        ),
        role,
        vips,
        sourceVip: formatAddress(asked.address),
        flags:
          (direct ? BalancerFlag.directServerReturn : 0) |
          (port.family === 6 ? BalancerFlag.ipv6 : 0),
        mappingFlags: mappingFlags(role, preserves),
        protocol: port.port.protocol === 'UDP' ? PROTOCOLS.UDP : PROTOCOLS.TCP,
        externalPort: role === 'nodePort' ? (port.nodePort ?? 0) : port.port.port,
        internalPort,
        distribution: port.affinitySeconds === null ? 'None' : 'SourceIP',
        endpoints: endpoints.map((e) => e.address),
        origin: [...port.origin, ...endpoints.map((e) => e.origin)],
      },
    ];
  };
  return [
    ...make('clusterIp', [port.clusterIp], port.internalLocal ? local : used),
    ...(port.nodePort === null || !available ? [] : make('nodePort', [], outside)),
    ...port.externalIps.flatMap((ip) =>
      available ? make('externalIp', [ip], port.externalLocal ? local : used) : [],
    ),
    ...port.vips.flatMap((ip) => make('ingress', [ip], outside)),
  ];
}

function mappingFlags(role: HnsLoadBalancer['role'], preserves: boolean): number {
  if (role === 'clusterIp') return 0;
  const external = MappingFlag.vipExternalIp;
  if (role === 'nodePort') return external | MappingFlag.localRoutedVip;
  if (role === 'ingress' && preserves) {
    return external | MappingFlag.useMux | MappingFlag.preserveDip;
  }
  return external;
}

/**
 * The endpoints that a load balancer is made of. Only behind a load balancer's address do endpoints
 * count that serve while they terminate, and all of them where none serves.
 */
function usedEndpoints(
  port: ProxyPort,
  all: readonly ProxyEndpoint[],
): { readonly used: readonly ProxyEndpoint[]; readonly available: boolean } {
  const counted = port.externalLocal ? all.filter((e) => e.local) : all;
  const hasVips = port.vips.length > 0;
  const terminating = hasVips && counted.every((e) => e.terminating || !e.ready);
  const isServing = !hasVips || counted.some((e) => e.serving);
  const used = all.filter((e) => {
    if (port.internalLocal && port.externalLocal && !e.local) return false;
    return !isServing || ((terminating || e.ready) && e.serving);
  });
  return { used, available: !terminating && isServing };
}

/** Backends that HNS takes for one Service. */
export const MOST_BACKENDS = 1024;

/** What the authors of Services should know where some nodes run Windows. */
export function windowsServiceWarnings(input: RenderInput): readonly Diagnostic[] {
  const [node] = input.cluster.nodes.filter((n) => n.os === 'windows');
  if (node === undefined) return [];
  return windowsPorts(input, node).flatMap(({ port, preserves, balancers }) => {
    const { file, line } = port.service.source;
    const object = `${port.service.namespace}/Service/${port.service.name}`;
    const say = (code: string, message: string): Diagnostic => ({
      code,
      file,
      line,
      object,
      message,
    });
    const targets = new Set(balancers.map((b) => b.internalPort));
    const slices = new EndpointIndex(input.cluster.endpointSlices, port.family, node.name).of(port);
    const odd = slices.find((e) => targets.size > 0 && !targets.has(e.port));
    return [
      ...(port.port.protocol === 'SCTP'
        ? [say('SERVICE_WINDOWS_SCTP', 'Windows nodes do not know SCTP: they serve no such port')]
        : []),
      ...(preserves
        ? [
            say(
              'SERVICE_WINDOWS_PRESERVE',
              'what Windows nodes do for preserve-destination is not emulated: such packets are unknown',
            ),
          ]
        : []),
      ...(port.affinitySeconds === null || balancers.length === 0
        ? []
        : [
            say(
              'SERVICE_WINDOWS_AFFINITY',
              "Windows nodes choose by the client's address, by a hash that is not public: each " +
                'connection is drawn by itself here',
            ),
          ]),
      ...(balancers.some((b) => b.endpoints.length > MOST_BACKENDS)
        ? [
            say(
              'SERVICE_WINDOWS_BACKENDS',
              `Windows nodes take at most ${MOST_BACKENDS} backends of a Service: what more do is unknown`,
            ),
          ]
        : []),
      ...(odd === undefined
        ? []
        : [
            say(
              'SERVICE_WINDOWS_PORT',
              `Windows nodes send all of the port's traffic to port ${[...targets].join()} of every ` +
                `endpoint; ${odd.text} listens elsewhere`,
            ),
          ]),
    ];
  });
}
