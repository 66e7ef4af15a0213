/**
 * Clients that a Service keeps at one backend (`sessionAffinity: ClientIP`): what follows a draw
 * depends on that draw, until the backend is forgotten, and unless the capture shows it.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { SHOP_POLICIES, shopService, shopWith } from '../support/clusters.ts';
import { tcp } from '../support/packets.ts';
import { replayFrames, type SeenFrame } from '../support/replays.ts';

const CLIENT = '10.240.0.7';
const WEB = '10.240.0.5';
const WEB_2 = '10.240.0.37';
const DB = '10.240.0.6';
const SERVICE = '10.0.10.5';
const TIMEOUT_S = 100;

/** All four pods of the shop: two take anybody, two refuse the client. */
const AFFINE = `  sessionAffinity: ClientIP
  sessionAffinityConfig: { clientIP: { timeoutSeconds: ${TIMEOUT_S} } }
`;
const shop = shopWith(
  shopService('any', SERVICE, 'app: shop', 'port: 80, targetPort: 8080', AFFINE),
  SHOP_POLICIES,
);

const STACKS = ['iptables', 'nftables'].flatMap((mode) => [
  `azure-transparent+npm,kube-proxy=${mode}`,
  `azure-transparent+calico,kube-proxy=${mode}`,
]);

/** An opening to the Service, and where the capture shows it further on. */
function opening(sport: number, atS: number, backend?: string): readonly SeenFrame[] {
  const syn = (to: string, port: number) => tcp().from(CLIENT, sport).to(to, port).syn().id(sport);
  const sent = { data: syn(SERVICE, 80).frame(), atS };
  if (backend === undefined) return [sent];
  return [sent, { data: syn(backend, 8080).ttl(63).frame(), atS, iface: 1 }];
}

for (const stack of STACKS) {
  t.test(`${stack}: who follows a draw depends on it, and draws anew in time`, async (t) => {
    const times = [0, 10, 60, 159, 260, 361, 462, 563];
    const frames = times.flatMap((atS, i) => opening(41_000 + i, atS));
    const ran = await replayFrames(shop, stack, frames);
    for (const c of ran.connections) {
      t.match(c, { verdict: 'depends', choice: { of: 4, allowed: 2, by: 'drawn' } });
    }
    const backends = ran.connections.map((c) => c.translated?.dst);
    t.equal(new Set(backends.slice(0, 4)).size, 1, 'each within 100 s of the one before');
    t.ok(new Set(backends).size > 1, 'after 101 s of silence each draws for itself');
  });

  t.test(`${stack}: a draw that the capture shows settles what follows it`, async (t) => {
    for (const [backend, verdict] of [
      [WEB, 'allowed'],
      [WEB_2, 'allowed'],
      [DB, 'denied'],
    ] as const) {
      const frames = [
        ...opening(42_000, 0, backend),
        ...opening(42_001, 50),
        ...opening(42_002, 99),
      ];
      const ran = await replayFrames(shop, stack, frames);
      t.strictSame(
        ran.connections.map((c) => [c.verdict, c.translated?.dst]),
        new Array(3).fill([verdict, backend]),
      );
      const forgotten = [0, 101, 150].flatMap((atS, i) =>
        opening(42_000 + i, atS, i === 0 ? backend : undefined),
      );
      const later = await replayFrames(shop, stack, forgotten);
      const verdicts = later.connections.map((c) => c.verdict);
      t.strictSame(verdicts, [verdict, 'depends', 'depends'], 'forgotten by then, and drawn anew');
    }
  });

  t.test(`${stack}: a backend that is seen, and was drawn otherwise before`, async (t) => {
    for (const [i, backend] of [WEB, WEB_2, DB].entries()) {
      const frames = [...opening(43_000, 0), ...opening(43_001, 1, backend)];
      const [first, second] = (await replayFrames(shop, stack, frames)).connections;
      t.equal(first?.verdict, 'depends');
      // Only where the draw happens to be what is seen is it known to be right.
      const isSame = first?.translated?.dst === backend;
      const seen = i === 2 ? 'denied' : 'allowed';
      t.equal(second?.verdict, isSame ? seen : 'depends', backend);
    }
  });

  t.test(`${stack}: asked again, a probe says the same`, async (t) => {
    const prober = new Prober(new World({ ...shop, stack: parseStack(stack) }));
    const ask = (to: string) =>
      prober.ask({ from: 'pod/other/client', to, port: 80, protocol: 'TCP' });
    for (const to of ['svc/shop/any', 'svc/shop/any', SERVICE, 'svc/shop/any']) {
      t.match(ask(to), { verdict: 'depends', choice: { of: 4, allowed: 2 } }, to);
    }
  });
}

t.test('IPVS keeps clients, too', async (t) => {
  const stack = 'azure-transparent+npm,kube-proxy=ipvs';
  const frames = [0, 10, 60].flatMap((atS, i) => opening(44_000 + i, atS));
  const ran = await replayFrames(shop, stack, frames);
  const [first] = ran.connections;
  for (const c of ran.connections) {
    t.match(c, { verdict: first?.verdict, choice: { of: 4, by: 'drawn' } });
    t.equal(c.translated?.dst, first?.translated?.dst);
  }
});
