/**
 * What everyday traffic has at its edges (test/support/odd-talks.ts), on both engines, with lanes
 * and without: every row, connection, count and rule counter is the same.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { isSameRun, laneRun } from '../../support/lane-replays.ts';
import { writeOddTalks } from '../../support/odd-talks.ts';
import { SERVICES_SHOP } from '../../support/services-shop.ts';

t.setTimeout(300_000);

const TALKS = Number(process.env['ENGINE_TALKS'] ?? 150);
const { addon } = findNative();
const skip = addon === null ? 'needs the addon' : false;

/** One client after the other is kept at one backend here. */
const AFFINE = `---
apiVersion: v1
kind: Service
metadata: {name: kept, namespace: shop}
spec:
  clusterIP: 10.0.0.30
  selector: {app: shop}
  ports: [{port: 80, targetPort: 8080}]
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}
`;

const inputs = parseInputs('shop.yaml', `${SERVICES_SHOP}${AFFINE}`);
const pods = ['10.240.0.10', '10.240.0.40', '10.240.0.41', '10.240.0.11'];
const services = ['10.0.0.10', '10.0.0.11', '10.0.0.20', '10.0.0.30'];
const self = { pod: '10.240.0.41', port: 8080, service: '10.0.0.11', node: '10.240.0.35' };

for (const [seed, stack] of [
  [11, 'azure-transparent+calico,force=true'],
  [12, 'azure-transparent+calico,force=true,kube-proxy=nftables'],
  [13, 'azure-bridge+none'],
] as const) {
  t.test(`${stack}: odd talks fare alike`, { skip }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'wiretrial-odd-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'odd.pcap');
    await writeOddTalks(path, { seed, talks: TALKS, pods, services, self });
    const c = { ...inputs, stack, paths: [path] };
    const want = await laneRun(c, null);
    const got = await laneRun(c, addon);
    isSameRun(t, 'odd talks', got, want);
    const { outcomes, connections } = want.summary.counts;
    t.ok(outcomes.delivered > TALKS && outcomes.observed > 0, 'most of it arrives');
    t.equal(connections.broken, 0, 'nothing here breaks a connection');
  });
}
