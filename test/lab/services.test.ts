/**
 * Services in a replay: requests to an address that nobody has, answers that come back from it,
 * backends drawn once a connection, and captures that show both sides of a translation.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { SHOP_POLICIES, shopService, shopWith } from '../support/clusters.ts';
import { STEPS, type Step } from '../support/exchange.ts';
import { icmpError, tcp, udp } from '../support/packets.ts';
import { outcomesOf, replayFrames, type SeenFrame } from '../support/replays.ts';

const STACKS = ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico'];

const WEB = '10.240.0.5';
const DB = '10.240.0.6';
const CLIENT = '10.240.0.7';
const API = '10.240.0.36';
const WEB_2 = '10.240.0.37';
const NODE_A = '10.240.0.4';
const NODE_B = '10.240.0.35';

const SERVICES = [
  shopService('api', '10.0.10.1', 'tier: api', 'port: 80, targetPort: 8080'),
  shopService('web', '10.0.10.2', 'tier: web', 'port: 80, nodePort: 30080', '  type: NodePort\n'),
  shopService('dns', '10.0.10.3', 'tier: db', 'port: 53, protocol: UDP, targetPort: 5353'),
  shopService('nobody', '10.0.10.4', 'tier: nothing', 'port: 80'),
  shopService('any', '10.0.10.5', 'app: shop', 'port: 80, targetPort: 8080'),
];

const open = shopWith(...SERVICES);
const closed = shopWith(...SERVICES, SHOP_POLICIES);

interface Ends {
  readonly from: readonly [string, number];
  readonly to: readonly [string, number];
}

/** A step as somebody between these ends sees it. */
function seen(step: Step, i: number, { from, to }: Ends, ttl = 64): Uint8Array {
  const [[src, sport], [dst, dport]] = step.isReply ? [to, from] : [from, to];
  return step
    .make(tcp().from(src, sport).to(dst, dport))
    .id(i + 1)
    .ttl(ttl)
    .frame();
}

function exchange(ends: Ends): readonly Uint8Array[] {
  return STEPS.map((step, i) => seen(step, i, ends, step.isReply ? 62 : 64));
}

/** Each packet on both sides of a translation, its sender's side first. */
function bothSides(client: Ends, server: Ends): readonly SeenFrame[] {
  return STEPS.flatMap((step, i) => {
    const near = { data: seen(step, i, client, step.isReply ? 62 : 64), iface: 0 };
    const far = { data: seen(step, i, server, step.isReply ? 64 : 62), iface: 1 };
    return step.isReply ? [far, near] : [near, far];
  });
}

