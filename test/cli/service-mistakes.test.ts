/**
 * Mistakes in Services and their ranges, as the command says them: where, what was found, and in
 * the words of the API server or of Azure. The whole list is in test/cluster/service-mistakes.test.ts.
 * @module
 */
import t from 'tap';
import { forEachRow, wiretrial } from '../support/command.ts';

function wiring(more: string): string {
  return `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
${more}
virtualNetworks:
  - name: v
    addressPrefixes: [10.240.0.0/16]
    subnets: [{ name: s, addressPrefix: 10.240.0.0/24 }]
---
apiVersion: v1
kind: Pod
metadata: { name: a, namespace: shop, labels: { app: a } }
spec: { containers: [{ name: c }] }
`;
}

function service(name: string, spec: string): string {
  return `---\napiVersion: v1\nkind: Service\nmetadata: { name: ${name}, namespace: shop }\nspec: { selector: { app: a }, ${spec} }\n`;
}

const RANGE = 'serviceCidr: 10.0.0.0/16';
const NODE_PORT = 'type: NodePort, ports: [{ port: 80, nodePort: 30080 }]';

const ROWS: readonly (readonly [what: string, text: string, says: RegExp])[] = [
  [
    'service and pod ranges that overlap',
    wiring('networkPluginMode: overlay\npodCidr: 10.0.0.0/16\nserviceCidr: 10.0.128.0/17'),
    /:5:10: Wiring podCidr: 10\.0\.0\.0\/16 overlaps 10\.0\.128\.0\/17 of serviceCidr/,
  ],
  [
    'a service range inside of the virtual network',
    wiring('serviceCidr: 10.240.128.0/17'),
    /:4:14: Wiring serviceCidr: 10\.240\.128\.0\/17 overlaps 10\.240\.0\.0\/16/,
  ],
  [
    'a service range that is not smaller than /12',
    wiring('serviceCidr: 10.0.0.0/12'),
    /:4:14: Wiring serviceCidr: the service range 10\.0\.0\.0\/12 is too large/,
  ],
  [
    'a service range in one that Azure keeps',
    wiring('serviceCidr: 172.30.0.0/20'),
    /:4:14: .* overlaps 172\.30\.0\.0\/16, which Azure reserves/,
  ],
  [
    'one node port of two Services',
    wiring(RANGE) + service('b', NODE_PORT) + service('c', NODE_PORT),
    /shop\/Service\/c spec\.ports\[0\]\.nodePort: provided port is already allocated \(by the Service shop\/b\) \(found 30080\)/,
  ],
  [
    'one port and protocol twice',
    wiring(RANGE) + service('b', 'ports: [{ name: x, port: 80 }, { name: y, port: 80 }]'),
    /shop\/Service\/b spec\.ports\[1\]: duplicate value/,
  ],
  [
    'one cluster address of two Services',
    wiring(RANGE) +
      service('b', 'clusterIP: 10.0.0.5, ports: [{ port: 80 }]') +
      service('c', 'clusterIP: 10.0.0.5, ports: [{ port: 80 }]'),
    /shop\/Service\/c spec\.clusterIPs: failed to allocate IP 10\.0\.0\.5: provided IP is already allocated/,
  ],
];

t.test('what Azure and the API server refuse ends the command', async (t) => {
  await forEachRow(ROWS, async ([what, input, says]) => {
    const ran = await wiretrial(['doctor', '-f', '-'], { input });
    t.equal(ran.status, 2, what);
    t.match(ran.stderr, says, what);
    t.notMatch(ran.stderr, /^\s+at /m, `${what}: no stack trace`);
  });
});

t.test('a selector that matches nothing is a warning, and the connection is refused', async (t) => {
  const input = wiring(RANGE) + service('b', 'ports: [{ port: 80 }]').replace('app: a', 'app: z');
  const doctor = await wiretrial(['doctor', '-f', '-'], { input });
  t.match(doctor.stdout, /shop\/Service\/b: its selector matches no pod: connections are refused/);
  const stack = ['--stack', 'azure-transparent+none'];
  const ask = ['probe', '-f', '-', ...stack, '--from', 'pod/shop/a', '--to', 'svc/shop/b:80'];
  const probe = await wiretrial([...ask, '-o', 'json'], { input });
  t.match(JSON.parse(probe.stdout), { probes: [{ verdict: 'denied', reason: 'rejected' }] });
});
