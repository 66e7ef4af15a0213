/**
 * Who serves an Ingress: the Service in front of a controller's pods, found by the class, or an
 * Application Gateway outside the cluster.
 *
 * Truth: the labels of the ingress-nginx chart (`app.kubernetes.io/name`, `component`, `instance`);
 * Azure/aks-app-routing-operator pkg/manifests (Service `nginx` in app-routing-system for the class
 * webapprouting.kubernetes.azure.com); AGIC's class `azure/application-gateway`. What none of them
 * shows, the wiring document names (`ingressControllers`, `applicationGateways`).
 * @module
 */
import type { ApplicationGateway, Ingress, IngressClass } from '../../../cluster/ingress/model.ts';
import type { Cluster, Labels, Service } from '../../../cluster/model.ts';
import { type Address, equalAddress } from '../../../wire/address/address.ts';
import type { Place } from '../../identity.ts';
import { namesHost } from './route.ts';

/** A proxy and the Ingresses it serves. */
export type Front =
  | {
      readonly kind: 'nginx';
      readonly name: string;
      readonly service: Service;
      readonly ingresses: readonly Ingress[];
    }
  | {
      readonly kind: 'gateway';
      readonly name: string;
      readonly gateway: ApplicationGateway;
      readonly ingresses: readonly Ingress[];
    };

const NGINX = /^k8s\.io\/ingress-nginx/;
const APP_ROUTING = 'webapprouting.kubernetes.azure.com/nginx';
const GATEWAY = 'azure/application-gateway';

/** What an Ingress is served by; null when nobody can tell. */
type Served = Pick<Extract<Front, { kind: 'nginx' }>, 'kind' | 'name' | 'service'> | GatewayServed;
type GatewayServed = Pick<Extract<Front, { kind: 'gateway' }>, 'kind' | 'name' | 'gateway'>;

/** The proxies of a cluster. */
export class Fronts {
  readonly all: readonly Front[];
  /** Ingresses whose proxy nobody can tell. */
  readonly orphans: readonly Ingress[];

  constructor(cluster: Cluster) {
    const fronts = new Map<string, { served: Served; ingresses: Ingress[] }>();
    const orphans: Ingress[] = [];
    for (const ingress of cluster.ingresses ?? []) {
      const served = servedBy(cluster, ingress);
      if (served === null) {
        orphans.push(ingress);
        continue;
      }
      const known = fronts.get(served.name) ?? { served, ingresses: [] };
      fronts.set(served.name, known);
      known.ingresses.push(ingress);
    }
    this.all = [...fronts.values()].map(({ served, ingresses }) => ({ ...served, ingresses }));
    this.orphans = orphans;
  }

  /** The proxies that an Ingress names a host to; `orphan` when one nobody knows does. */
  of(host: string): readonly Front[] | 'orphan' {
    const found = this.all.filter((f) => f.ingresses.some((i) => namesHost(i, host)));
    if (found.length > 0) return found;
    return this.orphans.some((i) => namesHost(i, host)) ? 'orphan' : [];
  }

  /** Whether an address is a gateway's. */
  isGateway(address: Address): boolean {
    return this.all.some(
      (f) => f.kind === 'gateway' && f.gateway.frontends.some((a) => equalAddress(a, address)),
    );
  }

  /** The proxy that a request is addressed to; undefined for any other end. */
  at(place: Place, dst: Address, dport: number): Front | undefined {
    return this.all.find((front) => {
      if (front.kind === 'gateway') {
        return front.gateway.frontends.some((a) => equalAddress(a, dst));
      }
      const { service } = front;
      switch (place.kind) {
        case 'service':
          return place.service === service;
        case 'node':
          return service.ports.some((p) => p.nodePort === dport);
        case 'pod':
          return place.pod.namespace === service.namespace && picks(service, place.pod.labels);
        default:
          return false;
      }
    });
  }
}

/** The class of an Ingress: its own, else the one default class. */
function classOf(cluster: Cluster, { className }: Ingress): IngressClass | string | null {
  const classes = cluster.ingressClasses ?? [];
  if (className !== null) return classes.find((c) => c.name === className) ?? className;
  const [first, ...others] = classes.filter((c) => c.isDefault);
  return first !== undefined && others.length === 0 ? first : null;
}

function servedBy(cluster: Cluster, ingress: Ingress): Served | null {
  const found = classOf(cluster, ingress);
  if (found === null) return null;
  const className = typeof found === 'string' ? found : found.name;
  const controller = typeof found === 'string' ? found : found.controller;
  const named = cluster.ingressControllers?.find((c) => c.ingressClass === className);
  if (named !== undefined) {
    const { namespace, service: name } = named;
    return inCluster(cluster.services.filter((s) => s.namespace === namespace && s.name === name));
  }
  const gateway = gatewayOf(cluster, className, controller);
  if (gateway !== null) {
    return { kind: 'gateway', name: `application gateway ${gateway.name}`, gateway };
  }
  if (controller === APP_ROUTING) {
    const own = (s: Service) => s.namespace === 'app-routing-system' && s.name === 'nginx';
    return inCluster(cluster.services.filter(own));
  }
  if (!NGINX.test(controller) && controller !== 'nginx') return null;
  const instance = typeof found === 'string' ? undefined : labelOf(found.labels, 'instance');
  const services = cluster.services.filter((s) => isController(s));
  const own = services.filter((s) => labelOf(s.selector ?? {}, 'instance') === instance);
  return inCluster(instance !== undefined && own.length > 0 ? own : services);
}

/** Of a controller's Services the one that is published; null when it is not one. */
function inCluster(services: readonly Service[]): Served | null {
  const published = services.filter((s) => s.type !== 'ClusterIP');
  const [service, ...others] = published.length > 0 ? published : services;
  if (service === undefined || others.length > 0) return null;
  return { kind: 'nginx', name: `svc/${service.namespace}/${service.name}`, service };
}

function gatewayOf(
  { applicationGateways = [] }: Cluster,
  className: string,
  controller: string,
): ApplicationGateway | null {
  const named = applicationGateways.find((g) => g.ingressClass === className);
  if (named !== undefined) return named;
  if (controller !== GATEWAY && className !== GATEWAY) return null;
  const [only, ...others] = applicationGateways.filter((g) => g.ingressClass === null);
  return only !== undefined && others.length === 0 ? only : null;
}

/** A Service that chooses pods of the ingress-nginx chart; its admission webhook is another. */
function isController({ selector, ports }: Service): boolean {
  if (selector === null || !ports.some((p) => p.protocol === 'TCP' && p.name !== 'https-webhook')) {
    return false;
  }
  return (
    labelOf(selector, 'name') === 'ingress-nginx' && labelOf(selector, 'component') === 'controller'
  );
}

function labelOf(labels: Labels, name: string): string | undefined {
  return labels[`app.kubernetes.io/${name}`];
}

function picks({ selector }: Service, labels: Labels): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}