for (const stack of STACKS) {
  t.test(`${stack}: a Service's one backend answers from the Service's address`, async (t) => {
    const ran = await replayFrames(
      closed,
      stack,
      exchange({ from: [WEB, 40_000], to: ['10.0.10.1', 80] }),
    );
    t.strictSame(outcomesOf(ran), new Array(8).fill('delivered'));
    t.match(ran.frames[0]?.out, { src: WEB, dst: API, sport: 40_000, dport: 8080 });
    t.match(ran.frames[1]?.out, { src: '10.0.10.1', dst: WEB, sport: 80, dport: 40_000 });
    t.match(ran.connections, [
      {
        from: 'pod/shop/web',
        to: 'svc/shop/api',
        verdict: 'allowed',
        translated: { src: WEB, dst: API, sport: 40_000, dport: 8080 },
        choice: null,
      },
    ]);
  });

  t.test(`${stack}: policies see the backend, not the Service`, async (t) => {
    const ran = await replayFrames(
      closed,
      stack,
      exchange({ from: [CLIENT, 40_000], to: ['10.0.10.1', 80] }),
    );
    t.match(ran.connections, [
      {
        to: 'svc/shop/api',
        verdict: 'denied',
        reason: 'policyDenied',
        decidedBy: { policy: 'shop/NetworkPolicy/api-from-web' },
        translated: { dst: API, dport: 8080 },
      },
    ]);
    t.strictSame(outcomesOf(ran), ['dropped', ...new Array(7).fill('suppressed')]);
  });

  t.test(`${stack}: where one backend may and another may not, it depends`, async (t) => {
    // Of web, web-2, api and db only the first two take anybody on 8080.
    const ports = Array.from({ length: 40 }, (_, i) => 41_000 + i);
    const to = ['10.0.10.5', 80] as const;
    const opening = STEPS[0];
    if (opening === undefined) throw new Error('a connection has an opening');
    const syns = ports.map((port) => seen(opening, port, { from: [CLIENT, port], to }));
    const ran = await replayFrames(closed, stack, syns);
    t.equal(ran.connections.length, 40);
    for (const c of ran.connections) {
      t.match(c, {
        verdict: 'depends',
        choice: { of: 4, allowed: 2, by: 'drawn', complete: true },
      });
      t.ok(Math.abs((c.choice?.probability ?? 0) - 0.5) < 1e-5);
      t.match(c.decidedBy?.policy, /^shop\/NetworkPolicy\/(api-from-web|db-from-api)$/);
    }
    t.equal(ran.summary.counts.connections.allowed, 0, 'none counts as allowed');
    const reached = new Set(ran.connections.map((c) => c.translated?.dst));
    t.strictSame([...reached].sort(), [API, WEB_2, WEB, DB].sort(), 'each is drawn');
    const again = await replayFrames(closed, stack, syns);
    t.strictSame(
      again.connections.map((c) => c.translated),
      ran.connections.map((c) => c.translated),
    );
  });

  t.test(
    `${stack}: the backend that the capture shows is taken, and nothing depends`,
    async (t) => {
      for (const backend of [WEB, WEB_2, DB]) {
        const ran = await replayFrames(
          closed,
          stack,
          bothSides(
            { from: [CLIENT, 42_000], to: ['10.0.10.5', 80] },
            { from: [CLIENT, 42_000], to: [backend, 8080] },
          ),
        );
        const [c, ...more] = ran.connections;
        t.equal(more.length, 0, 'both sides are one connection');
        t.match(c, {
          from: 'pod/other/client',
          to: 'svc/shop/any',
          translated: { dst: backend, dport: 8080 },
          choice: { of: 4, allowed: 2, by: 'captured' },
          verdict: backend === DB ? 'denied' : 'allowed',
          packets: 8,
        });
        t.strictSame(ran.summary.counts.notes['translationDiffers'], undefined);
        const observed = ran.frames.filter((f) => f.outcome === 'observed');
        t.equal(observed.length, 8, 'each packet is sent once');
        if (backend === DB) t.ok(c?.contradicted, 'what was answered is denied here');
        else t.equal(ran.summary.counts.outcomes.delivered, 8);
      }
    },
  );

  t.test(
    `${stack}: a node port, its backend on another node behind the node's address`,
    async (t) => {
      const ran = await replayFrames(
        open,
        stack,
        exchange({ from: [CLIENT, 43_000], to: [NODE_B, 30_080] }),
      );
      t.match(ran.connections, [{ verdict: 'allowed', to: 'node/node-b', choice: { of: 2 } }]);
      t.equal(ran.connections[0]?.translated?.src, NODE_B, 'masqueraded');
      const answers = ran.frames.filter((f) => f.src === NODE_B);
      for (const f of answers) {
        t.match(f, { outcome: 'delivered', out: { src: NODE_B, sport: 30_080, dst: CLIENT } });
      }
      t.equal(answers.length, 3);
    },
  );

  t.test(`${stack}: a Service without endpoints is refused`, async (t) => {
    const ran = await replayFrames(
      open,
      stack,
      exchange({ from: [WEB, 44_000], to: ['10.0.10.4', 80] }).slice(0, 1),
    );
    t.match(ran.connections, [{ verdict: 'denied', reason: 'rejected', to: 'svc/shop/nobody' }]);
    t.match(
      ran.frames.filter((f) => f.frame === null),
      [{ outcome: 'delivered', notes: ['icmpError'], to: 'pod/shop/web' }],
    );
  });

  t.test(`${stack}: a pod that reaches itself through its own Service`, async (t) => {
    const ran = await replayFrames(
      closed,
      stack,
      exchange({ from: [API, 45_000], to: ['10.0.10.1', 80] }),
    );
    const [c] = ran.connections;
    // The node hides the pod from itself after the policies of Calico have looked, not before.
    if (stack.endsWith('calico')) t.match(c, { verdict: 'denied', translated: { src: API } });
    else t.match(c, { verdict: 'allowed', translated: { src: NODE_B, dst: API, dport: 8080 } });
  });

  t.test(`${stack}: both ways of a pod to itself, captured at that pod`, async (t) => {
    // Each packet goes out and comes back by one device, the answer with one address at both ends.
    const frames = bothSides(
      { from: [API, 45_001], to: ['10.0.10.1', 80] },
      { from: [NODE_B, 45_001], to: [API, 8080] },
    );
    const ran = await replayFrames(open, stack, frames);
    const each = STEPS.flatMap(() => ['delivered', 'observed']);
    t.strictSame(outcomesOf(ran), each);
    t.match(ran.connections, [{ verdict: 'allowed', packets: 8, reply: { result: 'delivered' } }]);
    t.equal(ran.connections.length, 1);
    const answers = ran.frames.filter((f) => f.src === API && f.sport === 8080);
    for (const f of answers)
      t.match(f.out, { src: '10.0.10.1', sport: 80, dst: API, dport: 45_001 });
    t.equal(answers.length, 3);
  });

  t.test(`${stack}: datagrams to a Service, and the error that quotes one`, async (t) => {
    const ask = udp().from(WEB_2, 5000).to('10.0.10.3', 53).payload('who');
    const answer = udp().from('10.0.10.3', 53).to(WEB_2, 5000).payload('me').ttl(62);
    const refused = icmpError(ask.packet()).from('10.0.10.3').to(WEB_2).ttl(62);
    const ran = await replayFrames(open, stack, [ask.frame(), answer.frame(), refused.frame()]);
    t.strictSame(outcomesOf(ran), ['delivered', 'delivered', 'delivered']);
    t.match(ran.frames[0]?.out, { src: WEB_2, dst: DB, dport: 5353 });
    t.match(ran.frames[1]?.out, { src: '10.0.10.3', sport: 53, dst: WEB_2 });
    t.match(ran.frames[2]?.out, { src: '10.0.10.3', dst: WEB_2 }, 'the error too');
  });

  t.test(`${stack}: what a node masqueraded is known by what it was before`, async (t) => {
    const outside = ['203.0.113.9', 443] as const;
    const ran = await replayFrames(
      open,
      stack,
      bothSides({ from: [WEB, 46_000], to: outside }, { from: [NODE_A, 51_234], to: outside }),
    );
    t.match(ran.connections, [{ from: 'pod/shop/web', verdict: 'allowed' }]);
    t.equal(ran.connections.length, 1);
    t.equal(ran.summary.counts.outcomes.observed, 8);
    t.strictSame(ran.summary.counts.notes['translationDiffers'], undefined);
  });

  t.test(`${stack}: who stands behind a masqueraded packet alone can not be told`, async (t) => {
    const behind = { from: [NODE_A, 51_234], to: ['203.0.113.9', 443] } as const;
    const opening = STEPS[0];
    if (opening === undefined) throw new Error('a connection has an opening');
    const routed = await replayFrames(open, stack, [seen(opening, 0, behind, 63)]);
    t.match(routed.connections, [{ verdict: 'unknown', reason: 'translatedSender' }]);
    const own = await replayFrames(open, stack, [seen(opening, 0, behind, 64)]);
    t.match(own.connections, [{ verdict: 'allowed', from: 'node/node-a' }], 'sent by the node');
    const toBackend = { from: [NODE_B, 51_234], to: [WEB, 80] } as const;
    const exposed = await replayFrames(open, stack, [seen(opening, 0, toBackend, 62)]);
    t.match(exposed.connections, [{ verdict: 'unknown', reason: 'translatedSender' }]);
  });
}

