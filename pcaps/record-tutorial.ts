/**
 * Records pcaps/tutorial/tutorial.pcapng: the pods of Microsoft's tutorial "Secure traffic between
 * pods by using network policies in AKS", each fetching the backend's page, as root:
 *
 *   npx tsc -p . && node dist/pcaps/record-tutorial.js [pcaps/tutorial/tutorial.pcapng]
 *
 * The topology is that of pcaps/tutorial/cluster.yaml. Clients ask the backend's pod address: the
 * tutorial's Service in front of it adds nothing to what its policies say.
 * @module
 */
import { withLab } from './namespace-lab.ts';

const BACKEND = 'http://10.240.0.10:80/';

const LAYOUT = {
  nodes: [
    { name: 'node-a', address: '10.240.0.4' },
    { name: 'node-b', address: '10.240.0.35' },
  ],
  pods: [
    { name: 'backend', node: 'node-a', address: '10.240.0.10' },
    { name: 'network-policy', node: 'node-a', address: '10.240.0.11' },
    { name: 'frontend', node: 'node-b', address: '10.240.0.40' },
    { name: 'production-frontend', node: 'node-b', address: '10.240.0.41' },
  ],
};

await withLab(LAYOUT, async (lab) => {
  await lab.start('backend', [{ as: 'http', port: 80, bytes: 612 }]);
  const clients = ['network-policy', 'frontend', 'production-frontend'];
  for (const client of clients) await lab.start(client, []);
  await lab.record();
  for (const client of clients) await lab.tell(client, { do: 'get', url: BACKEND });
  await lab.save(
    process.argv[2] ?? 'pcaps/tutorial/tutorial.pcapng',
    "The clients of Microsoft's network policy tutorial; recorded by pcaps/record-tutorial.ts",
  );
});
