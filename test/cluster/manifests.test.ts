/**
 * Real manifests: dumps of live clusters and what projects ship. They load, or are refused by name.
 * @module
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { loadInputs } from '../../src/policy/inputs.ts';
import { sharedPath } from '../support/shared.ts';

const needs = { skip: sharedPath('data') ? false : 'needs ../shared' };
const data = (...paths: readonly string[]) => paths.map((p) => sharedPath(join('data', p)) ?? '');

t.test('dumps of live clusters load', needs, async (t) => {
  const kurl = ['nodes.json', 'namespaces.json', 'pods', 'services', 'deployments'];
  const rows: readonly (readonly [
    string,
    readonly string[],
    readonly [number, number, number, number],
  ])[] = [
    [
      'onlineboutique',
      ['netpols', 'ns', 'pods'].map((f) => `clusters/onlineboutique-live/${f}.yaml`),
      [1, 12, 0, 11],
    ],
    ['minikube', ['clusters/minikube-live'], [1, 12, 0, 0]],
    ['kURL on Weave', kurl.map((f) => `clusters/kurl-weave-3node/${f}`), [3, 58, 12, 0]],
    ['OpenShift on Azure', ['clusters/openshift-4.9-azure-sdn'], [6, 237, 76, 0]],
    ['RKE2', ['clusters/rke2-canal-2024-manifests'], [3, 3, 3, 0]],
  ];
  for (const [name, paths, want] of rows) {
    const { cluster, policies } = loadInputs(data(...paths), { recursive: true });
    const { nodes, pods, services } = cluster;
    t.same([nodes.length, pods.length, services.length, policies.length], want, name);
    const running = pods.filter((p) => p.phase === 'Running');
    t.ok(
      running.every((p) => p.node !== '' && p.addresses.length > 0),
      `${name}: all are placed`,
    );
    t.ok(
      nodes.every((n) => n.addresses.length > 0),
      `${name}: nodes have addresses`,
    );
  }
});

t.test('redacted addresses are filled, and the user is told how many', needs, async (t) => {
  const { ignored } = loadInputs(data('clusters/kurl-weave-3node/nodes.json'));
  t.same([...ignored], [['(redacted address)', 3]]);
});

/** Manifests in a folder, deep. */
function files(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((e) => e.isFile() && /\.(ya?ml|json)$/.test(e.name))
    .map((e) => join(e.parentPath, e.name))
    .sort();
}

/** What is no Kubernetes object, or no valid one, with the codes that say so. */
const REFUSED: ReadonlyMap<string, readonly string[]> = new Map([
  ['netassert/e2e/manifests/test-cases.yaml', ['OBJECT_KIND']],
]);

t.test('every manifest that projects ship loads by itself', needs, async (t) => {
  const folder = data('manifests')[0] ?? '';
  let loaded = 0;
  for (const file of files(folder)) {
    const name = file.slice(folder.length + 1);
    // Expectations of that project's own tests, not manifests.
    if (name.includes('/expected/')) continue;
    let codes: readonly string[] = [];
    try {
      loadInputs([file]);
      loaded++;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      codes = [...new Set(error.diagnostics.map((d) => d.code))];
      if (!REFUSED.has(name)) t.comment(error.message.slice(0, 2000));
    }
    t.same(codes, REFUSED.get(name) ?? [], name);
  }
  t.ok(loaded > 200, `${loaded} files`);
});
