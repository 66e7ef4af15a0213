/**
 * A cluster of one Linux and two Windows nodes for the tests of Windows nodes.
 *
 *   lin    10.224.0.4    client
 *   win-a  10.224.0.40   web, db
 *   win-b  10.224.0.80   api
 * @module
 */
import { parseStack } from '../../../src/dataplane/stack.ts';
import { type ProbeProtocol, Prober } from '../../../src/lab/ask/probe.ts';
import { World } from '../../../src/lab/world.ts';
import type { HnsEndpoint, HnsState } from '../../../src/plan/hns/model.ts';
import type { Inputs } from '../../../src/policy/inputs.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';

export interface Mixed {
  /** The pods have ranges of their own. */
  readonly overlay?: boolean;
  /** `10.0.20348.1668`. */
  readonly build?: string;
  /** Further documents. */
  readonly more?: string;
  /** A line of the Windows pool. */
  readonly pool?: string;
  /** A line of the wiring. */
  readonly wiring?: string;
}

export const OUTSIDE = '203.0.113.9';
/** Behind a gateway of the virtual network, where no load balancer is in the way. */
export const ON_PREMISES = '192.168.7.9';
export const NODE = { lin: '10.224.0.4', 'win-a': '10.224.0.40', 'win-b': '10.224.0.80' } as const;

const PODS = [
  ['client', 'lin', 5],
  ['web', 'win-a', 41],
  ['db', 'win-a', 42],
  ['api', 'win-b', 81],
] as const;

/** The address of a pod. */
export function podAddress(name: string, overlay = false): string {
  const found = PODS.find(([pod]) => pod === name);
  if (!found) throw new Error(`nobody is called ${name}`);
  const nodes = Object.keys(NODE);
  return overlay ? `10.244.${nodes.indexOf(found[1])}.${found[2]}` : `10.224.0.${found[2]}`;
}

export function mixedText(options: Mixed = {}): string {
  const {
    overlay = false,
    build = '10.0.20348.2966',
    more = '',
    pool = '',
    wiring: line = '',
  } = options;
  const wiring = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
${overlay ? 'networkPluginMode: overlay\npodCidr: 10.244.0.0/16' : ''}
serviceCidr: 10.0.0.0/16
${line}
onPremisesRanges: [{addressPrefix: 192.168.0.0/16}]
nodePools: [{name: lin}, {name: win, osType: Windows${pool}}]
virtualNetworks:
- {name: v, addressPrefixes: [10.224.0.0/12], subnets: [{name: n, addressPrefix: 10.224.0.0/16}]}`;
  const nodes = Object.entries(NODE).map(([name, address], i) => {
    const windows = name !== 'lin';
    const info = windows
      ? `operatingSystem: windows, kernelVersion: ${build}`
      : 'operatingSystem: linux';
    const range = overlay ? `\nspec: {podCIDRs: [10.244.${i}.0/24]}` : '';
    const named = windows ? `akswin00000${i}` : 'aks-lin-00000000-vmss000000';
    return `apiVersion: v1\nkind: Node\nmetadata: {name: ${named}}${range}
status: {addresses: [{type: InternalIP, address: ${address}}], nodeInfo: {${info}}}`;
  });
  const pods = PODS.map(([name, on]) => {
    const node = nodeName(on);
    return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}
spec: {nodeName: ${node}, containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}
status: {phase: Running, podIP: ${podAddress(name, overlay)}, conditions: [{type: Ready, status: "True"}]}`;
  });
  return [wiring, ...nodes, ...pods, ...(more === '' ? [] : [more])].join('\n---\n');
}

/** Names as AKS gives them, by which a node's pool is found. */
export function nodeName(short: string): string {
  const i = Object.keys(NODE).indexOf(short);
  return i === 0 ? 'aks-lin-00000000-vmss000000' : `akswin00000${i}`;
}

export function mixedCluster(options: Mixed = {}): Inputs {
  return parseInputs('mixed.yaml', mixedText(options));
}

export function worldOf(stack: string, options: Mixed = {}): World {
  const { cluster, policies } = mixedCluster(options);
  return new World({ cluster, policies, stack: parseStack(stack) });
}

/** What HNS holds on a node. */
export function hnsOf(world: World, short: string): HnsState {
  const plan = world.network.nodes.find(({ host }) => host === nodeName(short));
  if (plan?.hns === undefined) throw new Error(`${short} runs no Windows`);
  return plan.hns;
}

export function endpointOf(world: World, pod: string): HnsEndpoint {
  const all = ['win-a', 'win-b'].flatMap((node) => hnsOf(world, node).endpoints);
  const found = all.find(({ name }) => name === `shop/${pod}`);
  if (found === undefined) throw new Error(`${pod} has no endpoint`);
  return found;
}

/** Whatever is no address is a pod of the shop, or a node by its short name. */
function end(name: string): string {
  if (/[/.]/.test(name)) return name;
  return name in NODE ? `node/${nodeName(name)}` : `pod/shop/${name}`;
}

export type Asked = readonly [from: string, to: string, port: number, protocol?: ProbeProtocol];

/** `allowed`, `denied policyDenied`, `unknown undocumented`. */
export function verdictOf(world: World, [from, to, port, protocol = 'TCP']: Asked): string {
  const ask = protocol === 'ICMP' ? {} : { port };
  const { verdict, reason } = new Prober(world).ask({
    from: end(from),
    to: end(to),
    protocol,
    ...ask,
  });
  return reason === null ? verdict : `${verdict} ${reason}`;
}
