/**
 * Ingresses and their classes, decoded after the API server's checks.
 * @module
 */
import { addressAt, metaOf } from '../decode/decode.ts';
import type { FieldErrors } from '../manifest/field-error.ts';
import type { LoadedObject } from '../manifest/load.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, items, number, placeOf, text, textMap, texts } from '../manifest/tree.ts';
import type { Ingress, IngressBackend, IngressClass, IngressPath } from './model.ts';
import { CLASS_ANNOTATION, validateIngress, validateIngressClass } from './validate-ingress.ts';

const DEFAULT_CLASS = 'ingressclass.kubernetes.io/is-default-class';

export function decodeIngress(errors: FieldErrors, object: LoadedObject): Ingress {
  const { tree } = object;
  validateIngress(errors, tree);
  const spec = get(tree, 'spec');
  const annotations = textMap(get(tree, 'metadata', 'annotations'));
  const fallback = get(spec, 'defaultBackend');
  return {
    ...metaOf(object),
    namespace: object.namespace,
    annotations,
    className: text(get(spec, 'ingressClassName')) ?? annotations[CLASS_ANNOTATION] ?? null,
    ...(fallback ? { defaultBackend: backendOf(fallback) } : {}),
    rules: items(get(spec, 'rules')).map((rule) => ({
      host: text(get(rule, 'host')) ?? '',
      paths: items(get(rule, 'http', 'paths')).map(pathOf),
    })),
    tlsHosts: items(get(spec, 'tls')).flatMap((tls) => texts(get(tls, 'hosts'))),
    addresses: items(get(tree, 'status', 'loadBalancer', 'ingress')).flatMap((item, i) =>
      addressAt(errors, get(item, 'ip'), `status.loadBalancer.ingress[${i}].ip`),
    ),
  };
}

function pathOf(at: Tree): IngressPath {
  const type = text(get(at, 'pathType'));
  return {
    path: text(get(at, 'path')) ?? '',
    pathType: type === 'Exact' || type === 'Prefix' ? type : 'ImplementationSpecific',
    backend: backendOf(get(at, 'backend')),
    source: placeOf(at),
  };
}

function backendOf(at: Tree | undefined): IngressBackend {
  const service = get(at, 'service');
  if (!service) return null;
  const port = get(service, 'port');
  return {
    service: text(get(service, 'name')) ?? '',
    port: text(get(port, 'name')) || (number(get(port, 'number')) ?? 0),
  };
}

export function decodeIngressClass(errors: FieldErrors, object: LoadedObject): IngressClass {
  const { tree } = object;
  validateIngressClass(errors, tree);
  const isDefault = text(get(tree, 'metadata', 'annotations', DEFAULT_CLASS)) === 'true';
  return { ...metaOf(object), controller: text(get(tree, 'spec', 'controller')) ?? '', isDefault };
}
