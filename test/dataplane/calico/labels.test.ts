/**
 * Rendered chains against real nodes: every rule's text and every `cali:` label, byte for byte.
 *
 * A label is a hash over its rule and all rules before it in the chain, so an equal label proves
 * text, order and completeness. Rule sets: AKS kubenet + Calico (2023), AKS Azure CNI + Calico
 * 3.26 (2024), Felix 3.30-dev with VXLAN and without workloads (2025).
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import {
  appendedName,
  type FelixRule,
  ruleLabels,
} from '../../../src/dataplane/calico/chains/felix-rule.ts';
import { builtinHooks, staticChains } from '../../../src/dataplane/calico/chains/static-chains.ts';
import { felixConfig } from '../../../src/dataplane/calico/options.ts';
import type { CalicoPolicy } from '../../../src/dataplane/calico/policy/conversion.ts';
import { convertPolicies } from '../../../src/dataplane/calico/policy/conversion.ts';
import { type LocalEndpoint, writeFelix } from '../../../src/dataplane/calico/render.ts';
import type { TableName } from '../../../src/netfilter/hook.ts';
import { PlanBuilder } from '../../../src/plan/builder.ts';
import { findTable } from '../../../src/plan/model.ts';
import { sharedPath } from '../../support/shared.ts';
import { cluster, from, labels, lines, pod, policy, port, render, rule, stack } from './cluster.ts';

function dump(path: string): string[] | null {
  const file = sharedPath(`data/clusters/${path}`);
  return file === null ? null : readFileSync(file, 'utf8').split('\n');
}

/** The lines of a table that Felix wrote. */
function felixLines(text: readonly string[], table: TableName): string[] {
  const start = text.indexOf(`*${table}`);
  const end = text.indexOf('COMMIT', start);
  return text.slice(start, end).filter((line) => line.startsWith('-A') && line.includes('"cali:'));
}

const label = (line: string) => /"cali:([^"]+)"/.exec(line)?.[1] ?? '';

t.test('AKS kubenet + Calico 2023: the whole filter table, 172 of 172 labels', async (t) => {
  const text = dump('aks-kubenet-calico-2023/iptables-save.txt');
  if (text === null) {
    t.plan(0, 'needs ../shared');
    return;
  }
  const config = felixConfig(stack({ version: '3.26', interfacePrefix: 'cali' }));
  const konnectivity = [
    aksGlobalPolicy(),
    ...convertPolicies([konnectivityPolicy()], config.release),
  ];
  const endpoint = (
    id: string,
    namespace: string,
    account: string,
    policies: CalicoPolicy[] = [],
  ) => ({
    device: `cali${id}`,
    profiles: [`kns.${namespace}`, `ksa.${namespace}.${account}`],
    policies,
  });
  const local: LocalEndpoint[] = [
    endpoint('112d888c0c2', 'kube-system', 'metrics-server'),
    endpoint('26cecacb712', 'kube-system', 'coredns-autoscaler'),
    endpoint('55f439ddb0e', 'calico-system', 'calico-kube-controllers'),
    endpoint('9d7310e16e7', 'kube-system', 'konnectivity-agent', konnectivity),
    endpoint('c5a1f1aa0ed', 'kube-system', 'metrics-server'),
    endpoint('f6abb148530', 'kube-system', 'konnectivity-agent', konnectivity),
  ];
  const builder = new PlanBuilder('node', 'node');
  writeFelix(config, local, builder);
  const mine = lines(findTable(builder.build(), 4, 'filter'));
  const theirs = felixLines(text, 'filter');
  t.equal(theirs.length, 172 + 5, '172 in chains of Felix, 5 in built-in ones');
  t.same([...mine].sort(), [...theirs].sort());
});

function konnectivityPolicy() {
  return policy('kube-system', 'konnectivity-agent', {
    podSelector: labels({ app: 'konnectivity-agent' }),
    egress: [rule([])],
    policyTypes: ['Egress'],
  });
}

/** A GlobalNetworkPolicy that AKS put there: not a NetworkPolicy, so named by hand. */
function aksGlobalPolicy(): CalicoPolicy {
  const config = felixConfig(stack({ version: '3.26' }));
  const [like] = convertPolicies([konnectivityPolicy()], config.release);
  const name = 'aaa-allow-konnectivity-agent';
  return { ...like!, names: { chain: name, comment: `Policy ${name}`, sort: name, group: name } };
}

