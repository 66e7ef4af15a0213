/**
 * The external reachability suites (beside the checkout, in ../shared/suites) as clusters, policies
 * and probes: cyclonus, kube-network-policies, the NetworkPolicy recipes. A case can be written as
 * the two files that `wiretrial probe` takes.
 * @module
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Cluster, TransportProtocol } from '../../src/cluster/model.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import type { NetworkPolicy } from '../../src/policy/model.ts';
import { sharedPath } from './shared.ts';

/** One row of a probes file: ends are `pod/NAMESPACE/NAME` or an address. */
export interface SuiteProbe {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: TransportProtocol;
  readonly expect: 'allowed' | 'denied';
  /** What each direction alone decides, where the suite says so. */
  readonly ingress?: 'allowed' | 'denied';
  readonly egress?: 'allowed' | 'denied';
}

export interface SuiteCase {
  /** Unique in its suite: `case-017/2`. */
  readonly id: string;
  readonly description: string;
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
  readonly probes: readonly SuiteProbe[];
  /** The Kubernetes objects behind cluster and policies. */
  readonly manifest: readonly unknown[];
  /** Why the suite itself says that this expectation is wrong or unreachable. */
  readonly knownIssue?: string;
}

type Json = Readonly<Record<string, unknown>>;

/** Whether the suites are on this machine. */
export function haveSuites(): boolean {
  return sharedPath('suites') !== null;
}

function read<T>(path: string): T {
  const full = sharedPath(join('suites', path));
  if (full === null) throw new Error(`no suite file ${path}`);
  return JSON.parse(readFileSync(full, 'utf8')) as T;
}

/** The two files of a case: objects (`-f`) and probes (`--probes`); their paths are returned. */
export function writeCase(
  folder: string,
  c: SuiteCase,
): { readonly manifest: string; readonly probes: string } {
  const name = c.id.replaceAll('/', '-');
  const manifest = join(folder, `${name}.objects.json`);
  const probes = join(folder, `${name}.probes.json`);
  const list = { apiVersion: 'v1', kind: 'List', items: c.manifest };
  writeFileSync(manifest, `${JSON.stringify(list, null, 1)}\n`);
  const rows = c.probes.map(({ ingress: _i, egress: _e, ...row }) => row);
  writeFileSync(probes, `${JSON.stringify(rows, null, 1)}\n`);
  return { manifest, probes };
}

function makeCase(
  about: { readonly id: string; readonly description: string; readonly knownIssue?: string },
  manifest: readonly unknown[],
  probes: readonly SuiteProbe[],
): SuiteCase {
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifest });
  const { cluster, policies } = parseInputs(`${about.id}.json`, text);
  return { ...about, cluster, policies, probes, manifest };
}

// --- cyclonus -----------------------------------------------------------------------------------

interface CyclonusCluster {
  readonly namespaces: readonly { readonly name: string; readonly labels: Json }[];
  readonly nodes: readonly {
    readonly name: string;
    readonly ip: string;
    readonly podCIDR: string;
  }[];
  readonly pods: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly labels: Json;
    readonly node: string;
    readonly ip: string;
    readonly hostNetwork: boolean;
    readonly ports: readonly Json[];
  }[];
}

interface CyclonusTable {
  readonly port: number;
  readonly protocol: TransportProtocol;
  readonly combined: readonly string[];
  readonly ingress: readonly string[];
  readonly egress: readonly string[];
}

interface CyclonusCase {
  readonly id: string;
  readonly description: string;
  readonly steps: readonly {
    readonly cluster?: CyclonusCluster;
    readonly policies: readonly unknown[];
    readonly podOrder: readonly string[];
    readonly tables: readonly CyclonusTable[];
  }[];
}

/**
 * cyclonus' own cluster format as Kubernetes objects. Pods that a step creates were recorded with
 * the address of another pod; those are left without one, and get a free one on loading.
 */
