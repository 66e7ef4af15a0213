/**
 * How a stack is named, and what is refused.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';

/** What a stack is refused with; empty when it is taken. */
function refusal(text: string): string {
  try {
    parseStack(text);
    return '';
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

t.test('a stack is a network, a policy engine and options', async (t) => {
  t.strictSame(parseStack('azure-bridge+npm,version=1.4.23,place-first=true'), {
    text: 'azure-bridge+npm,version=1.4.23,place-first=true',
    network: 'azure-bridge',
    policy: 'npm',
    options: { version: '1.4.23', 'place-first': 'true' },
  });
  t.equal(parseStack('azure-transparent+calico').policy, 'calico');
  t.equal(parseStack('azure-transparent+none').policy, 'none');
  for (const text of [
    'azure-overlay+calico',
    'azure-overlay+npm',
    'azure-podsubnet+npm',
    'kubenet+calico',
    'byo+calico',
    'docker+none',
  ]) {
    t.equal(parseStack(text).text, text);
  }
});

t.test('what can not be is refused, with the reason or what is accepted', async (t) => {
  for (const [text, code, detail] of [
    ['azure-bridge', 'STACK_FORM', 'NETWORK+POLICY'],
    ['a+b+c', 'STACK_FORM', 'NETWORK+POLICY'],
    ['flannel+npm', 'STACK_NETWORK', 'azure-bridge, azure-transparent'],
    ['azure-bridge+weave', 'STACK_POLICY', 'none, npm, calico, cilium'],
    ['azure-bridge+calico', 'STACK_REFUSED', 'never the in-interface'],
    ['kubenet+npm', 'STACK_REFUSED', 'requires Azure CNI; kubenet supports calico only'],
    ['byo+npm', 'STACK_REFUSED', 'AKS installs it, and AKS'],
    ['docker+calico', 'STACK_REFUSED', 'no Kubernetes'],
    ['byo+none,cni=weave', 'STACK_OPTION_VALUE', 'bridge|ptp|flannel|kindnet'],
    ['kubenet+none,cni=bridge', 'STACK_OPTION', 'kube-proxy-version'],
    ['azure-transparent+cilium', 'STACK_NOT_EMULATED', 'policy engine cilium is not emulated yet'],
    ['azure-bridge+npm,colour=red', 'STACK_OPTION', 'version='],
    ['azure-bridge+none,version=1', 'STACK_OPTION', 'kube-proxy-version=1.29..1.35'],
    ['azure-bridge+npm,version', 'STACK_OPTION_FORM', 'name=value'],
    ['azure-bridge+npm,version=1.2.7', 'STACK_OPTION_VALUE', '1.4.21 to 1.6.48'],
    ['azure-bridge+npm,version=9.9.9', 'STACK_OPTION_VALUE', '1.4.21 to 1.6.48'],
    ['azure-bridge+npm,place-first=yes', 'STACK_OPTION_VALUE', 'true|false'],
    ['azure-bridge+npm,place-first=true,place-first=true', 'STACK_OPTION_TWICE', 'is given twice'],
  ] as const) {
    const said = refusal(text);
    t.match(said, detail, text);
    t.match(said, `[${code}]`, text);
  }
});

t.test('all mistakes of a stack are said at once', async (t) => {
  const said = refusal('kubenet+npm,colour=red,version=0.1.0');
  const codes = [...said.matchAll(/\[(\w+)\]$/gm)].map((m) => m[1]);
  t.strictSame(codes, ['STACK_OPTION', 'STACK_OPTION_VALUE', 'STACK_REFUSED']);
});