t.test('AKS Azure CNI + Calico 2024: a NetworkPolicy, its pod and its IP set', async (t) => {
  const text = dump('aks-azurecni-calico-2024/cali-rule-fragments.txt');
  if (text === null) {
    t.plan(0, 'needs ../shared');
    return;
  }
  const plan = render({
    cluster: cluster([pod('demo', 'server', { labels: { app: 'server' }, ip: '10.224.0.81' })]),
    policies: [
      policy('demo', 'demo-policy', {
        podSelector: labels({ app: 'server' }),
        ingress: [rule([from({ pods: labels({ app: 'client' }) })], [port(80)])],
      }),
    ],
    options: { version: '3.26' },
  });
  const mine = new Set(lines(findTable(plan, 4, 'filter')));
  const theirs = text.filter((line) => line.startsWith('-A'));
  // The two dispatch rules stand behind those of other pods, which the page does not show.
  const dispatch = theirs.filter((line) => !mine.has(line));
  t.same(
    dispatch.map((line) => line.replace(/"cali:[^"]*"/, '')),
    [
      '-A cali-from-wl-dispatch -i azve0cf0fbcf9f -m comment --comment  -g cali-fw-azve0cf0fbcf9f',
      '-A cali-to-wl-dispatch -o azve0cf0fbcf9f -m comment --comment  -g cali-tw-azve0cf0fbcf9f',
    ],
  );
  t.equal(theirs.length, 26);
  t.ok(plan.ipsets.some((s) => s.name === 'cali40s:N7qB4dD1ts0--qbzE-HjtMk'));
});

t.test('Felix 3.30 without workloads: every label of every table', async (t) => {
  const text = dump('calico-vxlan-host-2025/iptables-save.txt');
  if (text === null) {
    t.plan(0, 'needs ../shared');
    return;
  }
  const config = felixConfig(stack({ version: '3.30', interfacePrefix: 'cali' }));
  const builder = new PlanBuilder('host', 'node');
  writeFelix(config, [], builder);
  const plan = builder.build();
  for (const table of ['raw', 'mangle', 'nat', 'filter'] as const) {
    // That host has VXLAN, an AKS node has not: put its rules in, then hash again.
    const expected = new Map<string, string[]>();
    for (const line of felixLines(text, table)) {
      const chain = line.split(' ')[1]!;
      expected.set(chain, [...(expected.get(chain) ?? []), label(line)]);
    }
    for (const chain of staticChains(config, table, 4)) {
      const rules = [...chain.rules];
      for (const { at, rule: extra } of VXLAN[`${table} ${chain.name}`] ?? []) {
        rules.splice(at, 0, { action: { text: extra, target: { kind: 'none' } } } as FelixRule);
      }
      const made = ruleLabels({ name: chain.name, rules });
      // The dump was taken without the rules that name an IP set.
      const hidden = (VXLAN[`${table} ${chain.name}`] ?? []).filter((v) =>
        v.rule.includes('-m set'),
      );
      const shown = made.filter((_, i) => !hidden.some((h) => h.at === i));
      if (chain.rules.length > 0) t.same(shown, expected.get(chain.name), `${table} ${chain.name}`);
      expected.delete(chain.name);
    }
    for (const { chain, table: of, insert, append } of builtinHooks(config)) {
      if (of !== table) continue;
      const made = [
        ...ruleLabels({ name: chain, rules: insert }),
        ...ruleLabels({ name: appendedName(chain), rules: append }),
      ];
      t.same(made, expected.get(chain), `${table} ${chain}`);
      expected.delete(chain);
    }
    const mine = lines(findTable(plan, 4, table)).map(label);
    for (const chain of ['cali-from-wl-dispatch', 'cali-to-wl-dispatch']) {
      t.ok(
        (expected.get(chain) ?? []).every((one) => mine.includes(one)),
        `${table} ${chain}`,
      );
      expected.delete(chain);
    }
    t.same([...expected.keys()], [], `nothing of ${table} is left over`);
  }
});

/** What VXLAN adds, in the order of insertion (felix/rules/static.go). */
const VXLAN: Record<string, { at: number; rule: string }[]> = {
  'raw cali-PREROUTING': [{ at: 1, rule: '-p udp --dport 4789 --jump NOTRACK' }],
  'raw cali-OUTPUT': [{ at: 2, rule: '-p udp --dport 4789 --jump NOTRACK' }],
  'nat cali-POSTROUTING': [
    {
      at: 2,
      rule:
        '--out-interface vxlan.calico -m addrtype ! --src-type LOCAL --limit-iface-out ' +
        '-m addrtype --src-type LOCAL --jump MASQUERADE --random-fully',
    },
  ],
  'filter cali-INPUT': [
    {
      at: 0,
      rule:
        '-m comment --comment "Allow IPv4 VXLAN packets from allowed hosts" -p 17 ' +
        '-m multiport --destination-ports 4789 -m set --match-set cali40all-vxlan-net src ' +
        '-m addrtype --dst-type LOCAL --jump ACCEPT',
    },
    {
      at: 1,
      rule:
        '-m comment --comment "Drop IPv4 VXLAN packets from non-allowed hosts" -p 17 ' +
        '-m multiport --destination-ports 4789 -m addrtype --dst-type LOCAL --jump DROP',
    },
  ],
  'filter cali-OUTPUT': [
    {
      at: 2,
      rule:
        '-m comment --comment "Allow IPv4 VXLAN packets to other allowed hosts" -p 17 ' +
        '-m multiport --destination-ports 4789 -m addrtype --src-type LOCAL ' +
        '-m set --match-set cali40all-vxlan-net dst --jump ACCEPT',
    },
  ],
};
