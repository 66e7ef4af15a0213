/**
 * Kernel names: golden vectors of azure-container-networking `npm/util/util_test.go`
 * (`TestHashedNameGoldenVectors`) and of the AKS dump of 2022.
 * @module
 */
import t from 'tap';
import { chainSuffix, fnv1a32, kernelSetName } from '../../../src/dataplane/npm/hash.ts';

t.test('sets have the names of either scheme', async (t) => {
  for (const [prefixed, fnv, wide] of [
    ['ns-test', 3863441321, '343gyx4g1wf87lwlewvk'],
    ['podlabel-x:YMaaIZ', 2900316864, '61b0uqiiz2delucbmvi2'],
    ['ns-msobb-target', 2900316864, '42xi2gy762uhahnxfutd'],
    ['ns-y', 2837910840, '10ab1bcsv6mirf373vdm'],
    ['podlabel-pod:a', 3922407721, '1v9x7852rtqpowgz9i00'],
    ['nslabel-ns:x', 2129276318, '2t9i2tb5qex7749yvgcx'],
    ['nslabel-ns:y', 2146053937, 'buf5ixr9wfyxybtss1bo'],
    ['nslabel-ns:z', 2095721080, '2epkchns6xx0dpisnsc9'],
    ['namedport:serve-80-tcp', 4284971813, '3ecq8u3qw3biuro0e5j4'],
    ['nslabel-all-namespaces', 1639206293, 'gcmk2hdba149zrugxkm4'],
  ] as const) {
    t.equal(kernelSetName(prefixed, 'fnv'), `azure-npm-${fnv}`, prefixed);
    t.equal(kernelSetName(prefixed, 'sha256'), `azure-npm-${wide}`, prefixed);
  }
  t.equal(kernelSetName('nestedlabel-y/base:pod:a:b', 'sha256'), 'azure-npm-1b16bhxu0ggxmh19ipej');
  t.equal(fnv1a32('nestedlabel-pod:a:b'), 2682470511);
});

t.test('chains have the suffixes of either scheme', async (t) => {
  for (const [key, fnv, wide] of [
    ['x/test1', '3486147191', 'jo5gdwc4t2'],
    ['msobb-server/trusted-namespace-only', '3815413381', '7d7a0cfguo'],
    ['y/base', '2697641196', '7oj1cz9mmz'],
    ['kube-system/konnectivity-agent', '3618314628', 'zlssrcj2mo'],
    ['kube-system/default-deny-ingress', '3750705395', '6jlte0ar22'],
  ] as const) {
    t.equal(chainSuffix(key, 'fnv'), fnv, key);
    t.equal(chainSuffix(key, 'sha256'), wide, key);
  }
});

t.test('names fit the kernel’s limits', async (t) => {
  t.ok(kernelSetName('x'.repeat(300), 'sha256').length <= 31);
  t.ok(`AZURE-NPM-INGRESS-${chainSuffix('x'.repeat(300), 'sha256')}`.length <= 28);
});
