/**
 * Captures taken behind a translation, on every network and in both modes of kube-proxy: answers
 * from a Service's address, a node port's request as the node sees it, masqueraded flows at the
 * uplink. The sender is found where the capture shows it, and is unknown where it does not.
 * @module
 */
import t from 'tap';
import { type Inputs, parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import { STEPS as ALL } from '../support/exchange.ts';
import { tcp } from '../support/packets.ts';
import { outcomesOf, replayFrames, type SeenFrame } from '../support/replays.ts';

/** Networks with the wiring that they need. */
const NETWORKS: readonly (readonly [stack: string, wiring: string])[] = [
  ['azure-bridge+npm', 'networkPlugin: azure'],
  ['azure-transparent+calico', 'networkPlugin: azure'],
  ['azure-overlay+npm', 'networkPlugin: azure\nnetworkPluginMode: overlay'],
  [
    'azure-podsubnet+npm',
    `networkPlugin: azure
virtualNetworks:
  - name: v
    addressPrefixes: [10.240.0.0/12]
    subnets: [{ name: nodes, addressPrefix: 10.240.0.0/16 }, { name: pods, addressPrefix: 10.241.0.0/16 }]
nodePools: [{ name: pool, count: 2, podSubnet: pods }]`,
  ],
  ['kubenet+calico', 'networkPlugin: kubenet'],
  ['byo+none,cni=flannel', 'networkPlugin: none'],
  ['byo+none,cni=kindnet', 'networkPlugin: none'],
];

const OUTSIDE = '203.0.113.9';
const VIP = '10.0.10.1';

function shop(wiring: string): Inputs {
  const pod = (name: string, node: string) => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name} } }
spec: { nodeName: ${node}, containers: [{ name: c }] }
`;
  const node = (name: string) => `---\napiVersion: v1\nkind: Node\nmetadata: { name: ${name} }\n`;
  const text = `apiVersion: wiretrial/v1
kind: Wiring
serviceCidr: 10.0.0.0/16
${wiring}
${node('node-a')}${node('node-b')}${pod('client', 'node-a')}${pod('web', 'node-b')}---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { type: NodePort, clusterIP: ${VIP}, selector: { app: web }, ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }] }
`;
  return parseInputs('shop.yaml', text);
}

interface Places {
  readonly client: string;
  readonly web: string;
  readonly nodeA: string;
  readonly nodeB: string;
}

function placesOf({ cluster }: Inputs): Places {
  const first = (
    what: { readonly addresses: readonly Parameters<typeof formatAddress>[0][] } | undefined,
  ) => {
    const [address] = what?.addresses ?? [];
    if (address === undefined) throw new Error('everybody has an address');
    return formatAddress(address);
  };
  const { pods, nodes } = cluster;
  return {
    client: first(pods.find((p) => p.name === 'client')),
    web: first(pods.find((p) => p.name === 'web')),
    nodeA: first(nodes.find((n) => n.name === 'node-a')),
    nodeB: first(nodes.find((n) => n.name === 'node-b')),
  };
}

type End = readonly [address: string, port: number];

/** Nobody closes. */
const STEPS = ALL.slice(0, 5);

/** A step as it is seen between these ends, so many hops from its sender. */
function frame(i: number, from: End, to: End, hops: number): Uint8Array {
  const step = STEPS[i];
  if (step === undefined) throw new RangeError(`no step ${i}`);
  const [src, dst] = step.isReply ? [to, from] : [from, to];
  const base = tcp()
    .from(...src)
    .to(...dst);
  return step
    .make(base)
    .id(i + 1)
    .ttl(64 - hops)
    .frame();
}

/** All steps: on the opener's side, and (where given) behind a translation, as hops would show. */
function exchange(near: readonly [End, End], far?: readonly [End, End]): readonly SeenFrame[] {
  return STEPS.flatMap(({ isReply }, i) => {
    const here = { data: frame(i, ...near, isReply ? 2 : 0), iface: 0 };
    if (far === undefined) return [here];
    const there = { data: frame(i, ...far, isReply ? 0 : 2), iface: 1 };
    return isReply ? [there, here] : [here, there];
  });
}

for (const [network, wiring] of NETWORKS) {
  for (const proxy of ['iptables', 'nftables']) {
    const stack = `${network},kube-proxy=${proxy}`;
    const inputs = shop(wiring);
    const { client, web, nodeA } = placesOf(inputs);

    t.test(`${stack}: answers from a Service's address`, async (t) => {
      const whole = await replayFrames(
        inputs,
        stack,
        exchange([
          [client, 40_000],
          [VIP, 80],
        ]),
      );
      t.strictSame(
        outcomesOf(whole),
        STEPS.map(() => 'delivered'),
      );
      const told = { from: 'pod/shop/client', to: 'svc/shop/web', verdict: 'allowed' };
      t.match(whole.connections, [{ ...told, translated: { dst: web, dport: 8080 } }]);
      const late = exchange([
        [client, 40_001],
        [VIP, 80],
      ]).slice(1);
      const { connections } = await replayFrames(inputs, stack, late);
      t.match(connections, [{ ...told, opening: 'assumed' }], 'its opening is not in the capture');
    });

    t.test(`${stack}: a node port's request as the node sees it`, async (t) => {
      const near = [
        [OUTSIDE, 41_000],
        [nodeA, 30_080],
      ] as const;
      const alone = await replayFrames(inputs, stack, exchange(near));
      t.match(alone.connections, [
        { from: null, to: 'node/node-a', verdict: 'allowed', translated: { src: nodeA, dst: web } },
      ]);
      const far = [
        [nodeA, 51_234],
        [web, 8080],
      ] as const;
      const both = await replayFrames(inputs, stack, exchange(near, far));
      t.match(both.connections, [{ src: OUTSIDE, to: 'node/node-a', verdict: 'allowed' }]);
      t.equal(both.connections.length, 1, 'both sides are one connection');
      t.equal(both.summary.counts.outcomes.observed, STEPS.length);
      t.strictSame(both.summary.counts.notes['translationDiffers'], undefined);
      const behind = await replayFrames(inputs, stack, [frame(0, ...far, 2)]);
      t.match(behind.connections, [{ verdict: 'unknown', reason: 'translatedSender' }]);
    });

    t.test(`${stack}: a masqueraded flow at the uplink`, async (t) => {
      const near = [
        [client, 42_000],
        [OUTSIDE, 443],
      ] as const;
      const far = [
        [nodeA, 52_000],
        [OUTSIDE, 443],
      ] as const;
      const both = await replayFrames(inputs, stack, exchange(near, far));
      t.match(both.connections, [{ from: 'pod/shop/client', verdict: 'allowed' }]);
      t.equal(both.connections.length, 1, 'both sides are one connection');
      t.strictSame(both.summary.counts.notes['translationDiffers'], undefined);
      const alone = await replayFrames(inputs, stack, [frame(0, ...far, 1)]);
      t.match(alone.connections, [{ verdict: 'unknown', reason: 'translatedSender' }]);
      const own = await replayFrames(inputs, stack, [frame(0, ...far, 0)]);
      t.match(own.connections, [{ verdict: 'allowed', from: 'node/node-a' }], 'sent by the node');
    });
  }
}
