/**
 * A drawn cluster on two nodes, policies for it, and one of its nodes as a place: the plan is what the
 * renderers write, and everybody else of the cluster is somebody at the far end of a device.
 * @module
 */
import type { Cluster, Pod } from '../../../../../src/cluster/model.ts';
import { isAttached, podHost } from '../../../../../src/dataplane/dataplane.ts';
import { renderNetwork } from '../../../../../src/dataplane/render.ts';
import type { Neighbor, Network, Plan } from '../../../../../src/plan/model.ts';
import type { NetworkPolicy, Peer, PolicyRule } from '../../../../../src/policy/model.ts';
import { formatAddress } from '../../../../../src/wire/address/address.ts';
import * as make from '../../../../dataplane/objects.ts';
import { address } from '../../../../support/packets.ts';
import type { Draw } from '../../rule-space.ts';
import type { Place, Station } from './places.ts';
import { withSilence } from './rules.ts';

const NODE = 'node-a';
const UPLINK = 'eth0';
const NODES = [make.node(NODE, '10.240.0.4', 'fd00:10::4'), make.node('node-b', '10.240.0.5')];
const FABRIC_MAC = '12:34:56:78:9a:bc';
const OUTSIDE = { 4: ['203.0.113.9', '198.51.100.7'], 6: ['2001:db8:f::9'] } as const;
const SERVICES = { 4: ['10.0.0.1', '10.0.0.10'], 6: ['fd00:5e::1'] } as const;

/** One node of a drawn cluster, its pods and its fabric at the ends of its cables. */
export function renderedPlace(draw: Draw, stack: string): Place {
  const cluster = make.cluster({
    nodes: NODES,
    namespaces: { x: { ns: 'x', team: 'red' }, y: { ns: 'y' } },
    pods: drawPods(draw),
    subnets: ['10.240.0.0/16', 'fd00:10::/64'],
  });
  const network = renderNetwork(make.input(cluster, stack, drawPolicies(draw)));
  const place = nodePlace(cluster, network, NODE);
  const stations = place.stations.map((one) =>
    one.device === UPLINK ? { ...one, addresses: withOutside(one.addresses) } : one,
  );
  return { ...place, stations };
}

function withOutside(of: Station['addresses']): Station['addresses'] {
  return { 4: [...of[4], ...OUTSIDE[4]], 6: [...of[6], ...OUTSIDE[6]] };
}

/** A node of a rendered network: its pods, and the fabric with everybody else of the cluster. */
export function nodePlace(cluster: Cluster, network: Network, name: string): Place {
  const rendered = network.nodes.find((plan) => plan.host === name);
  if (rendered === undefined) throw new Error(`${name} was not rendered`);
  const isBridge = rendered.interfaces.some((i) => i.kind === 'bridge');
  const nodeMac = macOf(rendered, UPLINK);
  const attached = cluster.pods.filter(isAttached);
  const near = attached.filter((pod) => pod.node === name);
  const own = addressesOf(cluster.nodes.find((node) => node.name === name)?.addresses ?? []);
  const stations = near.map((pod): Station => {
    const device = deviceOf(network, pod);
    return {
      device,
      mac: macOf(network.podPlan(podHost(pod)), 'eth0'),
      addresses: addressesOf(pod.addresses),
      gateway: isBridge ? FABRIC_MAC : macOf(rendered, device),
      link: isBridge ? 1 : 2 + near.indexOf(pod),
      ...(isBridge ? { host: nodeMac } : {}),
    };
  });
  const remote = addressesOf([
    ...cluster.nodes.filter((node) => node.name !== name).flatMap((node) => node.addresses),
    ...attached.filter((pod) => pod.node !== name).flatMap((pod) => pod.addresses),
  ]);
  const fabric = { device: UPLINK, mac: FABRIC_MAC, addresses: remote, gateway: nodeMac, link: 0 };
  const by = isBridge ? 'azure0' : UPLINK;
  const plan = settled(rendered, [...remote[4], ...remote[6]], by);
  const devices = plan.interfaces.map((one) => one.name).filter((device) => device !== 'lo');
  return { plan, stations: [...stations, fabric], own, services: SERVICES, devices };
}

