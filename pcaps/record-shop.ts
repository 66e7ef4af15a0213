/**
 * Records pcaps/shop.pcapng: a three-tier shop on two nodes, as root:
 *
 *   npx tsc -p . && node dist/pcaps/record-shop.js [pcaps/shop.pcapng]
 *
 * The topology is that of pcaps/shop/cluster.yaml. Who talks to whom is below, in order; what the
 * policies of pcaps/shop/policies.yaml say about it is in test/golden/shop. Timestamps and ephemeral
 * ports are new every time; everything else stays.
 * @module
 */
import { type LabLayout, type NamespaceLab, withLab } from './namespace-lab.ts';

const NODE_A = '10.240.0.4';
const NODE_B = '10.240.0.35';
const WEB_1 = '10.240.0.10';
const API_1 = '10.240.0.11';
const COREDNS = '10.240.0.12';
const WEB_2 = '10.240.0.40';
const API_2 = '10.240.0.41';
const DB = '10.240.0.42';
const PROMETHEUS = '10.240.0.43';
const BATCH = '10.240.0.44';
const CUSTOMER = '192.168.10.7';
const API_NAME = 'api.shop.svc.cluster.local';

const LAYOUT: LabLayout = {
  nodes: [
    { name: 'node-a', address: NODE_A },
    { name: 'node-b', address: NODE_B },
  ],
  pods: [
    { name: 'web-1', node: 'node-a', address: WEB_1 },
    { name: 'api-1', node: 'node-a', address: API_1 },
    { name: 'coredns', node: 'node-a', address: COREDNS },
    { name: 'web-2', node: 'node-b', address: WEB_2 },
    { name: 'api-2', node: 'node-b', address: API_2 },
    { name: 'db', node: 'node-b', address: DB },
    { name: 'prometheus', node: 'node-b', address: PROMETHEUS },
    { name: 'batch', node: 'node-b', address: BATCH },
  ],
  outside: { name: 'customer', address: CUSTOMER, gateway: '192.168.10.1' },
};

async function startPrograms(lab: NamespaceLab): Promise<void> {
  const front = { as: 'shopFront', port: 8080, dns: COREDNS, api: API_NAME } as const;
  const api = { as: 'shopApi', port: 9090, database: DB } as const;
  const metrics = { as: 'http', port: 9100, bytes: 900 } as const;
  const kubelet = { as: 'http', port: 10250 } as const;
  await lab.start('coredns', [{ as: 'dns', port: 53, zone: { [API_NAME]: [API_1, API_2] } }]);
  // A row longer than one segment, so that the recording holds an offload aggregate.
  await lab.start('db', [{ as: 'database', port: 5432, rowBytes: 4000 }, metrics]);
  await lab.start('api-1', [api, metrics]);
  await lab.start('api-2', [api]);
  await lab.start('web-1', [front, metrics]);
  await lab.start('web-2', [front, metrics]);
  await lab.start('prometheus', []);
  await lab.start('batch', []);
  await lab.start('node-a', [kubelet]);
  await lab.start('node-b', [kubelet]);
  await lab.start('customer', [{ as: 'http', port: 8443 }]);
}

async function trade(lab: NamespaceLab): Promise<void> {
  // Customers; each page makes the front ask DNS, then an API, and that the database.
  for (const web of [WEB_1, WEB_2, WEB_2, WEB_1]) {
    await lab.tell('customer', { do: 'get', url: `http://${web}:8080/` });
  }
  // The connection that was open before the recording began.
  await lab.tell('api-2', { do: 'ask' });
  await lab.tell('api-2', { do: 'ask' });
  // Health checks, as kubelet makes them, and the same from the other node.
  await lab.tell('node-a', { do: 'get', url: `http://${WEB_1}:8080/healthz` });
  await lab.tell('node-a', { do: 'get', url: `http://${API_1}:9090/healthz` });
  await lab.tell('node-b', { do: 'get', url: `http://${WEB_2}:8080/healthz` });
  await lab.tell('node-b', { do: 'get', url: `http://${API_1}:9090/healthz` });
  // Metrics: api-2 has no exporter, so its port is closed.
  for (const pod of [WEB_1, WEB_2, API_1, DB]) {
    await lab.tell('prometheus', { do: 'get', url: `http://${pod}:9100/metrics` });
  }
  const refused = { expect: 'ECONNREFUSED' } as const;
  await lab.tell('prometheus', { do: 'get', url: `http://${API_2}:9100/metrics`, ...refused });
  await lab.tell('web-2', { do: 'get', url: `http://${API_1}:9999/`, ...refused });
  // What the policies forbid.
  await lab.tell('web-1', { do: 'query', host: DB, port: 5432 });
  await lab.tell('batch', { do: 'query', host: DB, port: 5432 });
  await lab.tell('batch', { do: 'get', url: `http://${API_1}:9090/healthz` });
  // A namespace without a way in, and the door that is open to all.
  await lab.tell('batch', { do: 'get', url: `http://${WEB_2}:8080/healthz` });
  // Nodes: one's own, and another.
  await lab.tell('api-1', { do: 'get', url: `http://${NODE_A}:10250/stats` });
  await lab.tell('api-1', { do: 'get', url: `http://${NODE_B}:10250/stats` });
  await lab.tell('web-1', { do: 'get', url: `http://${NODE_A}:10250/stats` });
  // Out of the cluster.
  await lab.tell('web-1', { do: 'get', url: `http://${CUSTOMER}:8443/paid` });
  // ICMP.
  lab.ping('prometheus', WEB_1);
  lab.ping('web-1', COREDNS);
  lab.ping('api-2', NODE_B);
  lab.ping('batch', NODE_B);
  await lab.tell('api-2', { do: 'hangUp' });
}

await withLab(LAYOUT, async (lab) => {
  await startPrograms(lab);
  await lab.tell('api-2', { do: 'open', host: DB, port: 5432 });
  await lab.tell('api-2', { do: 'ask' });
  await lab.record();
  await trade(lab);
  await lab.save(
    process.argv[2] ?? 'pcaps/shop.pcapng',
    'A three-tier shop on two nodes; recorded from real programs by pcaps/record-shop.ts',
  );
});
