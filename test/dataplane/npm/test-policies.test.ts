/**
 * The policies of Azure NPM's own tests, each with the comments of all rules that it becomes.
 *
 * NPM writes what a rule matches into its comment, so the comments are the translation. Inputs:
 * azure-container-networking `npm/testpolicies`; expectations by hand from `translatePolicy.go`,
 * as the main branch of 2026-09-15 does it.
 * @module
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { npmChains } from '../../../src/dataplane/npm/chains.ts';
import { isRejected, translatePolicy } from '../../../src/dataplane/npm/translate.ts';
import { npmBehavior } from '../../../src/dataplane/npm/version.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { loadInputs } from '../../../src/policy/inputs.ts';
import { sharedPath } from '../../support/shared.ts';

const folder = sharedPath('suites/azure-npm/npm/testpolicies');
const needs = { skip: folder === null && 'needs ../shared' };

/** Per file: the jump of each direction, then the rules of each chain. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  'allow-all-from-app-backend.yaml': [
    'EGRESS-POLICY-testnamespace/deny-all-policy-FROM-podlabel-app:backend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-ALL',
  ],
  'allow-all-ns-to-frontend.yaml': [
    'INGRESS-POLICY-testnamespace/allow-all-ns-to-frontend-policy-TO-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-FROM-nslabel-all-namespaces',
    'DROP-ALL',
  ],
  'allow-all-to-app-frontend.yaml': [
    'INGRESS-POLICY-testnamespace/allow-all-to-app-frontend-TO-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-ALL',
  ],
  'allow-app-backend-to-app-frontend-port-8000.yaml': [
    'INGRESS-POLICY-testnamespace/allow-backend-to-frontend-on-port-8000-policy-TO-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-FROM-podlabel-app:backend-AND-ns-testnamespace-ON-TCP-TO-PORT-8000',
    'DROP-ALL',
  ],
  'allow-app-frontend-tcp-port-or-udp-port-53.yaml': [
    'EGRESS-POLICY-testnamespace/allow-backend-to-frontend-on-port-53-policy-FROM-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-ALL-ON-TCP-TO-PORT-53',
    'ALLOW-ALL-ON-UDP-TO-PORT-53',
    'ALLOW-TO-nslabel-all-namespaces',
    'DROP-ALL',
  ],
  'allow-backend-to-frontend-with-missing-port.yaml': [
    'INGRESS-POLICY-testnamespace/allow-backend-to-frontend-on-port-8000-policy-TO-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-FROM-podlabel-app:backend-AND-ns-testnamespace-ON-TCP',
    'DROP-ALL',
  ],
  'allow-backend-to-frontend.yaml': [
    'INGRESS-POLICY-testnamespace/deny-all-policy-TO-podlabel-app:backend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-FROM-podlabel-app:frontend-AND-ns-testnamespace',
    'DROP-ALL',
  ],
  'allow-internal-and-external.yaml': [
    'INGRESS-POLICY-dangerous/allow-backdoor-policy-TO-podlabel-app:backdoor-AND-ns-dangerous-IN-ns-dangerous',
    'ALLOW-ALL',
  ],
  'allow-multiple-labels-to-multiple-labels.yaml': [
    'INGRESS-POLICY-acn/allow-multiple-labels-to-multiple-labels-TO-podlabel-app:k8s-AND-podlabel-team:aks-AND-ns-acn-IN-ns-acn',
    'ALLOW-FROM-podlabel-program:cni-AND-podlabel-team:acn-AND-ns-acn',
    'ALLOW-FROM-podlabel-binary:cns-AND-podlabel-group:container-AND-ns-acn',
    'DROP-ALL',
  ],
  'allow-ns-dev-and-app-backend-to-app-frontend.yaml': [
    'INGRESS-POLICY-testnamespace/deny-all-policy-TO-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-FROM-nslabel-ns:dev-AND-podlabel-app:backend',
    'DROP-ALL',
  ],
  'allow-ns-dev-to-app-frontend.yaml': [
    'INGRESS-POLICY-testnamespace/allow-ns-dev-to-app-frontend-TO-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-FROM-nslabel-namespace:dev-AND-!nslabel-namespace:test0-AND-!nslabel-namespace:test1',
    'DROP-ALL',
  ],
  'allow-ns-test-namespace-to-frontend.yaml': [
    'INGRESS-POLICY-testnamespace/deny-all-policy-TO-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-FROM-ns-testnamespace',
    'DROP-ALL',
  ],
  'allow-ns-y-z-pod-b-c.yaml': [
    'INGRESS-POLICY-netpol-4537-x/allow-ns-y-z-pod-b-c-TO-nestedlabel-netpol-4537-x/allow-ns-y-z-pod-b-c:pod:a:x-AND-ns-netpol-4537-x-IN-ns-netpol-4537-x',
    'ALLOW-FROM-!nslabel-ns:netpol-4537-x-AND-!nslabel-ns:netpol-4537-y-AND-nslabel-all-namespaces-AND-nestedlabel-netpol-4537-x/allow-ns-y-z-pod-b-c:pod:b:c-AND-nestedlabel-netpol-4537-x/allow-ns-y-z-pod-b-c:app:test:int',
    'DROP-ALL',
  ],
  'complex-policy-diff-order.yaml': [
    'INGRESS-POLICY-default/k8s-example-policy-TO-podlabel-role:db-AND-ns-default-IN-ns-default',
    'EGRESS-POLICY-default/k8s-example-policy-FROM-podlabel-role:db-AND-ns-default-IN-ns-default',
    'ALLOW-FROM-nslabel-project:myproject-ON-TCP-TO-PORT-6379',
    'ALLOW-FROM-podlabel-role:frontend-AND-ns-default-ON-TCP-TO-PORT-6379',
    'ALLOW-FROM-cidr-k8s-example-policy:in-ns:default-0-2IN-ON-TCP-TO-PORT-6379',
    'DROP-ALL',
    'ALLOW-TO-cidr-k8s-example-policy:in-ns:default-0-0OUT-ON-TCP-TO-PORT-5978',
    'DROP-ALL',
  ],
  'complex-policy.yaml': [
    'INGRESS-POLICY-default/k8s-example-policy-TO-podlabel-role:db-AND-ns-default-IN-ns-default',
    'EGRESS-POLICY-default/k8s-example-policy-FROM-podlabel-role:db-AND-ns-default-IN-ns-default',
    'ALLOW-FROM-cidr-k8s-example-policy:in-ns:default-0-0IN-ON-TCP-TO-PORT-6379',
    'ALLOW-FROM-nslabel-project:myproject-ON-TCP-TO-PORT-6379',
    'ALLOW-FROM-podlabel-role:frontend-AND-ns-default-ON-TCP-TO-PORT-6379',
    'DROP-ALL',
    'ALLOW-TO-cidr-k8s-example-policy:in-ns:default-0-0OUT-ON-TCP-TO-PORT-5978',
    'DROP-ALL',
  ],
  'deny-all-from-app-backend.yaml': [
    'EGRESS-POLICY-testnamespace/deny-all-from-app-backend-policy-FROM-podlabel-app:backend-AND-ns-testnamespace-IN-ns-testnamespace',
    'DROP-ALL',
  ],
  'deny-all-from-ns-unsafe.yaml': [
    'EGRESS-POLICY-unsafe/deny-all-policy-FROM-ns-unsafe-IN-ns-unsafe',
    'DROP-ALL',
  ],
  'deny-all-policy.yaml': [
    'INGRESS-POLICY-testnamespace/deny-all-policy-TO-ns-testnamespace-IN-ns-testnamespace',
    'DROP-ALL',
  ],
  'deny-all-to-app-frontend.yaml': [
    'INGRESS-POLICY-testnamespace/deny-all-policy-TO-podlabel-app:frontend-AND-ns-testnamespace-IN-ns-testnamespace',
    'DROP-ALL',
  ],
  'named-port.yaml': [
    'INGRESS-POLICY-test/named-port-ingress-rule-TO-podlabel-app:server-AND-ns-test-IN-ns-test',
    'ALLOW-ALL-ON-TCP-TO-namedport:serve-80',
    'DROP-ALL',
  ],
  'test-allow-all-to-k0-and-k1-and-app-frontend.yaml': [
    'INGRESS-POLICY-testnamespace/deny-all-policy-TO-podlabel-app:frontend-AND-!podlabel-k0-AND-nestedlabel-testnamespace/deny-all-policy:k1:v0:v1-AND-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-FROM-nslabel-all-namespaces',
    'DROP-ALL',
  ],
  'testing/allow-all.yaml': [
    'INGRESS-POLICY-testnamespace/allow-all-to-in-testnamespace-for-ingress-TO-ns-testnamespace-IN-ns-testnamespace',
    'ALLOW-ALL',
  ],
  'testing/deny-all.yaml': [
    'INGRESS-POLICY-testnamespace/deny-all-ingress-TO-ns-testnamespace-IN-ns-testnamespace',
    'DROP-ALL',
  ],
  'testing/only-ports.yaml': [
    'INGRESS-POLICY-default/only-port-TO-podlabel-app:server-AND-ns-default-IN-ns-default',
    'ALLOW-ALL-ON-TCP-TO-PORT-80',
    'ALLOW-ALL-ON-UDP-TO-PORT-100',
    'DROP-ALL',
  ],
};

t.test('every policy of NPM’s own tests is translated rule by rule', needs, async (t) => {
  const files = readdirSync(folder ?? '', { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.yaml'));
  t.strictSame(files.toSorted(), Object.keys(EXPECTED).toSorted(), 'no file is left out');
  const behavior = npmBehavior(parseStack('azure-transparent+npm'));
  for (const file of files) {
    const { policies } = loadInputs([join(folder ?? '', file)]);
    t.equal(policies.length, 1, file);
    const got = policies.flatMap((policy) => {
      const translated = translatePolicy(policy, behavior);
      if (isRejected(translated)) return [`rejected: ${translated.warnings[0]?.message}`];
      const chains = npmChains([translated], behavior, (set) => set.name);
      const rules = chains.flatMap((chain) => chain.rules).filter((rule) => rule.origin);
      return rules.flatMap((rule) =>
        (rule.matches ?? []).flatMap((m) => (m.kind === 'comment' ? [m.text] : [])),
      );
    });
    t.strictSame(got, EXPECTED[file], file);
  }
});
