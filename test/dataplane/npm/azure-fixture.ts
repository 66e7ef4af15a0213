/**
 * The cluster behind Azure's own NPM fixture (an AKS cluster of April 2022): objects from
 * npmcache.json, and the three policies that were in force.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../../../src/cluster/model.ts';
import type { NetworkPolicy } from '../../../src/policy/model.ts';
import { cluster, node, on, peer, pod, policy, rule, selector, where } from '../objects.ts';

interface NpmCache {
  readonly NsMap: Readonly<Record<string, { readonly LabelsMap?: Record<string, string> }>>;
  readonly PodMap: Readonly<
    Record<
      string,
      {
        readonly PodIP: string;
        readonly Labels: Record<string, string>;
        readonly ContainerPorts: readonly {
          readonly name: string;
          readonly containerPort: number;
          readonly protocol: 'TCP' | 'UDP';
        }[];
        readonly Phase: 'Running';
      }
    >
  >;
  /** Kernel name to prefixed name. */
  readonly SetMap: Readonly<Record<string, string>>;
}

export interface AzureFixture {
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
  readonly setMap: Readonly<Record<string, string>>;
  /** Lines of the filter table. */
  readonly filter: readonly string[];
  /** `create` and `add` lines. */
  readonly ipsets: readonly string[];
}

/** Read the fixture from the folder that holds its dumps. */
export function readAzureFixture(folder: string): AzureFixture {
  const cache: NpmCache = JSON.parse(readFileSync(join(folder, 'npmcache.json'), 'utf8'));
  const save = readFileSync(join(folder, 'iptables-save.txt'), 'utf8');
  const filter = save.slice(save.indexOf('*filter'), save.indexOf('*security')).split('\n');
  const derived = readFileSync(join(folder, 'ipset-restore.derived.txt'), 'utf8').split('\n');
  const pods = Object.entries(cache.PodMap).map(([key, p]) =>
    pod(key, 'aks-nodepool1-74283791-vmss000001', p.PodIP, p.Labels, {
      phase: p.Phase,
      ports: p.ContainerPorts.map((c) => ({ ...c, init: false })),
    }),
  );
  const namespaces = Object.fromEntries(
    Object.entries(cache.NsMap).map(([name, ns]) => [name, ns.LabelsMap ?? {}]),
  );
  return {
    cluster: cluster({
      nodes: [node('aks-nodepool1-74283791-vmss000001', '10.224.0.35')],
      pods,
      namespaces,
      subnets: ['10.224.0.0/16'],
    }),
    policies: [konnectivity, denyIngress, base],
    setMap: cache.SetMap,
    filter,
    ipsets: derived.filter((line) => /^(create|add) /.test(line)),
  };
}

/** netpol.yaml of the fixture. */
const base = policy('y/base', selector({ pod: 'a' }), {
  ingress: [
    rule(
      [
        peer(
          selector({}, [where('pod', 'In', 'b', 'c')]),
          selector({}, [where('ns', 'In', 'x', 'y')]),
        ),
      ],
      [on('TCP', 80)],
    ),
  ],
  egress: [
    rule(
      [
        peer(
          selector({}, [where('pod', 'In', 'a', 'b')]),
          selector({}, [where('ns', 'In', 'y', 'z')]),
        ),
      ],
      [on('TCP', 80)],
    ),
    rule([], [on('UDP', 53), on('TCP', 53)]),
  ],
});

/** AKS's own policies, as the comments of the dump's rules tell them. */
const konnectivity = policy(
  'kube-system/konnectivity-agent',
  selector({ app: 'konnectivity-agent' }),
  { egress: [rule([])] },
);
const denyIngress = policy('kube-system/default-deny-ingress', selector(), { ingress: [] });