t.test('what is drawn for one client outside says nothing of another', async (t) => {
  const inputs = shopWith(
    shopService(
      'near',
      '10.0.10.6',
      'app: shop',
      'port: 80, targetPort: 8080, nodePort: 30099',
      '  type: NodePort\n  externalTrafficPolicy: Local\n',
    ),
    `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: known, namespace: shop }
spec:
  podSelector: { matchLabels: { tier: api } }
  ingress: [{ from: [{ ipBlock: { cidr: 203.0.113.0/24 } }] }]
`,
  );
  const opening = STEPS[0];
  if (opening === undefined) throw new Error('a connection has an opening');
  const knownFirst = ['203.0.113.9', '198.51.100.7'];
  for (const stack of ['azure-transparent+npm', 'azure-transparent+calico']) {
    for (const clients of [knownFirst, knownFirst.toReversed()]) {
      const syns = clients.map((client, i) =>
        seen(opening, i, { from: [client, 49_000 + i], to: [NODE_B, 30_099] }),
      );
      const ran = await replayFrames(inputs, stack, syns);
      t.match(
        ran.connections.map(({ src, verdict, choice }) => [src, verdict, choice?.of]),
        clients.map((src) => [src, src === '203.0.113.9' ? 'allowed' : 'depends', 2]),
        `${stack}: ${clients}`,
      );
    }
  }
});

