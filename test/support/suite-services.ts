/**
 * cyclonus' pods with a Service each, as upstream's own runs have them.
 * @module
 */
import { type Inputs, parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import type { SuiteCase, SuiteProbe } from './suites.ts';

/** `s-x-a` for pod x/a, with the ports that it declares, and the pod as its only endpoint. */
export function withServices(c: SuiteCase): Inputs {
  const services = c.cluster.pods.flatMap((pod, i) => {
    const { namespace, name: own, addresses } = pod;
    const name = `s-${namespace}-${own}`;
    const [address] = addresses;
    if (address === undefined || pod.hostNetwork) return [];
    const ports = pod.ports.map((p) => ({
      name: p.name ?? `port-${p.containerPort}`,
      protocol: p.protocol,
      port: p.containerPort,
    }));
    const metadata = { namespace, name };
    const slice = { ...metadata, labels: { 'kubernetes.io/service-name': name } };
    const targetRef = { kind: 'Pod', namespace, name: own };
    const endpoint = { addresses: [formatAddress(address)], nodeName: pod.node, targetRef };
    return [
      { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: `10.0.99.${i}`, ports } },
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: slice,
        addressType: 'IPv4',
        endpoints: [endpoint],
        ports,
      },
    ];
  });
  const items = [...c.manifest, ...services];
  return parseInputs(`${c.id}.json`, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
}

/** The Service of the pod that a probe goes to. */
export function serviceOf({ to }: SuiteProbe): string {
  return to.replace(/^pod\/([^/]+)\/(.+)$/, 'svc/$1/s-$1-$2');
}
