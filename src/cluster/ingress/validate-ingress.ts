/**
 * Ingress and IngressClass as the API server checks them
 * (kubernetes pkg/apis/networking/validation/validation.go `ValidateIngressCreate`,
 * `ValidateIngressClass`).
 * @module
 */
import { parseIp } from '../manifest/cidr.ts';
import type { FieldErrors } from '../manifest/field-error.ts';
import {
  dnsLabel1035Errors,
  dnsSubdomainErrors,
  portNameErrors,
  portNumberErrors,
  wildcardSubdomainErrors,
} from '../manifest/names.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, items, number, text } from '../manifest/tree.ts';
import { validateMeta } from '../validate/meta.ts';

export const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix'];
const BAD_SEQUENCES = ['//', '/./', '/../', '%2f', '%2F'];
const BAD_SUFFIXES = ['/..', '/.'];

/** Check an Ingress that decodes. */
export function validateIngress(errors: FieldErrors, ingress: Tree): void {
  validateMeta(errors, ingress, { namespaced: true, nameErrors: dnsSubdomainErrors });
  const spec = get(ingress, 'spec') ?? ingress;
  const rules = items(get(spec, 'rules'));
  const fallback = get(spec, 'defaultBackend');
  if (rules.length === 0 && !fallback) {
    const detail = 'either `defaultBackend` or `rules` must be specified';
    errors.invalid('INGRESS_SPEC', spec, 'spec', detail);
  }
  if (fallback) validateBackend(errors, fallback, 'spec.defaultBackend');
  rules.forEach((rule, i) => {
    validateRule(errors, rule, `spec.rules[${i}]`);
  });
  items(get(spec, 'tls')).forEach((tls, i) => {
    items(get(tls, 'hosts')).forEach((host, j) => {
      validateHost(errors, host, `spec.tls[${i}].hosts[${j}]`);
    });
    const secret = get(tls, 'secretName');
    const name = text(secret) ?? '';
    for (const e of name === '' ? [] : dnsSubdomainErrors(name)) {
      errors.invalid('INGRESS_TLS', secret ?? tls, `spec.tls[${i}].secretName`, e);
    }
  });
  validateClassName(errors, ingress, spec);
}

function validateClassName(errors: FieldErrors, ingress: Tree, spec: Tree): void {
  const named = get(spec, 'ingressClassName');
  if (!named) return;
  for (const e of dnsSubdomainErrors(text(named) ?? '')) {
    errors.invalid('INGRESS_CLASS', named, 'spec.ingressClassName', e);
  }
  const annotation = get(ingress, 'metadata', 'annotations', CLASS_ANNOTATION);
  if (!annotation || text(annotation) === text(named)) return;
  const detail = 'must match `ingressClassName` when both are specified';
  errors.invalid('INGRESS_CLASS', annotation, `annotations.${CLASS_ANNOTATION}`, detail);
}

function validateRule(errors: FieldErrors, rule: Tree, path: string): void {
  const host = get(rule, 'host');
  const name = text(host) ?? '';
  if (host && name !== '') {
    if (parseIp(name)) {
      const detail = 'must be a DNS name, not an IP address';
      errors.invalid('INGRESS_HOST', host, `${path}.host`, detail);
    }
    validateHost(errors, host, `${path}.host`);
  }
  const http = get(rule, 'http');
  if (!http) return;
  const paths = items(get(http, 'paths'));
  if (paths.length === 0) errors.required('INGRESS_PATHS', http, `${path}.http.paths`);
  paths.forEach((one, i) => {
    validatePath(errors, one, `${path}.http.paths[${i}]`);
  });
}

function validateHost(errors: FieldErrors, at: Tree, field: string): void {
  const host = text(at) ?? '';
  const found = host.includes('*') ? wildcardSubdomainErrors(host) : dnsSubdomainErrors(host);
  for (const e of found) errors.invalid('INGRESS_HOST', at, field, e);
}

