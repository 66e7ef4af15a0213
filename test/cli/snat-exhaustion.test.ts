/**
 * Ports of a public address that run out in a replayed capture: said when first, for which
 * destination and whose ports they were, and only on the capture's clock.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FLAT_WIRING, TWO_NODES_SHOP } from '../support/clusters.ts';
import { wiretrial, writeCapture } from '../support/command.ts';
import { tcp } from '../support/packets.ts';

t.setTimeout(600_000);
const cwd = mkdtempSync(join(tmpdir(), 'wiretrial-snat-'));
t.teardown(() => rmSync(cwd, { recursive: true }));

const PORTS = 8;
const WIRING = `${FLAT_WIRING}loadBalancerProfile: { outboundIPs: [20.1.2.3], allocatedOutboundPorts: ${PORTS} }
`;
writeFileSync(join(cwd, 'shop.yaml'), [TWO_NODES_SHOP, WIRING].join('---\n'));

const WEB = '10.240.0.5';
const opening = (i: number, to: string) =>
  tcp()
    .from(WEB, 40_000 + i)
    .to(to, 443)
    .syn()
    .seq(i)
    .id(i + 1);
await writeCapture(join(cwd, 'out.pcap'), [
  ...Array.from({ length: PORTS + 2 }, (_, i) => opening(i, '203.0.113.80')),
  opening(PORTS + 2, '203.0.113.81'),
]);

const replay = (...args: readonly string[]) =>
  wiretrial(
    ['replay', '-f', 'shop.yaml', '-r', 'out.pcap', '--stack', 'azure-transparent+none', ...args],
    { cwd },
  );

t.test('the ninth connection of eight ports finds none; another destination does', async (t) => {
  const { stdout, status } = await replay('-o', 'json');
  t.equal(status, 0);
  const { connections, snatExhausted } = JSON.parse(stdout);
  const verdicts = new Map(
    connections.map((c: { sport: number; verdict: string }) => [c.sport - 40_000, c.verdict]),
  );
  const lost = [...verdicts].filter(([, verdict]) => verdict !== 'allowed').map(([i]) => i);
  t.strictSame(lost, [PORTS, PORTS + 1]);
  const refused = connections.find((c: { sport: number }) => c.sport === 40_000 + PORTS);
  t.match(refused, { verdict: 'denied', reason: 'natPortsExhausted' });
  t.strictSame(
    snatExhausted.map(({ firstTime: _, ...row }: { firstTime: string }) => row),
    [
      {
        destination: '203.0.113.80:443',
        protocol: 'tcp',
        pool: `outbound rule: ${PORTS} ports for node-a`,
        block: '20.1.2.3:1024-1031',
        packets: 2,
      },
    ],
  );
  const started = Date.parse('2023-11-14T22:13:20Z');
  const since = Date.parse(snatExhausted[0].firstTime) - started;
  t.ok(since > 0 && since < 60_000, 'on the clock of the capture, after its first packets');
});

t.test('the table says it too', async (t) => {
  const { stdout } = await replay();
  t.match(stdout, /Public ports ran out/i);
  t.match(stdout, /203\.0\.113\.80:443 +tcp +2 +outbound rule: 8 ports for node-a/);
  t.notMatch(stdout, /203\.0\.113\.81:443 +tcp +\d+ +outbound rule/);
});
