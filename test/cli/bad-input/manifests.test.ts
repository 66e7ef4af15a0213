/**
 * Mistakes in manifests, as the command says them: file, line, field, found and accepted, all of
 * them at once.
 * @module
 */
import t from 'tap';
import { refusalFolder } from '../../support/refusals.ts';

const { file, refuses } = await refusalFolder();

const POD = (name: string, ip: string) =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: shop}\n` +
  `spec: {nodeName: node-a, containers: [{name: main}]}\nstatus: {podIP: ${ip}}\n`;
const POLICY = (name: string, spec: string) =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: shop}\n` +
  `spec:\n${spec}`;
const doctor = (...files: readonly string[]) => [
  'doctor',
  ...['cluster.yaml', ...files].flatMap((name) => ['-f', name]),
];

t.test('manifests: file, line, field, what was found, what is accepted', async (t) => {
  await refuses(t, [
    {
      what: 'YAML that does not parse',
      args: doctor(file('syntax.yaml', 'apiVersion: v1\nkind: Pod\nmetadata: {name: [a}\n')),
      status: 2,
      says: ['syntax.yaml:3:', '[YAML_SYNTAX]'],
    },
    {
      what: 'JSON that does not parse',
      args: doctor(file('syntax.json', '{"apiVersion": "v1",\n "kind": }\n')),
      status: 2,
      says: ['syntax.json:2:', '[JSON_SYNTAX]'],
    },
    {
      what: 'an unknown field',
      args: doctor(file('field.yaml', POLICY('p', '  podSelector: {}\n  ingres: []\n'))),
      status: 2,
      says: ['field.yaml:6:', 'spec.ingres', 'did you mean "ingress"'],
    },
    {
      what: 'a value of the wrong type',
      args: doctor(file('type.yaml', POLICY('p', '  podSelector: {}\n  policyTypes: Ingress\n'))),
      status: 2,
      says: ['type.yaml:6:', 'spec.policyTypes', 'found "Ingress"'],
    },
    {
      what: 'an invalid CIDR',
      args: doctor(
        file(
          'cidr.yaml',
          POLICY(
            'q',
            '  podSelector: {}\n  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.0/33}}]\n',
          ),
        ),
      ),
      status: 2,
      says: ['cidr.yaml:7:', 'spec.ingress[0].from[0].ipBlock.cidr', '10.0.0.0/33', 'accepted'],
    },
    {
      what: 'two pods with one address',
      args: doctor(file('overlap.yaml', POD('thief', '10.240.0.6'))),
      status: 2,
      says: ['overlap.yaml:1:', 'shop/Pod/thief', '10.240.0.6', 'shop/Pod/db', 'cluster.yaml:27'],
    },
    {
      what: 'ranges that overlap',
      args: doctor(
        file(
          'ranges.yaml',
          'apiVersion: wiretrial/v1\nkind: Wiring\nnetworkPlugin: azure\n' +
            'networkPluginMode: overlay\npodCidr: 10.244.0.0/16\nserviceCidr: 10.244.8.0/24\n',
        ),
      ),
      status: 2,
      says: ['ranges.yaml:', 'serviceCidr', '10.244.8.0/24'],
    },
    {
      what: 'the same object twice',
      args: doctor(file('twice.yaml', POD('web', '10.240.0.99'))),
      status: 2,
      says: ['twice.yaml:1:', 'shop/Pod/web', 'given twice', 'cluster.yaml:'],
    },
    {
      what: 'a file that is not there',
      args: doctor('absent.yaml'),
      status: 3,
      says: ['absent.yaml', 'no such file'],
    },
    {
      what: 'several mistakes in several files',
      args: doctor('field.yaml', 'cidr.yaml', 'overlap.yaml'),
      status: 2,
      says: [/\d problems:/, 'field.yaml:6:', 'cidr.yaml:7:', 'overlap.yaml:1:'],
    },
  ]);
});