export function cyclonusObjects(cluster: CyclonusCluster): readonly unknown[] {
  const taken = new Set<string>();
  const statusOf = (ip: string) => {
    if (taken.has(ip)) return { phase: 'Running' };
    taken.add(ip);
    return { phase: 'Running', podIP: ip, podIPs: [{ ip }] };
  };
  return [
    ...cluster.nodes.map((n) => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: n.name },
      spec: { podCIDR: n.podCIDR, podCIDRs: [n.podCIDR] },
      status: { addresses: [{ type: 'InternalIP', address: n.ip }] },
    })),
    ...cluster.namespaces.map((n) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: n.name, labels: n.labels },
    })),
    ...cluster.pods.map((p) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace: p.namespace, name: p.name, labels: p.labels },
      spec: {
        nodeName: p.node,
        hostNetwork: p.hostNetwork,
        containers: [{ name: 'serve', ports: p.ports }],
      },
      status: statusOf(p.ip),
    })),
  ];
}

/** The cluster that every cyclonus case starts from, as objects and loaded. */
export function loadCyclonusCluster(): {
  readonly cluster: Cluster;
  readonly objects: readonly unknown[];
} {
  const objects = cyclonusObjects(read<CyclonusCluster>('cyclonus/cluster.json'));
  return { cluster: makeCase({ id: 'cyclonus', description: '' }, objects, []).cluster, objects };
}

/** Every step of every case, one at a time (there are 256 steps and 123,669 probes). */
export function* cyclonusCases(): Generator<SuiteCase> {
  const start = read<CyclonusCluster>('cyclonus/cluster.json');
  const folder = sharedPath('suites/cyclonus/cases') ?? '';
  for (const file of readdirSync(folder).sort()) {
    const c = read<CyclonusCase>(join('cyclonus/cases', file));
    for (const [i, step] of c.steps.entries()) {
      const manifest = [...cyclonusObjects(step.cluster ?? start), ...step.policies];
      const probes = step.tables.flatMap((table) => tableProbes(table, step.podOrder));
      const about = { id: `${c.id}/${i + 1}`, description: c.description };
      yield makeCase(about, manifest, probes);
    }
  }
}

function tableProbes(table: CyclonusTable, order: readonly string[]): readonly SuiteProbe[] {
  const said = (rows: readonly string[], row: number, column: number) =>
    rows[row]?.[column] === '.' ? 'allowed' : 'denied';
  return order.flatMap((from, row) =>
    order.flatMap((to, column) => {
      if (table.combined[row]?.[column] === '?') return [];
      return [
        {
          from: `pod/${from}`,
          to: `pod/${to}`,
          port: table.port,
          protocol: table.protocol,
          expect: said(table.combined, row, column),
          ingress: said(table.ingress, row, column),
          egress: said(table.egress, row, column),
        } as const,
      ];
    }),
  );
}

// --- kube-network-policies ----------------------------------------------------------------------

interface KnpCase {
  readonly name: string;
  readonly expectAllow: boolean;
  readonly knownIssue?: string;
  readonly namespaces: readonly unknown[];
  readonly networkPolicies: readonly unknown[];
  readonly pods: readonly unknown[];
  readonly packet: {
    readonly srcIP: string;
    readonly dstIP: string;
    readonly dstPort: number;
    readonly protocol: TransportProtocol;
  };
}

/**
 * Unit tests upstream have what no API server accepts: upper case in a name
 * (`default-allow-ingress-ipBlock`), one name twice, a range that ends at port 65537.
 */
function acceptable(policy: unknown, index: number): unknown {
  const text = JSON.stringify(policy).replaceAll('"endPort":65537', '"endPort":65535');
  const { metadata, ...rest } = JSON.parse(text) as {
    readonly metadata: { readonly name: string };
  };
  return { ...rest, metadata: { ...metadata, name: `${metadata.name.toLowerCase()}-${index}` } };
}

