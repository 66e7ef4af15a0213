/**
 * Service as the API server checks it after defaulting
 * (kubernetes pkg/apis/core/validation/validation.go `ValidateService`).
 * @module
 */
import { formatAddress, parsePrefix } from '../../wire/address/address.ts';
import { parseIp } from '../manifest/cidr.ts';
import type { FieldErrors } from '../manifest/field-error.ts';
import {
  dnsLabel1035Errors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  portNumberErrors,
  qualifiedNameErrors,
} from '../manifest/names.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, items, number, text, texts } from '../manifest/tree.ts';
import { validateLabels, validateMeta, validatePortOrName } from './meta.ts';
import { IP_DETAIL, validateServiceAddresses } from './service-ips.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const AFFINITIES = ['ClientIP', 'None'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const KUBELET_PORT = 10250;
const SOURCE_RANGES = 'service.beta.kubernetes.io/load-balancer-source-ranges';

/** Check a Service that decodes, defaults filled. */
export function validateService(errors: FieldErrors, service: Tree): void {
  validateMeta(errors, service, { namespaced: true, nameErrors: dnsLabel1035Errors });
  const spec = get(service, 'spec') ?? service;
  const type = text(get(spec, 'type')) ?? '';
  const headless = texts(get(spec, 'clusterIPs'))[0] === 'None';
  const ports = items(get(spec, 'ports'));
  if (ports.length === 0 && !headless && type !== 'ExternalName') {
    errors.required('SERVICE_PORTS', spec, 'spec.ports');
  }
  validateByType(errors, spec, type, headless);
  validatePorts(errors, ports, type);
  validateLabels(errors, get(spec, 'selector'), 'spec.selector');
  validateAffinity(errors, spec);
  if (type !== 'ExternalName') validateServiceAddresses(errors, spec);
  validateExternalIps(errors, spec);
  if (type === '') errors.required('SERVICE_TYPE', spec, 'spec.type');
  else if (!TYPES.includes(type)) {
    errors.notSupported('SERVICE_TYPE', get(spec, 'type') ?? spec, 'spec.type', TYPES);
  }
  validateSourceRanges(errors, service, spec, type);
  validateTrafficPolicies(errors, spec, type);
}

function validateByType(errors: FieldErrors, spec: Tree, type: string, headless: boolean): void {
  const clusterIps = get(spec, 'clusterIPs');
  if (type === 'LoadBalancer') {
    items(get(spec, 'ports')).forEach((item, i) => {
      const port = get(item, 'port');
      if (port && number(port) === KUBELET_PORT) {
        const detail = `may not expose port ${KUBELET_PORT} externally since it is used by kubelet`;
        errors.invalid('SERVICE_PORT', port, `spec.ports[${i}]`, detail);
      }
    });
  }
  if (headless && (type === 'LoadBalancer' || type === 'NodePort')) {
    const detail = `may not be set to 'None' for ${type} services`;
    const first = items(clusterIps)[0] ?? spec;
    errors.invalid('SERVICE_CLUSTER_IP', first, 'spec.clusterIPs[0]', detail);
  }
  if (type === 'ExternalName') validateExternalName(errors, spec);
}

function validateExternalName(errors: FieldErrors, spec: Tree): void {
  for (const field of ['clusterIPs', 'ipFamilies', 'ipFamilyPolicy']) {
    const value = get(spec, field);
    if (value && (value.kind !== 'list' || value.items.length > 0)) {
      const detail = 'may not be set for ExternalName services';
      errors.forbidden('SERVICE_CLUSTER_IP', value, `spec.${field}`, detail);
    }
  }
  const at = get(spec, 'externalName');
  const name = (text(at) ?? '').replace(/\.$/, '');
  if (name === '') errors.required('SERVICE_EXTERNAL_NAME', at ?? spec, 'spec.externalName');
  else {
    for (const e of dnsSubdomainErrors(name)) {
      errors.invalid('SERVICE_EXTERNAL_NAME', at ?? spec, 'spec.externalName', e);
    }
  }
}