function validatePath(errors: FieldErrors, at: Tree, field: string): void {
  const type = get(at, 'pathType');
  if (!type) {
    const detail = 'pathType must be specified';
    errors.required('INGRESS_PATH_TYPE', at, `${field}.pathType`, detail);
    return;
  }
  const kind = text(type) ?? '';
  const path = text(get(at, 'path')) ?? '';
  const refuse = (detail: string) =>
    errors.invalid('INGRESS_PATH', get(at, 'path') ?? at, `${field}.path`, detail);
  if (!PATH_TYPES.includes(kind)) {
    errors.notSupported('INGRESS_PATH_TYPE', type, `${field}.pathType`, PATH_TYPES);
  } else if (kind === 'ImplementationSpecific') {
    if (path !== '' && !path.startsWith('/')) refuse('must be an absolute path');
  } else {
    if (!path.startsWith('/')) refuse('must be an absolute path');
    for (const bad of BAD_SEQUENCES) if (path.includes(bad)) refuse(`must not contain '${bad}'`);
    for (const bad of BAD_SUFFIXES) if (path.endsWith(bad)) refuse(`cannot end with '${bad}'`);
  }
  validateBackend(errors, get(at, 'backend') ?? at, `${field}.backend`);
}

function validateBackend(errors: FieldErrors, at: Tree, field: string): void {
  const code = 'INGRESS_BACKEND';
  const resource = get(at, 'resource');
  const service = get(at, 'service');
  if (resource && service) {
    errors.invalid(code, at, field, 'cannot set both resource and service backends');
  } else if (resource) {
    for (const key of ['kind', 'name']) {
      const part = text(get(resource, key)) ?? '';
      if (part === '') errors.required(code, resource, `${field}.resource.${key}`);
    }
  } else if (service) validateServiceBackend(errors, service, field);
  else errors.invalid(code, at, field, 'resource or service backend is required');
}

function validateServiceBackend(errors: FieldErrors, service: Tree, field: string): void {
  const code = 'INGRESS_BACKEND';
  const name = get(service, 'name');
  const written = text(name) ?? '';
  if (written === '') errors.required(code, service, `${field}.service.name`);
  else {
    for (const e of dnsLabel1035Errors(written)) {
      errors.invalid(code, name ?? service, `${field}.service.name`, e);
    }
  }
  const portName = get(service, 'port', 'name');
  const portNumber = get(service, 'port', 'number');
  const named = text(portName) ?? '';
  const size = number(portNumber) ?? 0;
  if (named !== '' && size !== 0) {
    errors.invalid(code, service, field, 'cannot set both port name & port number');
  } else if (named !== '' && portName) {
    for (const e of portNameErrors(named)) {
      errors.invalid(code, portName, `${field}.service.port.name`, e);
    }
  } else if (size !== 0 && portNumber) {
    for (const e of portNumberErrors(size)) {
      errors.invalid(code, portNumber, `${field}.service.port.number`, e, '1..65535');
    }
  } else errors.required(code, service, field, 'port name or number is required');
}

const CONTROLLER_LENGTH = 250;
const CONTROLLER_PATH = /^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/;

/** Check an IngressClass that decodes. */
export function validateIngressClass(errors: FieldErrors, ingressClass: Tree): void {
  validateMeta(errors, ingressClass, { namespaced: false, nameErrors: dnsSubdomainErrors });
  const spec = get(ingressClass, 'spec');
  const at = get(spec, 'controller');
  const controller = text(at) ?? '';
  const field = 'spec.controller';
  if (!at || controller === '') {
    errors.required('INGRESS_CONTROLLER', spec ?? ingressClass, field);
    return;
  }
  if (controller.length > CONTROLLER_LENGTH) {
    const detail = `may not be more than ${CONTROLLER_LENGTH} bytes`;
    errors.invalid('INGRESS_CONTROLLER', at, field, detail);
  }
  const slash = controller.indexOf('/');
  const host = controller.slice(0, Math.max(slash, 0));
  const path = controller.slice(slash + 1);
  if (host === '' || path === '') {
    const detail = 'must be a domain-prefixed path (such as "acme.io/foo")';
    errors.invalid('INGRESS_CONTROLLER', at, field, detail);
    return;
  }
  for (const e of dnsSubdomainErrors(host)) errors.invalid('INGRESS_CONTROLLER', at, field, e);
  if (!CONTROLLER_PATH.test(path)) {
    errors.invalid('INGRESS_CONTROLLER', at, field, 'Invalid path');
  }
}