/** Neighbours that are sure of each other, and the fabric's answer for everybody in the subnet. */
function settled(plan: Plan, remote: readonly string[], device: string): Plan {
  const answered = remote.map((text): Neighbor => {
    return { address: address(text), device, mac: FABRIC_MAC, state: 'permanent' };
  });
  const known = plan.neighbors.map((one): Neighbor => ({ ...one, state: 'permanent' }));
  return { ...plan, neighbors: [...known, ...answered], tables: withSilence(plan.tables) };
}

function deviceOf(network: Network, pod: Pod): string {
  const link = network.links.find((ends) => ends.some((end) => end.host === podHost(pod)));
  return link?.find((end) => end.host === pod.node)?.device ?? '';
}

function macOf(plan: Plan, device: string): string {
  return plan.interfaces.find(({ name }) => name === device)?.mac ?? '';
}

function addressesOf(all: readonly Pod['addresses'][number][]) {
  const of = (family: 4 | 6) => all.filter((a) => a.family === family).map(formatAddress);
  return { 4: of(4), 6: of(6) };
}

function drawPods(draw: Draw): Pod[] {
  const count = 4 + draw.below(3);
  return Array.from({ length: count }, (_, i) => {
    const name = ['a', 'b', 'c'][i % 3] ?? 'a';
    const labels = draw.chance(60) ? { pod: name, tier: String(draw.below(2)) } : { pod: name };
    const ports = [
      make.port('http', draw.of([80, 443])),
      make.port('dns', 53, { protocol: 'UDP' as const }),
    ];
    return make.pod(
      `${i < 3 ? 'x' : 'y'}/${name}`,
      i < 2 || draw.chance(40) ? NODE : 'node-b',
      [`10.240.0.${10 + i}`, `fd00:10::${10 + i}`],
      labels,
      { ports },
    );
  });
}

function drawPolicies(draw: Draw): NetworkPolicy[] {
  return Array.from({ length: draw.below(5) }, (_, i) => {
    const rules = () => Array.from({ length: draw.below(3) }, () => drawRule(draw));
    const directions = draw.of(['in', 'out', 'both']);
    return make.policy(`${draw.of(['x', 'y'])}/p${i}`, drawSelector(draw), {
      ...(directions === 'out' ? {} : { ingress: rules() }),
      ...(directions === 'in' ? {} : { egress: rules() }),
    });
  });
}

function drawRule(draw: Draw): PolicyRule {
  const peers = Array.from({ length: draw.below(3) }, () => drawPeer(draw));
  const ports = Array.from({ length: draw.below(3) }, () =>
    draw.of([
      make.on('TCP'),
      make.on('TCP', 80),
      make.on('TCP', 53, 100),
      make.on('TCP', 'http'),
      make.on('UDP', 53),
      make.on('UDP', 'dns'),
      make.on('SCTP', 443),
    ]),
  );
  return make.rule(peers, ports);
}

function drawPeer(draw: Draw): Peer {
  switch (draw.below(4)) {
    case 0:
      return make.peer(drawSelector(draw));
    case 1:
      return make.peer(null, drawNamespaces(draw));
    case 2:
      return make.peer(drawSelector(draw), drawNamespaces(draw));
    default:
      return draw.of([
        make.block('0.0.0.0/0'),
        make.block('0.0.0.0/0', '10.240.0.0/28'),
        make.block('10.240.0.8/29', '10.240.0.10/32'),
        make.block('203.0.113.0/24'),
      ]);
  }
}

function drawSelector(draw: Draw) {
  const expressions = [
    make.where('pod', draw.of(['In', 'NotIn'] as const), 'a', 'b'),
    make.where('tier', draw.of(['Exists', 'DoesNotExist'] as const)),
    make.where('pod', 'NotIn', 'c'),
  ];
  const labels = draw.of([{}, { pod: 'a' }, { tier: '1' }]);
  return make.selector(labels, draw.chance(40) ? [draw.of(expressions)] : []);
}

function drawNamespaces(draw: Draw) {
  return draw.of([
    make.selector(),
    make.selector({ ns: 'x' }),
    make.selector({}, [make.where('team', 'Exists')]),
    make.selector({}, [make.where('ns', 'NotIn', 'x')]),
  ]);
}
