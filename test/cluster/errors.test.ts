/**
 * What a stranger reads when a manifest is wrong: the whole line, place and all.
 * @module
 */
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';

/** The messages for a text, none when it loads. */
function messages(text: string, ignoreUnsupported = false): readonly string[] {
  try {
    parseInputs('f.yaml', text, ignoreUnsupported);
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message.split('\n');
  }
}

const policy = (spec: string) => `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  podSelector: {}
${spec}`;

const pod = (name: string, rest: string) => `apiVersion: v1
kind: Pod
metadata: {name: ${name}}
${rest}`;

t.test('one mistake is one line that says where, what was found, what is accepted', async (t) => {
  const rows: readonly (readonly [string, string, string])[] = [
    [
      'a range of ports that runs backwards',
      policy('  ingress:\n  - ports: [{port: 80, endPort: 79}]'),
      'f.yaml:7:33: shop/NetworkPolicy/p spec.ingress[0].ports[0].endPort: must be greater than or equal to `port` (found 79; accepted: 80..65535) [POLICY_PORT_RANGE]',
    ],
    [
      'an unknown field',
      policy('  ingres: []'),
      'f.yaml:6:3: shop/NetworkPolicy/p spec.ingres: unknown field "spec.ingres", did you mean "ingress"? [UNKNOWN_FIELD]',
    ],
    [
      'an unknown field that resembles nothing',
      policy('  zzz: 1'),
      'f.yaml:6:3: shop/NetworkPolicy/p spec.zzz: unknown field "spec.zzz" [UNKNOWN_FIELD]',
    ],
    [
      'a wrong type',
      policy('  ingress: {from: []}'),
      'f.yaml:6:12: shop/NetworkPolicy/p spec.ingress: must be a list (found a map) [FIELD_TYPE]',
    ],
    [
      'a label that YAML reads as a boolean',
      pod('a', '').replace('name: a', 'name: a, labels: {on-call: yes}'),
      'f.yaml:3:39: default/Pod/a metadata.labels[on-call]: must be a string (put it in quotes) (found true) [FIELD_TYPE]',
    ],
    [
      'a CIDR without length',
      policy('  egress:\n  - to: [{ipBlock: {cidr: 10.0.0.1}}]'),
      'f.yaml:7:27: shop/NetworkPolicy/p spec.egress[0].to[0].ipBlock.cidr: must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64) (found "10.0.0.1"; accepted: ADDRESS/LENGTH) [POLICY_CIDR]',
    ],
    [
      'a protocol that policies do not know',
      policy('  ingress:\n  - ports: [{protocol: ICMP}]'),
      'f.yaml:7:24: shop/NetworkPolicy/p spec.ingress[0].ports[0].protocol: unsupported value (found "ICMP"; accepted: TCP, UDP, SCTP) [POLICY_PROTOCOL]',
    ],
    [
      'an empty peer',
      policy('  ingress:\n  - from: [{}]'),
      'f.yaml:7:12: shop/NetworkPolicy/p spec.ingress[0].from[0]: required value: must specify a peer (accepted: podSelector, namespaceSelector, ipBlock) [POLICY_PEER]',
    ],
    [
      'a selector operator',
      policy('').replace('{}', '{matchExpressions: [{key: a, operator: Is, values: [b]}]}'),
      'f.yaml:5:55: shop/NetworkPolicy/p spec.podSelector.matchExpressions[0].operator: not a valid selector operator (found "Is"; accepted: In, NotIn, Exists, DoesNotExist) [SELECTOR_OPERATOR]',
    ],
    [
      'a duplicate key',
      policy('  podSelector: {}'),
      'f.yaml:6:3: duplicate field "podSelector" [DUPLICATE_KEY]',
    ],
    [
      'an object given twice',
      `${policy('')}---\n${policy('')}`,
      'f.yaml:7:1: shop/NetworkPolicy/p: given twice: first at f.yaml:1 [DUPLICATE_OBJECT]',
    ],
    [
      'YAML that is none',
      'a: [1\nb: 2',
      'f.yaml:2:1: Flow sequence in block collection must be sufficiently indented and end with a ] [YAML_SYNTAX]',
    ],
    [
      'what kubectl says when there is nothing',
      'No resources found in default namespace.',
      'f.yaml:1:1: not a Kubernetes object (found "No resources found in default namespace."; accepted: a map with apiVersion and kind) [OBJECT_KIND]',
    ],
    [
      'no kind',
      'apiVersion: v1\nmetadata: {name: x}',
      'f.yaml:1:1: `kind` is missing (accepted: an object with apiVersion and kind) [OBJECT_KIND]',
    ],
    [
      'an API version that is gone',
      'apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: x}',
      'f.yaml:1:13: no matches for kind "NetworkPolicy" in version "extensions/v1beta1" (accepted: networking.k8s.io/v1) [API_VERSION]',
    ],
    [
      'a kind that its group does not have',
      'apiVersion: networking.k8s.io/v1\nkind: NetworkPolcy\nmetadata: {name: x}',
      'f.yaml:2:7: no matches for kind "NetworkPolcy" in version "networking.k8s.io/v1" (accepted: did you mean NetworkPolicy?) [KIND_UNKNOWN]',
    ],
    [
      "a kind in small letters, as in kubectl's arguments",
      'apiVersion: v1\nkind: pods\nmetadata: {name: x}',
      'f.yaml:2:7: no matches for kind "pods" in version "v1" (accepted: did you mean Pod?) [KIND_UNKNOWN]',
    ],
    [
      'a kind of another group',
      'apiVersion: v1\nkind: Deployment\nmetadata: {name: x}',
      'f.yaml:2:7: no matches for kind "Deployment" in version "v1" (accepted: Deployment in apps/v1) [KIND_UNKNOWN]',
    ],
    [
      'a policy without its group',
      'apiVersion: v1\nkind: NetworkPolicy\nmetadata: {name: x}',
      'f.yaml:2:7: no matches for kind "NetworkPolicy" in version "v1" (accepted: NetworkPolicy in networking.k8s.io/v1) [KIND_UNKNOWN]',
    ],
    [
      'a group that nobody has',
      'apiVersion: app/v1\nkind: Deploymnt\nmetadata: {name: x}',
      'f.yaml:2:7: no matches for kind "Deploymnt" in version "app/v1" (accepted: a group of the API server\'s, or a custom one (example.com/v1)) [KIND_UNKNOWN]',
    ],
    [
      "a later wiretrial's wiring",
      'apiVersion: wiretrial/v2\nkind: Wiring',
      'f.yaml:1:13: no matches for kind "Wiring" in version "wiretrial/v2" (accepted: wiretrial/v1) [API_VERSION]',
    ],
    [
      'two running pods with one address',
      `${pod('a', 'status: {podIP: 10.0.0.9}')}\n---\n${pod('b', 'status: {podIP: 10.0.0.9}')}`,
      'f.yaml:6:1: default/Pod/b: has the address 10.0.0.9, as has default/Pod/a (f.yaml:1) [ADDRESS_DUPLICATE]',
    ],
    [
      'a pod on an unknown node',
      `${pod('a', 'spec: {nodeName: nod-a}')}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: node-a}`,
      'f.yaml:4:18: default/Pod/a spec.nodeName: no such node, did you mean "node-a"? (found "nod-a"; accepted: node-a) [POD_NODE_UNKNOWN]',
    ],
    [
      'a pod on the host network with an address of its own',
      `${pod('a', 'spec: {nodeName: n, hostNetwork: true}\nstatus: {podIP: 10.0.0.9}')}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {addresses: [{type: InternalIP, address: 10.0.0.4}]}`,
      'f.yaml:1:1: default/Pod/a status.podIPs: a pod on the host network has the addresses of its node n (found 10.0.0.9; accepted: 10.0.0.4) [POD_HOST_ADDRESS]',
    ],
    [
      'a workload whose selector misses its own pods',
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}}}',
      'f.yaml:4:71: default/Deployment/d spec.template.metadata.labels: `selector` does not match template `labels` (found a map) [WORKLOAD_SELECTOR]',
    ],
    [
      'a mistyped wiring',
      'apiVersion: wiretrial/v1\nkind: Wiring\nnetworkPlugn: azure',
      'f.yaml:3:1: Wiring networkPlugn: unknown field "networkPlugn", did you mean "networkPlugin"? [UNKNOWN_FIELD]',
    ],
    [
      'a policy that the emulator can not judge',
      'apiVersion: crd.projectcalico.org/v1\nkind: GlobalNetworkPolicy\nmetadata: {name: g}',
      'f.yaml:1:1: crd.projectcalico.org/v1 GlobalNetworkPolicy/g: Calico resources are not emulated yet, and it may change verdicts; leave it out, or skip it with --ignore-unsupported [KIND_UNSUPPORTED]',
    ],
    [
      'wiring that is not acted on',
      'apiVersion: wiretrial/v1\nkind: Wiring\nnetworkDataplane: cilium',
      'f.yaml:3:19: Wiring networkDataplane: this is not emulated yet, and it may change verdicts; leave it out, or skip it with --ignore-unsupported [KIND_UNSUPPORTED]',
    ],
  ];
  for (const [name, text, want] of rows) t.same(messages(text), [want], name);
});

