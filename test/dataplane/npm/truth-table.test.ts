/**
 * NPM's own truth table, packet by packet through emulated nodes.
 *
 * Azure/azure-container-networking `npm/pkg/dataplane/testdata/netpol.yaml` says for nine pods, four
 * protocols and ports, who reaches whom under policy y/base: 324 cells, 288 without the diagonal
 * (a pod to itself never leaves its namespace). The pods are spread over two nodes here, so that
 * rows cross bridges, veths and the fabric.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Cluster } from '../../../src/cluster/model.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { syntheticPacket } from '../../../src/lab/datagram/synthetic.ts';
import { World } from '../../../src/lab/world.ts';
import { Protocol } from '../../../src/wire/protocol.ts';
import { sharedPath } from '../../support/shared.ts';
import { node } from '../objects.ts';
import { readAzureFixture } from './azure-fixture.ts';

const folder = sharedPath('data/clusters/aks-azure-npm-v2-2022');
const needs = { skip: folder === null && 'needs ../shared' };

/** The lines of a cell, top to bottom. */
const TRAFFIC = [
  [Protocol.tcp, 80],
  [Protocol.tcp, 81],
  [Protocol.udp, 80],
  [Protocol.udp, 81],
] as const;

interface Cell {
  readonly from: string;
  readonly to: string;
  /** `.` or `X` per line of TRAFFIC. */
  readonly marks: readonly string[];
}

function truthTable(text: string): Cell[] {
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('# |'))
    .map((line) =>
      line
        .slice(3, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
  const heads = rows[0]?.slice(1).map((name) => name.toLowerCase()) ?? [];
  return rows
    .filter(([name]) => /^[xyz]\/[abc]$/.test(name ?? ''))
    .flatMap(([from = '', ...cells]) =>
      cells.map((cell, i) => ({ from, to: heads[i] ?? '', marks: cell.split(' ') })),
    );
}

/** The fixture's pods, every second one on a second node. */
function onTwoNodes(cluster: Cluster): Cluster {
  const nodes = [node('n1', '10.224.0.4'), node('n2', '10.224.0.35')];
  const pods = cluster.pods.map((p, i) => ({ ...p, node: i % 2 === 0 ? 'n1' : 'n2' }));
  return { ...cluster, nodes, pods };
}

for (const stack of [
  'azure-bridge+npm',
  'azure-transparent+npm',
  'azure-bridge+npm,version=1.4.23,place-first=true',
  'azure-transparent+npm,version=1.6.45',
]) {
  t.test(`${stack}: every cell of NPM’s truth table`, needs, async (t) => {
    const fixture = readAzureFixture(folder ?? '');
    const text = readFileSync(join(folder ?? '', 'netpol-with-expected-table.yaml'), 'utf8');
    const cells = truthTable(text).filter(({ from, to }) => from !== to);
    t.equal(cells.length, 72);
    const cluster = onTwoNodes(fixture.cluster);
    const world = new World({ cluster, policies: fixture.policies, stack: parseStack(stack) });
    const addressOf = (key: string) => {
      const [address] = world.addresses.podsByName.get(key)?.addresses ?? [];
      if (address === undefined) throw new Error(`no pod ${key}`);
      return address;
    };
    let frame = 0;
    const mismatches: string[] = [];
    for (const { from, to, marks } of cells) {
      for (const [i, [protocol, dport]] of TRAFFIC.entries()) {
        frame++;
        const packet = syntheticPacket({
          src: addressOf(from),
          dst: addressOf(to),
          protocol,
          sport: 20_000 + frame,
          dport,
          step: 'request',
        });
        const journey = world.engine.inject({
          as: 'local',
          host: from,
          packet,
          frame,
          nowNs: frame,
        });
        const got = journey.outcome === 'delivered' ? '.' : 'X';
        const cause = journey.decision?.text ?? journey.reason;
        if (got !== marks[i]) mismatches.push(`${from} ${to} ${dport} ${got} by ${cause}`);
        if (got === 'X' && journey.reason !== 'policyDenied') {
          mismatches.push(`${from} ${to} ${dport} dropped for ${journey.reason}: ${cause}`);
        }
      }
    }
    t.strictSame(mismatches, []);
    t.equal(frame, 288);
  });
}
