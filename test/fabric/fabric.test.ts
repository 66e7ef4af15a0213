/**
 * The Azure network as a plan.
 * @module
 */
import t from 'tap';
import { fabricDevice } from '../../src/fabric/devices.ts';
import { renderFabric } from '../../src/fabric/render.ts';
import { printIp } from '../../src/plan/ip-text.ts';
import type { Plan } from '../../src/plan/model.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { cluster, ip, node, pod } from '../dataplane/objects.ts';

const shop = cluster({
  nodes: [node('node-a', '10.240.0.4')],
  pods: [pod('x/a', 'node-a', '10.240.0.10')],
  subnets: ['10.240.0.0/16'],
});

function fabric(): Plan {
  return renderFabric({
    host: 'fabric',
    cluster: shop,
    ranges: shop.wiring.subnets,
    nodes: [
      {
        name: 'node-a',
        mac: '00:0d:3a:00:00:01',
        addresses: [ip('10.240.0.4')],
        podAddresses: [ip('10.240.0.10'), ip('fd00::a')],
      },
    ],
  }).plan;
}

t.test(
  'every owned address leads to its VM, the rest outside, nobody’s addresses nowhere',
  async (t) => {
    const lines = printIp(fabric()).split('\n');
    t.strictSame(
      lines.filter((line) => /^ip (neigh|route)/.test(line)),
      [
        'ip neigh replace 10.240.0.4 lladdr 00:0d:3a:00:00:01 dev nic-node-a nud permanent',
        'ip neigh replace fd00::a lladdr 00:0d:3a:00:00:01 dev nic-node-a nud permanent',
        'ip neigh replace 169.254.0.1 lladdr 12:34:56:78:9a:bc dev internet nud permanent',
        'ip neigh replace fe80::1 lladdr 12:34:56:78:9a:bc dev internet nud permanent',
        'ip route replace 10.240.0.4/32 dev nic-node-a scope link',
        'ip route replace fd00::a/128 dev nic-node-a metric 1024',
        'ip route replace 10.240.0.10/32 via 10.240.0.4 dev nic-node-a scope global onlink',
        'ip route replace 0.0.0.0/0 via 169.254.0.1 dev internet scope global onlink',
        'ip route replace ::/0 via fe80::1 dev internet metric 1024 onlink',
      ],
    );
  },
);

t.test(
  'crossing the fabric costs no TTL, and a NIC sends only from its own addresses',
  async (t) => {
    for (const [family, raise] of [
      [4, '-j TTL --ttl-inc 1'],
      [6, '-j HL --hl-inc 1'],
    ] as const) {
      const text = printIptables(fabric(), family);
      t.match(text, `-A PREROUTING -m comment --comment "the fabric does not lower TTL" ${raise}`);
      t.match(text, '-A PREROUTING -i nic-+ -m rpfilter --invert ');
    }
  },
);

t.test('all its devices have the one MAC that Azure answers ARP with', async (t) => {
  const { interfaces, evidence } = fabric();
  t.strictSame(
    interfaces.map((i) => [i.name, i.mac]),
    [
      ['lo', '00:00:00:00:00:00'],
      ['internet', '12:34:56:78:9a:bc'],
      ['nic-node-a', '12:34:56:78:9a:bc'],
    ],
  );
  t.equal(evidence, 'documentation');
});

t.test('device names fit Linux and tell nodes apart', async (t) => {
  t.equal(fabricDevice('node-a'), 'nic-node-a');
  const names = ['aks-nodepool1-74283791-vmss000001', 'aks-nodepool1-74283791-vmss000002'].map(
    fabricDevice,
  );
  t.not(names[0], names[1]);
  for (const name of names) t.match(name, /^nic-[0-9a-f]{11}$/);
});
