/**
 * The fabric of a dual-stack cluster: frontends, groups and the way out of both families.
 * @module
 */
import t from 'tap';
import { tcp } from '../support/packets.ts';
import { AzureWalk, answerTo, datagram, story, wiring } from './azure-walk.ts';

const WIRING = wiring(`ipFamilies: [IPv4, IPv6]
virtualNetworks: [{addressPrefixes: [10.1.0.0/16, "fd00:1::/64"], subnets: [{name: s, addressPrefix: 10.1.0.0/24, networkSecurityGroup: g}, {name: s6, addressPrefix: "fd00:1::/64", networkSecurityGroup: g}]}]
networkSecurityGroups:
- name: g
  securityRules:
  - {name: web, priority: 100, direction: Inbound, access: Allow, protocol: Tcp, sourceAddressPrefix: "*", destinationPortRange: "80"}`);

const NODE = `apiVersion: v1\nkind: Node\nmetadata: {name: na}
status: {addresses: [{type: InternalIP, address: 10.1.0.4}, {type: InternalIP, address: "fd00:1::4"}]}\n---\n`;
const POD = `apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: web}}
spec: {nodeName: na, containers: [{name: c, ports: [{containerPort: 80}]}]}
status: {phase: Running, podIPs: [{ip: 10.1.0.10}, {ip: "fd00:1::a"}], conditions: [{type: Ready, status: "True"}]}\n---\n`;
const SERVICE = `apiVersion: v1\nkind: Service\nmetadata: {name: web}
spec: {type: LoadBalancer, ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6], externalTrafficPolicy: Local, healthCheckNodePort: 31000, sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80, targetPort: 80, nodePort: 30080}]}
status: {loadBalancer: {ingress: [{ip: 20.7.7.7}, {ip: "2603::7"}]}}\n---\n`;

t.test('a frontend of each family', async (t) => {
  const walk = new AzureWalk([WIRING, NODE, POD, SERVICE]);
  const rows = [
    ['9.9.9.9', '20.7.7.7', '10.1.0.10'],
    ['2001:db8:9::9', '2603::7', 'fd00:1::a'],
  ] as const;
  for (const [client, frontend, pod] of rows) {
    const opening = walk.journey('edge', tcp().from(client, 4000).to(frontend, 80).syn());
    t.equal(story(opening), `delivered default/a ${client}:4000 > ${pod}:80`);
    t.equal(
      walk.send('default/a', answerTo(opening)),
      `exited internet ${frontend}:80 > ${client}:4000`,
    );
  }
  const probes = walk.network.healthProbes?.map((p) => p.keys) ?? [];
  t.strictSame(probes, [['default/web 20.7.7.7 tcp/80 na'], ['default/web 2603::7 tcp/80 na']]);
});

t.test('groups and the way out know both families', async (t) => {
  const walk = new AzureWalk([WIRING, NODE, POD]);
  t.match(
    walk.send('edge', tcp().from('2001:db8:9::9', 4000).to('fd00:1::a', 22).syn()),
    'g/DenyAllInBound (65500)',
  );
  t.equal(
    walk.send('na', tcp().from('fd00:1::4', 4000).to('2606::1', 443).syn()),
    'exited internet 2001:db8::1:1024 > 2606::1:443',
  );
  t.equal(
    walk.send('na', datagram('10.1.0.4:4000', '8.8.8.8:53')),
    'exited internet 198.51.100.1:1024 > 8.8.8.8:53',
  );
});