t.test('all mistakes are said at once, in the order of the file', async (t) => {
  const text = `${pod('A', 'spec: {containers: [{name: c, ports: [{containerPort: "80"}]}]}')}
---
${policy('  policyTypes: [Ingres]\n  egress:\n  - ports: [{endPort: 5}]')}
---
a: [`;
  const codes = messages(text).map((m) => m.replace(/^f\.yaml:(\d+):.*\[(\w+)\]$/, '$1 $2'));
  t.same(codes, [
    '3 NAME_INVALID',
    '4 FIELD_TYPE',
    '11 POLICY_TYPES',
    '13 POLICY_PORT_RANGE',
    '15 YAML_SYNTAX',
  ]);
});

t.test('a field of the wrong type is one mistake, not two', async (t) => {
  const found = messages(pod('a', 'spec: {containers: [{name: c, ports: [{containerPort: x}]}]}'));
  t.equal(found.length, 1, found.join('\n'));
  t.match(found[0], /must be a whole number \(found "x"\)/);
});

t.test(
  'unsupported kinds are counted when the user says so, never dropped in silence',
  async (t) => {
    const text = 'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: c}';
    t.match(messages(text)[0], /Cilium resources are not emulated/);
    const inputs = parseInputs('f.yaml', text, true);
    t.same([...inputs.unsupported], [['cilium.io/v2 CiliumNetworkPolicy', 1]]);
  },
);

t.test('the content of a Secret is never printed, even when it is broken', async (t) => {
  const secret =
    'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {key: aHVudGVyMg==, key: aHVudGVyMg==}';
  const found = messages(secret);
  t.equal(found.length, 1);
  t.notMatch(found.join('\n'), /aHVudGVy/);
});