const ON_ITS_NODE = `apiVersion: v1
kind: Node
metadata: {name: node-far}
status: {addresses: [{type: InternalIP, address: 10.240.200.4}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: shop}
spec: {nodeName: node-far, hostNetwork: true, containers: [{name: main}]}
status: {phase: Running, podIP: 10.240.200.4}
`;

t.test('who stands behind a node where kube-proxy masquerades pods', async (t) => {
  const config = (text: string) =>
    shopWith(
      ...SERVICES,
      `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
${text}
`,
    );
  const opening = STEPS[0];
  if (opening === undefined) throw new Error('a connection has an opening');
  const behind = { from: [NODE_A, 51_234], to: [API, 8080] } as const;
  for (const [text, from] of [
    ['iptables: {masqueradeAll: true}', null],
    ['clusterCIDR: 10.244.0.0/16', null],
    ['clusterCIDR: 10.240.0.0/16', 'node/node-a'],
    // A pod on its node's network is none of kube-proxy's: all others are inside.
    [`clusterCIDR: 10.240.0.0/24\n---\n${ON_ITS_NODE}`, 'node/node-a'],
  ] as const) {
    const inputs = config(text);
    const ran = await replayFrames(inputs, 'azure-transparent+none', [
      seen(opening, 0, behind, 63),
    ]);
    const want = from === null ? { reason: 'translatedSender' } : { verdict: 'allowed', from };
    t.match(ran.connections, [want], text);
    const client = { from: [WEB, 46_000], to: ['10.0.10.1', 80] } as const;
    const both = await replayFrames(inputs, 'azure-transparent+none', bothSides(client, behind));
    t.match(both.connections, [{ from: 'pod/shop/web', to: 'svc/shop/api', verdict: 'allowed' }]);
    t.equal(both.connections.length, 1, 'seen before it, the client is known');
  }
});

t.test(
  'a port that is used again later is another connection with a choice of its own',
  async (t) => {
    const client = { from: [CLIENT, 47_000], to: ['10.0.10.5', 80] } as const;
    const opening = STEPS[0];
    if (opening === undefined) throw new Error('a connection has an opening');
    const round = (backend: string, id: number, atS: number) => [
      { data: seen(opening, id, client), iface: 0, atS },
      {
        data: seen(opening, id, { from: [CLIENT, 47_000], to: [backend, 8080] }, 62),
        iface: 1,
        atS,
      },
    ];
    const frames = [...round(WEB, 1, 0), ...round(DB, 2, 600), ...round(WEB_2, 3, 1200)];
    const ran = await replayFrames(open, 'azure-transparent+npm', frames);
    t.match(
      ran.connections.map((c) => c.translated?.dst),
      [WEB, DB, WEB_2],
    );
    t.ok(ran.connections.every((c) => c.choice?.by === 'captured'));
  },
);

