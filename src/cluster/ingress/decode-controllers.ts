/**
 * Proxies that the wiring document names: controllers in the cluster by their Service, Application
 * Gateways by their subnet and frontends.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { CIDR_DETAIL, IP_DETAIL } from '../decode/decode.ts';
import { parseCidr, parseIp } from '../manifest/cidr.ts';
import { show } from '../manifest/field-error.ts';
import type { MapTree, Tree } from '../manifest/tree.ts';
import { get, items, placeOf, text } from '../manifest/tree.ts';
import type { Service } from '../model.ts';
import { formatSource } from '../model.ts';
import type { ApplicationGateway, NamedController } from './model.ts';

const OBJECT = 'Wiring';

/** Controllers by Service; one that names no Service of the cluster is a mistake. */
export function decodeControllers(
  wiring: MapTree,
  services: readonly Service[],
  problems: Diagnostic[],
): readonly NamedController[] {
  return items(get(wiring, 'ingressControllers')).flatMap((at, i) => {
    const written = text(get(at, 'service')) ?? '';
    const [namespace = '', service = ''] = written.split('/');
    if (services.some((s) => s.namespace === namespace && s.name === service)) {
      return [{ ingressClass: text(get(at, 'ingressClass')) ?? '', namespace, service }];
    }
    const known = services.map((s) => `${s.namespace}/${s.name}`);
    problems.push({
      code: 'WIRING_INGRESS',
      ...placeOf(get(at, 'service') ?? at),
      object: OBJECT,
      field: `ingressControllers[${i}].service`,
      message: 'no such Service',
      found: JSON.stringify(written),
      accepted: known.slice(0, 10).join(', ') + (known.length > 10 ? ', …' : ''),
    });
    return [];
  });
}

export function decodeGateways(
  wiring: MapTree,
  problems: Diagnostic[],
): readonly ApplicationGateway[] {
  const seen = new Map<string, Tree>();
  return items(get(wiring, 'applicationGateways')).flatMap((at, i) => {
    const field = `applicationGateways[${i}]`;
    const refuse = (tree: Tree, name: string, message: string) => {
      const place = { ...placeOf(tree), object: OBJECT, field: `${field}.${name}` };
      problems.push({ code: 'WIRING_GATEWAY', ...place, message, found: show(tree) });
    };
    const name = text(get(at, 'name')) ?? '';
    const first = seen.get(name);
    if (first) refuse(at, 'name', `given twice: first at ${formatSource(placeOf(first))}`);
    seen.set(name, at);
    const range = get(at, 'subnetPrefix') ?? at;
    const subnet = parseCidr(text(range) ?? '');
    if (!subnet) refuse(range, 'subnetPrefix', CIDR_DETAIL);
    const frontends = items(get(at, 'frontendIpAddresses')).flatMap((one, j) => {
      const address = parseIp(text(one) ?? '');
      if (!address) refuse(one, `frontendIpAddresses[${j}]`, IP_DETAIL);
      return address ? [address] : [];
    });
    if (!subnet) return [];
    const ingressClass = text(get(at, 'ingressClass')) ?? null;
    return [{ name, ingressClass, subnet, frontends }];
  });
}
