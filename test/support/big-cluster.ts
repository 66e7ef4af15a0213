/**
 * A generated cluster with any number of nodes and pods of both families, made the way a user would
 * write it: bare objects with addresses.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Inputs, loadInputs } from '../../src/policy/inputs.ts';

export interface ClusterSize {
  readonly nodes: number;
  readonly podsPerNode: number;
}

/** Pods 10.240.N.P and fd00:240::N:P, labelled app=web|api|db in turn, no policies. */
export function bigCluster({ nodes, podsPerNode }: ClusterSize): Inputs {
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-cluster-'));
  const items: unknown[] = [];
  for (let n = 0; n < nodes; n++) {
    const base = n * 4;
    items.push({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: `node-${n}` },
      status: {
        addresses: [
          { type: 'InternalIP', address: `10.240.${base}.4` },
          { type: 'InternalIP', address: `fd00:240::${n}:4` },
        ],
      },
    });
    for (let p = 0; p < podsPerNode; p++) {
      const host = p + 10;
      const ip = `10.240.${base + Math.floor(host / 250)}.${(host % 250) + 1}`;
      const ip6 = `fd00:240::${n}:${(host + 256).toString(16)}`;
      items.push({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: `pod-${n}-${p}`,
          namespace: 'load',
          labels: { app: ['web', 'api', 'db'][p % 3] },
        },
        spec: { nodeName: `node-${n}`, containers: [{ name: 'c', image: 'x' }] },
        status: { phase: 'Running', podIP: ip, podIPs: [{ ip }, { ip: ip6 }] },
      });
    }
  }
  const path = join(folder, 'cluster.json');
  writeFileSync(path, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  try {
    return loadInputs([path]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