t.test('both modes of kube-proxy take the same backend for a connection', async (t) => {
  const ports = Array.from({ length: 60 }, (_, i) => 48_000 + i);
  const opening = STEPS[0];
  if (opening === undefined) throw new Error('a connection has an opening');
  const to = ['10.0.10.5', 80] as const;
  const syns = ports.map((port) => seen(opening, port, { from: [CLIENT, port], to }));
  const backends = async (mode: string) => {
    const ran = await replayFrames(open, `azure-transparent+none,kube-proxy=${mode}`, syns);
    for (const c of ran.connections) t.match(c, { verdict: 'allowed', choice: { of: 4 } }, mode);
    return ran.connections.map((c) => c.translated?.dst);
  };
  const [iptables, nftables] = [await backends('iptables'), await backends('nftables')];
  t.strictSame(nftables, iptables);
  t.equal(new Set(iptables).size, 4);
});

t.test('probes of Services: every choice is judged, ports by name, both ways', async (t) => {
  const prober = (inputs: typeof open, stack: string) =>
    new Prober(new World({ ...inputs, stack: parseStack(stack) }));
  for (const stack of STACKS) {
    const p = prober(closed, stack);
    const ask = (from: string, to: string, port?: number | string) =>
      p.ask({ from, to, protocol: 'TCP', ...(port === undefined ? {} : { port }) });
    t.match(ask('pod/shop/web', 'svc/shop/api', 80), {
      verdict: 'allowed',
      translated: { dst: API, dport: 8080 },
      choice: null,
    });
    t.match(ask('pod/shop/web', 'svc/shop/api:80'), { verdict: 'allowed' });
    t.match(ask('pod/other/client', 'svc/shop/api:80'), {
      verdict: 'denied',
      ingress: 'denied',
      egress: 'allowed',
      decidedBy: { policy: 'shop/NetworkPolicy/api-from-web' },
    });
    t.match(ask('pod/other/client', 'svc/shop/any:80'), {
      verdict: 'depends',
      choice: { of: 4, allowed: 2 },
    });
    t.match(ask('pod/shop/api', 'svc/shop/any:80'), {
      verdict: 'depends',
      choice: { of: 4 },
    });
    t.match(ask('pod/shop/web', 'svc/shop/nobody:80'), { verdict: 'denied', reason: 'rejected' });
    t.match(ask('pod/other/client', 'node/node-b', 30_080), {
      verdict: 'allowed',
      choice: { of: 2 },
    });
    t.throws(() => ask('pod/shop/web', 'svc/shop/apj:80'), { message: /svc\/shop\/api/ });
    t.throws(() => ask('pod/shop/web', 'svc/shop/api:http'), { message: /declares/ });
  }
});

t.test("the API server's Service without an EndpointSlice is judged by nobody", async (t) => {
  const apiServer = `apiVersion: v1
kind: Service
metadata: { name: kubernetes, namespace: default }
spec: { clusterIP: 10.0.0.1, ports: [{ name: https, port: 443, targetPort: 6443 }] }
`;
  const given = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: kubernetes, namespace: default, labels: { kubernetes.io/service-name: kubernetes } }
addressType: IPv4
ports: [{ name: https, port: 6443 }]
endpoints: [{ addresses: [20.50.60.70] }]
`;
  const ask = (documents: readonly string[]) => {
    const inputs = shopWith(...documents);
    const world = new World({ ...inputs, stack: parseStack('azure-transparent+calico') });
    return (['svc/default/kubernetes', '10.0.0.1', 'https://kubernetes.default'] as const).map(
      (to) => new Prober(world).ask({ from: 'pod/other/client', to, port: 443, protocol: 'TCP' }),
    );
  };
  for (const result of ask([apiServer])) {
    t.match(result, { verdict: 'unknown', reason: 'endpointsUnknown' });
  }
  for (const result of ask([apiServer, given])) {
    t.match(result, { verdict: 'allowed', translated: { dst: '20.50.60.70', dport: 6443 } });
  }
  const frames = exchange({ from: [CLIENT, 40_000], to: ['10.0.0.1', 443] });
  const { connections } = await replayFrames(
    shopWith(apiServer),
    'azure-transparent+calico',
    frames,
  );
  t.match(connections, [{ verdict: 'unknown', reason: 'endpointsUnknown' }]);
});