function validatePorts(errors: FieldErrors, ports: readonly Tree[], type: string): void {
  const names = new Set<string>();
  const nodePorts = new Set<string>();
  const numbers = new Set<string>();
  ports.forEach((port, i) => {
    const path = `spec.ports[${i}]`;
    validatePort(errors, port, path, ports.length > 1, names);
    const nodePort = get(port, 'nodePort');
    const protocol = text(get(port, 'protocol'));
    if (nodePort && number(nodePort) !== 0) {
      if (type === 'ClusterIP') {
        const detail = "may not be used when `type` is 'ClusterIP'";
        errors.forbidden('SERVICE_NODE_PORT', nodePort, `${path}.nodePort`, detail);
      }
      const key = `${protocol} ${number(nodePort)}`;
      if (nodePorts.has(key)) errors.duplicate('SERVICE_NODE_PORT', nodePort, `${path}.nodePort`);
      nodePorts.add(key);
    }
    const key = `${protocol} ${number(get(port, 'port'))}`;
    if (numbers.has(key)) errors.duplicate('SERVICE_PORT', port, path);
    numbers.add(key);
  });
}

function validatePort(
  errors: FieldErrors,
  item: Tree,
  path: string,
  requireName: boolean,
  names: Set<string>,
): void {
  const name = get(item, 'name');
  const written = text(name) ?? '';
  if (written !== '' && name) {
    for (const e of dnsLabelErrors(written)) {
      errors.invalid('SERVICE_PORT_NAME', name, `${path}.name`, e);
    }
    if (names.has(written)) errors.duplicate('SERVICE_PORT_NAME', name, `${path}.name`);
    names.add(written);
  } else if (requireName) {
    errors.required('SERVICE_PORT_NAME', item, `${path}.name`);
  }
  const port = get(item, 'port');
  for (const e of portNumberErrors(number(port) ?? 0)) {
    errors.invalid('SERVICE_PORT', port ?? item, `${path}.port`, e, '1..65535');
  }
  const protocol = get(item, 'protocol');
  if (!protocol || text(protocol) === '') {
    errors.required('SERVICE_PROTOCOL', item, `${path}.protocol`);
  } else if (!PROTOCOLS.includes(text(protocol) ?? '')) {
    errors.notSupported('SERVICE_PROTOCOL', protocol, `${path}.protocol`, PROTOCOLS);
  }
  const target = get(item, 'targetPort');
  if (target) validatePortOrName(errors, 'SERVICE_TARGET_PORT', target, `${path}.targetPort`);
  const appProtocol = get(item, 'appProtocol');
  if (appProtocol) {
    for (const e of qualifiedNameErrors(text(appProtocol) ?? '')) {
      errors.invalid('SERVICE_APP_PROTOCOL', appProtocol, `${path}.appProtocol`, e);
    }
  }
}

function validateAffinity(errors: FieldErrors, spec: Tree): void {
  const code = 'SERVICE_AFFINITY';
  const affinity = get(spec, 'sessionAffinity');
  const config = get(spec, 'sessionAffinityConfig');
  if (!affinity || text(affinity) === '') errors.required(code, spec, 'spec.sessionAffinity');
  else if (!AFFINITIES.includes(text(affinity) ?? '')) {
    errors.notSupported(code, affinity, 'spec.sessionAffinity', AFFINITIES);
  }
  if (text(affinity) === 'None' && config) {
    const detail = 'must not be set when session affinity is None';
    errors.forbidden(code, config, 'spec.sessionAffinityConfig', detail);
  }
  if (text(affinity) !== 'ClientIP') return;
  const path = 'spec.sessionAffinityConfig';
  const timeout = get(config, 'clientIP', 'timeoutSeconds');
  if (!timeout) {
    const detail = 'when session affinity type is ClientIP';
    errors.required(code, config ?? spec, `${path}.clientIP.timeoutSeconds`, detail);
    return;
  }
  const seconds = number(timeout) ?? 0;
  if (seconds <= 0 || seconds > 86400) {
    const detail = 'must be greater than 0 and less than 86400';
    errors.invalid(code, timeout, `${path}.clientIP.timeoutSeconds`, detail, '1..86400');
  }
}

function validateExternalIps(errors: FieldErrors, spec: Tree): void {
  items(get(spec, 'externalIPs')).forEach((item, i) => {
    const field = `spec.externalIPs[${i}]`;
    const address = parseIp(text(item) ?? '');
    const detail = address ? specialAddress(formatAddress(address)) : IP_DETAIL;
    if (detail !== null) errors.invalid('SERVICE_EXTERNAL_IP', item, field, detail);
  });
}

