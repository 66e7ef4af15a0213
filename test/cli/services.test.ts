/**
 * Services on the command line: what they became, which of how many choices are open, gates that
 * count what hangs on a draw, and names.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../support/clusters.ts';
import { NPM, wiretrial, writeCapture } from '../support/command.ts';
import { tcp } from '../support/packets.ts';

t.setTimeout(600_000);
const cwd = mkdtempSync(join(tmpdir(), 'wiretrial-services-'));
t.teardown(() => rmSync(cwd, { recursive: true }));

const SERVICES = `apiVersion: v1
kind: Service
metadata: { name: any, namespace: shop }
spec: { clusterIP: 10.0.10.5, selector: { app: shop }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: api, namespace: shop }
spec: { clusterIP: 10.0.10.1, selector: { tier: api }, ports: [{ port: 80, targetPort: 8080 }] }
`;

writeFileSync(join(cwd, 'shop.yaml'), [TWO_NODES_SHOP, SERVICES, SHOP_POLICIES].join('---\n'));
const CLIENT = '10.240.0.7';
await writeCapture(join(cwd, 'shop.pcap'), [
  tcp().from(CLIENT, 40_000).to('10.0.10.5', 80).syn().seq(1),
  tcp().from('10.240.0.5', 40_001).to('10.0.10.1', 80).syn().seq(2),
]);
const REPLAY = ['replay', '-f', 'shop.yaml', '-r', 'shop.pcap', ...NPM];
const ask = (verb: string, ...args: readonly string[]) =>
  wiretrial([verb, '-f', 'shop.yaml', ...NPM, ...args], { cwd });

t.test('replay says what a connection became and on how many choices it hangs', async (t) => {
  const { stdout, status } = await wiretrial([...REPLAY, '-o', 'json'], { cwd });
  t.equal(status, 0);
  const { connections, counts, snatExhausted } = JSON.parse(stdout);
  t.match(counts.connections, { total: 2, allowed: 1, depends: 1 });
  t.strictSame(snatExhausted, []);
  const byPort = new Map(connections.map((c: { sport: number }) => [c.sport, c]));
  t.match(byPort.get(40_000), {
    to: 'svc/shop/any',
    verdict: 'depends',
    choice: { of: 4, allowed: 2, by: 'drawn', complete: true },
  });
  t.match(byPort.get(40_001), {
    to: 'svc/shop/api',
    verdict: 'allowed',
    translated: { src: '10.240.0.5', dst: '10.240.0.36', sport: 40_001, dport: 8080 },
    choice: null,
  });
  const wide = await wiretrial([...REPLAY, '-o', 'wide'], { cwd });
  t.match(wide.stdout, /svc\/shop\/any:80 .*depends \(2 of 4\).*2 of 4 allowed/);
  const csv = await wiretrial([...REPLAY, '-o', 'csv', '--rows', 'connections'], { cwd });
  t.match(csv.stdout, /10\.240\.0\.5:40001 > 10\.240\.0\.36:8080/);
});

t.test('what depends fails its gate and counts as allowed nowhere', async (t) => {
  const gated = await wiretrial([...REPLAY, '-q', '--fail-on', 'depends'], { cwd });
  t.equal(gated.status, 1);
  t.match(gated.stderr, /--fail-on depends: 1/);
  const flow = ['--from', 'pod/other/client', '--to', 'svc/shop/any:80'];
  for (const expect of ['allowed', 'denied']) {
    t.equal((await ask('probe', ...flow, '--expect', expect)).status, 1, `is not ${expect}`);
  }
});

t.test('what a row says was asked is what was asked', async (t) => {
  const from = ['--from', 'pod/shop/web'];
  const udp = await ask('probe', ...from, '--to', 'udp://10.240.0.36:80', '-o', 'json');
  t.match(JSON.parse(udp.stdout).probes[0], { protocol: 'UDP', port: 80 });
  const small = await ask('probe', ...from, '--to', 'svc/shop/api:80', '--protocol', 'tcp');
  t.match(small.stdout, /svc\/shop\/api:80 +80 +TCP +allowed/, 'choices in any case');
  for (const [verb, to] of [
    ['probe', 'svc/shop/api:80'],
    ['explain', 'http://api'],
  ] as const) {
    const twice = await ask(verb, ...from, '--to', to, '--port', '8080');
    t.equal(twice.status, 2, verb);
    t.match(twice.stderr, /the destination says port 80 itself \(found 8080 beside /);
  }
  const none = await ask('explain', ...from, '--to', 'svc/shop/api');
  t.match(none.stderr, /--port: a port is needed/);
});

t.test('probe and explain by Service and by name', async (t) => {
  const probed = await ask('probe', '--from', 'pod/shop/web', '--to', 'http://api', '-o', 'json');
  t.match(JSON.parse(probed.stdout).probes[0], {
    verdict: 'allowed',
    port: 80,
    translated: { dst: '10.240.0.36', dport: 8080 },
    lookup: { name: 'api', addresses: ['10.0.10.1'], server: null },
  });
  const told = await ask('explain', '--from', 'pod/other/client', '--to', 'svc/shop/any:80');
  t.equal(told.status, 0);
  t.match(told.stdout, /TRANSLATED {2}10\.240\.0\.7:40000 > 10\.0\.10\.5:80 became /);
  t.match(told.stdout, /whoever takes it sees its sender, 10\.240\.0\.7/);
  t.match(told.stdout, /CHOICES {2}2 of 4 ways are allowed\n/);
  t.match(
    told.stdout,
    /10\.240\.0\.36:8080 {2}25\.0 % {2}denied by shop\/NetworkPolicy\/api-from-web/,
  );
  const unknown = await ask('probe', '--from', 'pod/shop/web', '--to', 'svc/shop/apj:80');
  t.equal(unknown.status, 2);
  t.match(unknown.stderr, /did you mean svc\/shop\/api\?/);
});
