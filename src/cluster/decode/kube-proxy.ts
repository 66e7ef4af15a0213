/**
 * KubeProxyConfiguration as kube-proxy reads it: from a document of its own, or from the ConfigMap
 * `kube-proxy` that kubeadm makes.
 *
 * Checked and defaulted as kubernetes v1.30.5 does (pkg/proxy/apis/config/validation/validation.go,
 * v1alpha1/defaults.go), where it bears on packets.
 * @module
 */
import type { Prefix } from '../../wire/address/address.ts';
import { parseCidr } from '../manifest/cidr.ts';
import type { FieldErrors } from '../manifest/field-error.ts';
import type { LoadedObject } from '../manifest/load.ts';
import { parseYaml } from '../manifest/parse-yaml.ts';
import type { Tree } from '../manifest/tree.ts';
import { boolean, entries, get, items, number, sourceText, text } from '../manifest/tree.ts';
import {
  IPVS_SCHEDULERS,
  type IpvsConfig,
  type KubeProxyConfig,
  type LocalDetector,
} from '../model.ts';

const CODE = 'KUBE_PROXY_CONFIG';
const KIND = 'KubeProxyConfiguration';

/** Seconds of `tcpEstablishedTimeout` and `tcpCloseWaitTimeout` when they are not given. */
const ESTABLISHED = 86_400;
const CLOSE_WAIT = 3600;
/** Entries of the connection table, likewise. */
const MAX_PER_CORE = 32_768;
const MIN_ENTRIES = 131_072;

/** Read a document of kind KubeProxyConfiguration. */
export function decodeKubeProxy(errors: FieldErrors, object: LoadedObject): KubeProxyConfig {
  return decode(errors, object.tree);
}

/** The KubeProxyConfiguration in a ConfigMap; null when none of its keys holds one. */
export function decodeKubeProxyMap(
  errors: FieldErrors,
  object: LoadedObject,
): KubeProxyConfig | null {
  for (const [key, entry] of entries(get(object.tree, 'data'))) {
    const written = text(entry.value) ?? '';
    if (!written.includes(KIND)) continue;
    const { documents, problems } = parseYaml(sourceText(`${object.name} ${key}`, written));
    for (const p of problems) {
      errors.invalidText(CODE, entry.value, `data[${key}]`, 'this text', p.message);
    }
    const config = documents.find((d) => text(get(d, 'kind')) === KIND);
    if (config) return decode(errors, config);
  }
  return null;
}

function decode(errors: FieldErrors, tree: Tree): KubeProxyConfig {
  const mode = get(tree, 'mode');
  if (mode && !['', 'iptables', 'ipvs', 'nftables'].includes(text(mode) ?? '')) {
    const detail =
      'must be iptables, ipvs, nftables or blank (blank means the best-available proxy [currently iptables])';
    errors.invalid('KUBE_PROXY_MODE', mode, 'mode', detail);
  }
  const nft = text(mode) === 'nftables';
  const isIpvs = text(mode) === 'ipvs';
  const own = get(tree, nft ? 'nftables' : 'iptables');
  const bit = get(own, 'masqueradeBit');
  if (bit && ((number(bit) ?? 0) < 0 || (number(bit) ?? 0) > 31)) {
    errors.invalid(CODE, bit, `${nft ? 'nftables' : 'iptables'}.masqueradeBit`, BIT_DETAIL);
  }
  const conntrack = get(tree, 'conntrack');
  const tracked = (key: string, otherwise: number) =>
    seconds(errors, get(conntrack, key), `conntrack.${key}`, otherwise);
  const entriesOf = (key: string, otherwise: number) => {
    const at = get(conntrack, key);
    const given = number(at) ?? otherwise;
    const detail = 'must be greater than or equal to 0';
    if (at && given < 0) errors.invalid(CODE, at, `conntrack.${key}`, detail);
    return given;
  };
  return {
    mode: nft ? 'nftables' : isIpvs ? 'ipvs' : 'iptables',
    ...(isIpvs ? { ipvs: ipvsConfig(errors, get(tree, 'ipvs')) } : {}),
    masqueradeAll: boolean(get(own, 'masqueradeAll')) ?? false,
    masqueradeBit: number(bit) ?? 14,
    localhostNodePorts: boolean(get(tree, 'iptables', 'localhostNodePorts')) ?? true,
    nodePortAddresses: nodePortAddresses(errors, get(tree, 'nodePortAddresses')),
    detectLocal: detector(errors, tree),
    tcpBeLiberal: boolean(get(conntrack, 'tcpBeLiberal')) ?? false,
    conntrackMaxPerCore: entriesOf('maxPerCore', MAX_PER_CORE),
    conntrackMin: entriesOf('min', MIN_ENTRIES),
    tcpEstablishedTimeout: tracked('tcpEstablishedTimeout', ESTABLISHED),
    tcpCloseWaitTimeout: tracked('tcpCloseWaitTimeout', CLOSE_WAIT),
    udpTimeout: tracked('udpTimeout', 0),
    udpStreamTimeout: tracked('udpStreamTimeout', 0),
  };
}

