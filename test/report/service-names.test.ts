/**
 * Explanations name the Service behind each of kube-proxy's rules that held.
 * @module
 */
import t from 'tap';
import { wiretrial } from '../support/command.ts';

/** One pod behind one Service, and a client; the Service's port stands on line 24. */
const CLUSTER = `apiVersion: v1
kind: Node
metadata: { name: n }
status: { addresses: [{ type: InternalIP, address: 10.224.0.4 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web } }
spec: { nodeName: n, containers: [{ name: c }] }
status: { phase: Running, podIP: 10.224.0.10 }
---
apiVersion: v1
kind: Pod
metadata: { name: client }
spec: { nodeName: n, containers: [{ name: c }] }
status: { phase: Running, podIP: 10.224.0.11 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  clusterIP: 10.0.0.80
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
`;

t.test('explain names the Service port of every rule that held for it', async (t) => {
  const flow = ['--from', 'pod/default/client', '--to', 'svc/default/web:http'];
  const stack = ['--stack', 'azure-transparent+none'];
  const { stdout, stderr, status } = await wiretrial(['explain', '-f', '-', ...stack, ...flow], {
    input: CLUSTER,
  });
  t.equal(status, 0, stderr);
  const named = stdout.split('\n').filter((line) => line.includes('svc/default/web:http ('));
  t.strictSame(
    named.map((line) => line.trim().replace(/KUBE-(SVC|SEP)-\w+/g, 'KUBE-$1')),
    [
      '+ nat/KUBE-SERVICES rule 1: KUBE-SVC, svc/default/web:http (<stdin>:24)',
      '+ nat/KUBE-SVC rule 2: KUBE-SEP, svc/default/web:http (<stdin>:24)',
      '+ nat/KUBE-SEP rule 2: DNAT --to-destination 10.224.0.10:8080, svc/default/web:http (<stdin>:24)',
    ],
  );
});