/** The 20 packets of TestSyncPacket. */
export function knpCases(): readonly SuiteCase[] {
  return read<KnpCase[]>('kube-network-policies/sync-packet.json').map((c, i) => {
    const manifest = [...c.namespaces, ...c.pods, ...c.networkPolicies.map(acceptable)];
    const { packet } = c;
    const probe: SuiteProbe = {
      from: packet.srcIP,
      to: packet.dstIP,
      port: packet.dstPort,
      protocol: packet.protocol,
      expect: c.expectAllow ? 'allowed' : 'denied',
    };
    const about = { id: `knp-${String(i + 1).padStart(2, '0')}`, description: c.name };
    return makeCase(c.knownIssue ? { ...about, knownIssue: c.knownIssue } : about, manifest, [
      probe,
    ]);
  });
}

// --- recipes ------------------------------------------------------------------------------------

interface RecipePod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports?: readonly Json[];
}

interface Recipe {
  readonly id: string;
  readonly policyFile: string;
  readonly namespaces: readonly { readonly name: string; readonly labels: Json }[];
  readonly pods: readonly RecipePod[];
  readonly services: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly selector: Readonly<Record<string, string>>;
    readonly ports: readonly {
      readonly port: number;
      readonly targetPort: number;
      readonly protocol: TransportProtocol;
    }[];
  }[];
  readonly probes: readonly {
    readonly client: RecipePod | { readonly external: string };
    readonly service?: string;
    readonly external?: string;
    readonly port: number;
    readonly protocol: TransportProtocol;
    readonly expect: 'allow' | 'deny';
  }[];
  readonly note: string;
}

/**
 * The 13 recipes. A probe of a Service is judged at the pod behind it, on its target port, which
 * is where policy is judged (after translation).
 */
export function recipeCases(): readonly SuiteCase[] {
  return read<Recipe[]>('recipes/cases.json').map((r) => {
    const clients = r.probes.map((p, i) =>
      'external' in p.client ? null : { ...p.client, name: `client-${i + 1}` },
    );
    const pods = [...r.pods, ...clients.flatMap((c) => c ?? [])];
    const files = [r.policyFile];
    // Recipe 02a is applied on top of 01.
    if (r.id === '02a')
      files.push(r.policyFile.replace(/02a-.*$/, '01-deny-all-traffic-to-an-application.yaml'));
    const manifest = [
      ...r.namespaces.map((n) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: n })),
      ...pods.map(recipePod),
      ...files.flatMap(recipePolicies),
    ];
    const probes = r.probes.flatMap((p, i) => {
      const client = clients[i];
      const from = client
        ? `pod/${client.namespace}/${client.name}`
        : (p.client as { readonly external: string }).external;
      const expect = p.expect === 'allow' ? 'allowed' : 'denied';
      return recipeTargets(r, p).map(
        ([to, port]): SuiteProbe => ({ from, to, port, protocol: p.protocol, expect }),
      );
    });
    return makeCase({ id: `recipe-${r.id}`, description: r.note }, manifest, probes);
  });
}

function recipePod(p: RecipePod): unknown {
  const ports = p.ports ?? [];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: p.namespace, name: p.name, labels: p.labels },
    spec: { containers: [{ name: 'main', ports }] },
  };
}

function recipePolicies(file: string): readonly unknown[] {
  const path = sharedPath(join('data/manifests/recipes/yaml', basename(file))) ?? '';
  return parseAllDocuments(readFileSync(path, 'utf8')).map((d) => d.toJSON() as unknown);
}

function recipeTargets(
  r: Recipe,
  p: Recipe['probes'][number],
): readonly (readonly [string, number])[] {
  if (p.external !== undefined) return [[p.external, p.port]];
  const service = r.services.find((s) => `${s.namespace}/${s.name}` === p.service);
  const port = service?.ports.find((x) => x.port === p.port && x.protocol === p.protocol);
  if (!service || !port) throw new Error(`recipe ${r.id}: no service ${p.service}:${p.port}`);
  const wanted = Object.entries(service.selector);
  return r.pods
    .filter((pod) => pod.namespace === service.namespace)
    .filter((pod) => wanted.every(([key, value]) => pod.labels[key] === value))
    .map((pod) => [`pod/${pod.namespace}/${pod.name}`, port.targetPort] as const);
}