/** Why an address may not be an external IP (ValidateNonSpecialIP); `null` when it may. */
function specialAddress(address: string): string | null {
  if (address === '0.0.0.0') return 'may not be unspecified (0.0.0.0)';
  if (address === '::') return 'may not be unspecified (::)';
  if (address.startsWith('127.')) return 'may not be in the loopback range (127.0.0.0/8)';
  if (address === '::1') return 'may not be in the loopback range (::1/128)';
  if (address.startsWith('169.254.') || /^fe[89ab]/.test(address)) {
    return 'may not be in the link-local range (169.254.0.0/16, fe80::/10)';
  }
  if (/^224\.0\.0\./.test(address) || /^ff.2:/.test(address)) {
    return 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)';
  }
  return null;
}

function validateSourceRanges(errors: FieldErrors, service: Tree, spec: Tree, type: string): void {
  const ranges = get(spec, 'loadBalancerSourceRanges');
  const annotation = get(service, 'metadata', 'annotations', SOURCE_RANGES);
  const inSpec = ranges !== undefined && items(ranges).length > 0;
  const at = inSpec ? ranges : annotation;
  if (!at) return;
  const code = 'SERVICE_SOURCE_RANGES';
  // The API server writes this field with a capital letter; so do we, to match its message.
  const field = inSpec ? 'spec.LoadBalancerSourceRanges' : `metadata.annotations[${SOURCE_RANGES}]`;
  if (type !== 'LoadBalancer') {
    errors.forbidden(code, at, field, "may only be used when `type` is 'LoadBalancer'");
  }
  const written = inSpec ? texts(ranges) : (text(annotation) ?? '').trim().split(',');
  const nothing = !inSpec && (text(annotation) ?? '').trim() === '';
  if (!nothing && written.some((r) => !r.includes('/') || !parsePrefix(r.trim()))) {
    const detail = 'must be a list of IP ranges. For example, 10.240.0.0/24,10.250.0.0/24 ';
    errors.invalidText(code, at, field, JSON.stringify(written.join(' ')), detail);
  }
}

function validateTrafficPolicies(errors: FieldErrors, spec: Tree, type: string): void {
  const policy = get(spec, 'externalTrafficPolicy');
  const code = 'SERVICE_TRAFFIC_POLICY';
  const said = text(policy) ?? '';
  const isExternal = type === 'LoadBalancer' || type === 'NodePort' || hasExternalIps(spec, type);
  if (policy && !['', 'Cluster', 'Local'].includes(said)) {
    const detail = 'ExternalTrafficPolicy must be empty, Cluster or Local';
    errors.invalid(code, policy, 'spec.externalTrafficPolicy', detail, 'Cluster, Local');
  } else if (policy && said !== '' && !isExternal) {
    const detail = 'may only be set for externally-accessible services';
    errors.invalid(code, policy, 'spec.externalTrafficPolicy', detail);
  }
  const internal = get(spec, 'internalTrafficPolicy');
  if (internal && !POLICIES.includes(text(internal) ?? '')) {
    errors.notSupported(code, internal, 'spec.internalTrafficPolicy', POLICIES);
  }
  const spread = get(spec, 'trafficDistribution');
  if (spread && !DISTRIBUTIONS.includes(text(spread) ?? '')) {
    errors.notSupported(code, spread, 'spec.trafficDistribution', DISTRIBUTIONS);
  }
  validateHealthCheckPort(errors, spec, type === 'LoadBalancer' && said === 'Local');
  for (const field of ['allocateLoadBalancerNodePorts', 'loadBalancerClass'] as const) {
    const at = get(spec, field);
    if (!at || type === 'LoadBalancer') continue;
    const detail = "may only be used when `type` is 'LoadBalancer'";
    errors.forbidden(code, at, `spec.${field}`, detail);
  }
}

const POLICIES = ['Cluster', 'Local'];
const DISTRIBUTIONS = ['PreferClose', 'PreferSameNode', 'PreferSameZone'];

function hasExternalIps(spec: Tree, type: string): boolean {
  return type === 'ClusterIP' && items(get(spec, 'externalIPs')).length > 0;
}

function validateHealthCheckPort(errors: FieldErrors, spec: Tree, isNeeded: boolean): void {
  const health = get(spec, 'healthCheckNodePort');
  const port = number(health) ?? 0;
  if (!health || port === 0) return;
  const field = 'spec.healthCheckNodePort';
  const code = 'SERVICE_TRAFFIC_POLICY';
  if (port < 0) {
    errors.invalid(code, health, field, 'HealthCheckNodePort must be not less than 0');
  } else if (!isNeeded) {
    const detail =
      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.invalid(code, health, field, detail);
  }
}
