/**
 * The oracle against other people's: cyclonus' simulator (every step, every probe), the engine
 * tests of kube-network-policies, and the outcomes that the NetworkPolicy recipes document.
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import type { AddressPlan } from '../../src/cluster/address/address-plan.ts';
import { addressPlan } from '../../src/cluster/address/address-plan.ts';
import { parseCidr } from '../../src/cluster/manifest/cidr.ts';
import type { End } from '../../src/policy/evaluate.ts';
import { evaluate, inBlock, portAllowed } from '../../src/policy/evaluate.ts';
import { loadInputs, parseInputs } from '../../src/policy/inputs.ts';
import type { PolicyPort } from '../../src/policy/model.ts';
import { parseAddress } from '../../src/wire/address/address.ts';
import { sharedPath } from '../support/shared.ts';
import type { SuiteCase } from '../support/suites.ts';
import { cyclonusCases, haveSuites, knpCases, recipeCases, writeCase } from '../support/suites.ts';

const needs = { skip: haveSuites() ? false : 'needs ../shared' };

function endOf(plan: AddressPlan, text: string): End {
  const [kind, namespace = '', name = ''] = text.split('/');
  if (kind === 'pod') return { kind: 'pod', pod: plan.findPod(namespace, name)! };
  const address = parseAddress(text)!;
  const owner = plan.ownersOf(address)[0]!;
  return owner.kind === 'pod'
    ? { kind: 'pod', pod: owner.pod, address }
    : { kind: 'address', address };
}

/** Rows that the oracle judges otherwise than the suite, as text. */
function mismatches(c: SuiteCase): readonly string[] {
  const plan = addressPlan(c.cluster);
  const wrong: string[] = [];
  for (const probe of c.probes) {
    const from = endOf(plan, probe.from);
    const to = endOf(plan, probe.to);
    const got = evaluate(c.cluster, c.policies, { ...probe, from, to });
    const word = (allowed: boolean) => (allowed ? 'allowed' : 'denied');
    const row = [
      [word(got.allowed), probe.expect],
      [word(got.ingress.allowed), probe.ingress ?? word(got.ingress.allowed)],
      [word(got.egress.allowed), probe.egress ?? word(got.egress.allowed)],
    ];
    if (row.some(([a, b]) => a !== b)) {
      wrong.push(`${probe.from} > ${probe.to} ${probe.protocol}/${probe.port}: ${row.join(' ')}`);
    }
  }
  return wrong;
}

t.test('cyclonus: every probe of every step is judged as by its simulator', needs, async (t) => {
  let steps = 0;
  let probes = 0;
  for (const c of cyclonusCases()) {
    const wrong = mismatches(c);
    if (wrong.length > 0) t.same(wrong, [], `${c.id} ${c.description}`);
    steps++;
    probes += c.probes.length;
  }
  t.equal(steps, 256, 'steps');
  t.equal(probes, 123_669, 'probes');
});

t.test(
  'kube-network-policies: its packets are judged as its engine judges them',
  needs,
  async (t) => {
    const cases = knpCases();
    t.equal(cases.length, 20, 'packets');
    for (const c of cases) {
      const want = c.knownIssue === undefined ? 0 : 1;
      if (c.knownIssue !== undefined) t.comment(`${c.description}: ${c.knownIssue}`);
      t.equal(mismatches(c).length, want, `${c.id} ${c.description}`);
    }
    t.equal(cases.filter((c) => c.knownIssue !== undefined).length, 1, 'one known issue upstream');
  },
);

function json<T>(path: string): T {
  return JSON.parse(readFileSync(sharedPath(path)!, 'utf8')) as T;
}

t.test('kube-network-policies: its port lists admit the same ports', needs, async (t) => {
  interface Row {
    readonly name: string;
    readonly pod: unknown;
    readonly port: number;
    readonly protocol: 'TCP';
    readonly ports: readonly Partial<PolicyPort>[] | null;
    readonly want: boolean;
  }
  const rows = json<Row[]>('suites/kube-network-policies/ports.json');
  t.equal(rows.length, 11, 'rows');
  for (const row of rows) {
    const ports = (row.ports ?? []).map((p) => ({
      protocol: p.protocol ?? 'TCP',
      port: p.port ?? null,
      endPort: p.endPort ?? null,
    }));
    const pod = row.pod ? parseInputs('pod.json', JSON.stringify(row.pod)).cluster.pods[0] : null;
    const to: End = pod
      ? { kind: 'pod', pod }
      : { kind: 'address', address: parseAddress('192.0.2.1')! };
    t.equal(portAllowed(ports, to, row.protocol, row.port), row.want, row.name);
  }
});

t.test('kube-network-policies: its ipBlocks hold the same addresses', needs, async (t) => {
  interface Row {
    readonly name: string;
    readonly ip: string;
    readonly ipBlock: { readonly cidr: string; readonly except?: readonly string[] } | null;
    readonly want: boolean;
  }
  const rows = json<Row[]>('suites/kube-network-policies/ipblocks.json');
  t.equal(rows.length, 5, 'rows');
  for (const row of rows) {
    if (row.ipBlock === null) {
      t.comment(`${row.name}: a peer without ipBlock is no ipBlock peer here`);
      continue;
    }
    const block = {
      cidr: parseCidr(row.ipBlock.cidr)!,
      except: (row.ipBlock.except ?? []).map((e) => parseCidr(e)!),
    };
    t.equal(inBlock(block, parseAddress(row.ip)!), row.want, row.name);
  }
});

t.test('a case written as files loads as itself', needs, async (t) => {
  const dir = t.testdir({});
  const c = knpCases()[1]!;
  const { manifest, probes } = writeCase(dir, c);
  const places = (_: string, value: unknown) =>
    typeof value === 'object' && value !== null && 'column' in value ? 0 : value;
  const plain = (value: unknown) => JSON.stringify(value, places);
  const { cluster, policies } = loadInputs([manifest]);
  t.equal(plain(cluster), plain(c.cluster));
  t.equal(plain(policies), plain(c.policies));
  t.same(JSON.parse(readFileSync(probes, 'utf8')), c.probes);
});

t.test('recipes: the documented outcomes', needs, async (t) => {
  const cases = recipeCases();
  t.equal(cases.length, 13, 'recipes');
  t.equal(
    cases.reduce((n, c) => n + c.probes.length, 0),
    27,
    'probes',
  );
  for (const c of cases) t.same(mismatches(c), [], `${c.id} ${c.description}`);
});