/** Blank means round robin. What is excluded (`excludeCIDRs`) is never cleaned up, and no more. */
function ipvsConfig(errors: FieldErrors, at: Tree | undefined): IpvsConfig {
  const given = get(at, 'scheduler');
  const written = text(given) ?? '';
  const scheduler = IPVS_SCHEDULERS.find((one) => one === written);
  if (given && written !== '' && !scheduler) {
    errors.notSupported(CODE, given, 'ipvs.scheduler', [...IPVS_SCHEDULERS, '']);
  }
  items(get(at, 'excludeCIDRs')).forEach((item, i) => {
    const detail = 'must be a valid CIDR';
    if (!parseCidr(text(item) ?? '')) {
      errors.invalid(CODE, item, `ipvs.excludeCIDRs[${i}]`, detail);
    }
  });
  const timeout = (key: string) => seconds(errors, get(at, key), `ipvs.${key}`, 0);
  return {
    scheduler: scheduler ?? 'rr',
    strictArp: boolean(get(at, 'strictARP')) ?? false,
    tcpTimeout: timeout('tcpTimeout'),
    tcpFinTimeout: timeout('tcpFinTimeout'),
    udpTimeout: timeout('udpTimeout'),
  };
}

const BIT_DETAIL = 'must be within the range [0, 31]';

function nodePortAddresses(errors: FieldErrors, list: Tree | undefined): readonly Prefix[] {
  return items(list).flatMap((item, i) => {
    const prefix = parseCidr(text(item) ?? '');
    const detail = 'must be a valid CIDR';
    if (!prefix) errors.invalid(CODE, item, `nodePortAddresses[${i}]`, detail);
    return prefix ? [prefix] : [];
  });
}

const MODES = ['ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'] as const;

/** ClusterCIDR is the default mode; without a range it detects nothing. */
function detector(errors: FieldErrors, tree: Tree): LocalDetector {
  const at = get(tree, 'detectLocalMode');
  const said = text(at) ?? '';
  const mode = MODES.find((m) => m === said);
  if (at && said !== '' && !mode) errors.notSupported(CODE, at, 'detectLocalMode', [...MODES, '']);
  const cidrs = clusterCidrs(errors, get(tree, 'clusterCIDR'));
  switch (mode) {
    case 'NodeCIDR':
      return { mode };
    case 'BridgeInterface':
      return { mode, name: interfaceName(errors, tree, 'bridgeInterface') };
    case 'InterfaceNamePrefix':
      return { mode, prefix: interfaceName(errors, tree, 'interfaceNamePrefix') };
    default:
      return cidrs.length === 0 ? { mode: 'none' } : { mode: 'ClusterCIDR', cidrs };
  }
}

function clusterCidrs(errors: FieldErrors, at: Tree | undefined): readonly Prefix[] {
  const written = text(at) ?? '';
  if (written === '' || !at) return [];
  const parts = written.split(',');
  const cidrs = parts.flatMap((part) => parseCidr(part) ?? []);
  const families = new Set(cidrs.map((p) => p.address.family));
  const example = '(e.g. 10.100.0.0/16,fde4:8dba:82e1::/48)';
  if (parts.length > 2) {
    const detail = `only one CIDR allowed or a valid DualStack CIDR ${example}`;
    errors.invalid(CODE, at, 'clusterCIDR', detail);
  } else if (parts.length === 2 && families.size !== 2) {
    errors.invalid(CODE, at, 'clusterCIDR', `must be a valid DualStack CIDR ${example}`);
  } else if (cidrs.length < parts.length) {
    const detail = 'must be a valid CIDR block (e.g. 10.100.0.0/16 or fde4:8dba:82e1::/48)';
    errors.invalid(CODE, at, 'clusterCIDR', detail);
  }
  return cidrs;
}

/** IFNAMSIZ less the final zero. */
const LONGEST_NAME = 15;

function interfaceName(
  errors: FieldErrors,
  tree: Tree,
  key: 'bridgeInterface' | 'interfaceNamePrefix',
): string {
  const at = get(tree, 'detectLocal', key);
  const name = text(at) ?? '';
  if (name === '') errors.required(CODE, at ?? tree, `detectLocal.${key}`, 'must not be empty');
  if (at && name.length > LONGEST_NAME) {
    const detail = `must be at most ${LONGEST_NAME} characters`;
    errors.invalid(CODE, at, `detectLocal.${key}`, detail);
  }
  return name;
}

const UNITS: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1, ms: 1e-3 };

/** A Go duration (`24h0m0s`) in whole seconds. */
function seconds(
  errors: FieldErrors,
  at: Tree | undefined,
  field: string,
  otherwise: number,
): number {
  if (!at) return otherwise;
  const written = text(at) ?? '';
  const parts = [...written.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)];
  const isWhole = written !== '' && parts.map((p) => p[0]).join('') === written.replace(/^-/, '');
  if (written.startsWith('-')) {
    errors.invalid(CODE, at, field, 'must be greater than or equal to 0');
  } else if (!isWhole && written !== '0') {
    errors.invalid(CODE, at, field, 'not a duration', '24h0m0s');
  }
  const sum = parts.reduce((s, [, size, unit]) => s + Number(size) * (UNITS[unit ?? ''] ?? 0), 0);
  return Math.floor(sum);
}
