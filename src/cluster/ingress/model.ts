/**
 * Ingresses and what serves them: rules of hosts and paths, classes, and the proxies that the
 * wiring document names. All checked.
 * @module
 */
import type { Address, Prefix } from '../../wire/address/address.ts';
import type { ObjectMeta, SourceRef } from '../model.ts';

/** A Service's port, by number or by name; null for a backend that is no Service. */
export type IngressBackend = {
  readonly service: string;
  readonly port: number | string;
} | null;

export interface IngressPath {
  /** Empty when none is given (ImplementationSpecific): everything. */
  readonly path: string;
  readonly pathType: 'Exact' | 'Prefix' | 'ImplementationSpecific';
  readonly backend: IngressBackend;
  readonly source: SourceRef;
}

export interface IngressRule {
  /** In lower case; `*.` in front stands for one label; empty for every host. */
  readonly host: string;
  readonly paths: readonly IngressPath[];
}

export interface Ingress extends ObjectMeta {
  readonly namespace: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** `spec.ingressClassName`, else the old annotation; null when neither says it. */
  readonly className: string | null;
  /** Undefined when there is none. */
  readonly defaultBackend?: IngressBackend;
  readonly rules: readonly IngressRule[];
  readonly tlsHosts: readonly string[];
  /** `status.loadBalancer.ingress`. */
  readonly addresses: readonly Address[];
}

export interface IngressClass extends ObjectMeta {
  /** `k8s.io/ingress-nginx`: who serves the class. */
  readonly controller: string;
  readonly isDefault: boolean;
}

/** A controller in the cluster, as the wiring document names it. */
export interface NamedController {
  readonly ingressClass: string;
  readonly namespace: string;
  readonly service: string;
}

/** An Application Gateway that serves Ingresses from outside of the cluster. */
export interface ApplicationGateway {
  readonly name: string;
  /** Its class; every class of the gateway's controller when null. */
  readonly ingressClass: string | null;
  /** Where its instances are. */
  readonly subnet: Prefix;
  readonly frontends: readonly Address[];
}
