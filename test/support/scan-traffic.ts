/**
 * Traffic in which every packet brings values that nobody met before, drawn around every boundary
 * that policies, routes and the kinds of addresses have, where a class that is too wide shows.
 * @module
 */
import { parseInputs } from '../../src/policy/inputs.ts';
import { addToAddress, formatAddress } from '../../src/wire/address/address.ts';
import { bigCluster } from './big-cluster.ts';
import { TWO_NODES_SHOP } from './clusters.ts';
import type { Dice } from './drawn-traffic.ts';
import { address } from './packets.ts';

/** Blocks with exceptions, port ranges and named ports, in both directions. */
const POLICIES = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web-from-blocks, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: web}}
  ingress:
  - from:
    - ipBlock: {cidr: 203.0.112.0/20, except: [203.0.113.0/24, 203.0.114.128/25]}
    - ipBlock: {cidr: 203.0.113.64/26}
    ports: [{port: http}, {port: 8000, endPort: 8999}, {port: 53, protocol: UDP}]
  - from: [{namespaceSelector: {matchLabels: {team: other}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-to-blocks, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: api}}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.64/28]}}]
    ports: [{port: 443}, {port: 30000, endPort: 32767}]
  - to: [{podSelector: {matchLabels: {tier: db}}}]
    ports: [{port: sql}]
`;

/** NPM knows no port ranges. */
const WITHOUT_RANGES = POLICIES.replaceAll(/, \{port: \d+, endPort: \d+\}/g, '');

/** Addresses at which something begins or ends. */
const EDGES4 = [
  ...['0.0.0.0', '0.255.255.255', '10.240.0.0', '10.240.0.4', '10.240.0.5', '10.240.0.36'],
  ...['10.240.255.255', '10.241.0.0', '127.0.0.1', '169.254.169.254', '168.63.129.16'],
  ...['198.51.100.0', '198.51.100.64', '198.51.100.80', '198.51.101.0', '203.0.112.0'],
  ...['203.0.113.0', '203.0.113.64', '203.0.113.128', '203.0.114.0', '203.0.114.128'],
  ...['203.0.115.0', '203.0.128.0', '224.0.0.0', '224.0.0.1', '224.0.1.0', '239.255.255.255'],
  ...['240.0.0.0', '255.255.255.255'],
];
const EDGES6 = [
  ...['::', '::1', '2001:db8:5::9', 'fd00:240::4', 'fd00:240::10a', 'fd00:240::1:10b'],
  ...['fd00:241::', 'fe80::1', 'fec0::', 'ff02::1', 'ff02::1:ff00:10a', 'ff05::2'],
];
const PORTS = [0, 1, 53, 79, 80, 81, 442, 443, 444, 5432, 8000, 8080, 8999, 9000, 30_000, 32_767];

export interface Scan {
  readonly name: string;
  /** Source, destination, protocol, source and destination port of the next packet. */
  readonly draw: (dice: Dice) => ScanPacket;
  /** Of the packets, how many the compiled engine must have moved. */
  readonly least: number;
}

export interface ScanPacket {
  readonly src: string;
  readonly dst: string;
  readonly isTcp: boolean;
  readonly sport: number;
  readonly dport: number;
}

function near(dice: Dice, edges: readonly string[]): string {
  const edge = address(dice.pick(edges));
  const off = dice.oneIn(2) ? dice.below(5) - 2 : dice.below(4096);
  return formatAddress(addToAddress(edge, off + (edge.w3 + off < 0 ? 2 : 0)));
}

function anywhere4(dice: Dice): string {
  const n = dice.next();
  return [24, 16, 8, 0].map((shift) => (n >>> shift) & 0xff).join('.');
}

function anyPort(dice: Dice): number {
  return dice.oneIn(3) ? dice.pick(PORTS) : dice.below(65_536);
}

const PODS4 = ['10.240.0.5', '10.240.0.6', '10.240.0.36', '10.240.0.37', '10.240.0.7'];
const PODS6 = ['fd00:240::10a', 'fd00:240::10b', 'fd00:240::1:10a'];

export const SCANS4: readonly Scan[] = [
  {
    name: 'ports of pods',
    least: 0.7,
    draw: (dice) => ({
      ...{ src: dice.pick(PODS4), dst: dice.pick(PODS4), isTcp: dice.oneIn(2) },
      ...{ sport: dice.below(65_536), dport: anyPort(dice) },
    }),
  },
  {
    name: 'pods from addresses outside',
    least: 0.5,
    draw: (dice) => ({
      src: dice.oneIn(2) ? near(dice, EDGES4.slice(11, 23)) : anywhere4(dice),
      ...{ dst: dice.pick(PODS4), isTcp: dice.oneIn(2) },
      ...{ sport: dice.below(65_536), dport: anyPort(dice) },
    }),
  },
  {
    // What goes outside is translated: each connection's port is chosen on its own.
    name: 'addresses from pods',
    least: 0.05,
    draw: (dice) => ({
      src: dice.pick(PODS4),
      dst: dice.oneIn(3) ? anywhere4(dice) : near(dice, EDGES4),
      ...{ isTcp: dice.oneIn(2), sport: dice.below(65_536), dport: anyPort(dice) },
    }),
  },
];

export const SCANS6: readonly Scan[] = [
  {
    name: 'pods from IPv6 addresses outside, and addresses from pods',
    least: 0.1,
    draw: (dice) => {
      const [far, pod] = [near(dice, EDGES6), dice.pick(PODS6)];
      const [src, dst] = dice.oneIn(2) ? [far, pod] : [pod, far];
      return { src, dst, isTcp: dice.oneIn(2), sport: dice.below(65_536), dport: anyPort(dice) };
    },
  },
];

export const SHOP = parseInputs('shop.yaml', `${TWO_NODES_SHOP}${POLICIES}`);
export const NPM_SHOP = parseInputs('shop.yaml', `${TWO_NODES_SHOP}${WITHOUT_RANGES}`);
export const BOTH_FAMILIES = bigCluster({ nodes: 2, podsPerNode: 3 });
