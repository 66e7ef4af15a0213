/**
 * Network security groups as the wiring gives them, with Azure's six default rules.
 *
 * Azure documentation: network-security-groups-overview ("Default security rules"),
 * service-tags-overview. Service tags whose ranges Microsoft publishes by the week, and application
 * security groups, are refused by name: nobody here knows their addresses.
 * @module
 */
import type { Prefix } from '../../wire/address.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, items, number, placeOf, text } from '../manifest/tree.ts';
import type { PartReader } from './decode-parts.ts';
import type { SecurityGroup, SecurityRule, SecuritySide, ServiceTag } from './network.ts';
import { SERVICE_TAGS } from './network.ts';

const EVERYTHING: SecuritySide = { any: true, prefixes: [], tags: [], ports: [] };

function tagged(tag: ServiceTag): SecuritySide {
  return { any: false, prefixes: [], tags: [tag], ports: [] };
}

/** Name, priority, access, source, destination. */
const DEFAULTS: Readonly<
  Record<
    SecurityRule['direction'],
    readonly (readonly [string, number, SecurityRule['access'], SecuritySide, SecuritySide])[]
  >
> = {
  Inbound: [
    ['AllowVnetInBound', 65_000, 'Allow', tagged('VirtualNetwork'), tagged('VirtualNetwork')],
    ['AllowAzureLoadBalancerInBound', 65_001, 'Allow', tagged('AzureLoadBalancer'), EVERYTHING],
    ['DenyAllInBound', 65_500, 'Deny', EVERYTHING, EVERYTHING],
  ],
  Outbound: [
    ['AllowVnetOutBound', 65_000, 'Allow', tagged('VirtualNetwork'), tagged('VirtualNetwork')],
    ['AllowInternetOutBound', 65_001, 'Allow', EVERYTHING, tagged('Internet')],
    ['DenyAllOutBound', 65_500, 'Deny', EVERYTHING, EVERYTHING],
  ],
};

/** Read one group. */
export function decodeSecurityGroup(r: PartReader, at: Tree, field: string): SecurityGroup {
  const written = items(get(at, 'securityRules')).map((rule, i) =>
    decodeRule(r, rule, `${field}.securityRules[${i}]`),
  );
  const taken = new Map<string, string>();
  items(get(at, 'securityRules')).forEach((rule, i) => {
    const key = `${text(get(rule, 'direction'))} ${number(get(rule, 'priority'))}`;
    const name = written[i]?.name ?? '';
    const other = taken.get(key);
    if (other !== undefined) {
      const message = `rules ${other} and ${name} have the same priority and direction`;
      r.refuse(get(rule, 'priority') ?? rule, 'AZURE_SECURITY_RULE', field, message);
    }
    taken.set(key, name);
  });
  const place = placeOf(at);
  const defaults = (['Inbound', 'Outbound'] as const).flatMap((direction) =>
    DEFAULTS[direction].map(
      ([name, priority, access, source, destination]): SecurityRule => ({
        name,
        priority,
        direction,
        access,
        protocol: '*',
        source,
        destination,
        place,
      }),
    ),
  );
  return {
    name: text(get(at, 'name')) ?? '',
    rules: [...written, ...defaults].toSorted((a, b) => a.priority - b.priority),
  };
}

function decodeRule(r: PartReader, at: Tree, field: string): SecurityRule {
  return {
    name: text(get(at, 'name')) ?? `priority ${number(get(at, 'priority'))}`,
    priority: number(get(at, 'priority')) ?? 0,
    direction: text(get(at, 'direction')) === 'Outbound' ? 'Outbound' : 'Inbound',
    access: text(get(at, 'access')) === 'Deny' ? 'Deny' : 'Allow',
    protocol: (text(get(at, 'protocol')) ?? '*') as SecurityRule['protocol'],
    source: decodeSide(r, at, 'source', field),
    destination: decodeSide(r, at, 'destination', field),
    place: placeOf(at),
  };
}

function both(at: Tree, one: string, many: string): readonly Tree[] {
  const single = get(at, one);
  return [...(single ? [single] : []), ...items(get(at, many))];
}

function decodeSide(
  r: PartReader,
  at: Tree,
  side: 'source' | 'destination',
  field: string,
): SecuritySide {
  const written = both(at, `${side}AddressPrefix`, `${side}AddressPrefixes`);
  const ports = r.ports(both(at, `${side}PortRange`, `${side}PortRanges`), `${field}.${side}Port`);
  const prefixes: Prefix[] = [];
  const tags: ServiceTag[] = [];
  let any = written.length === 0;
  written.forEach((one) => {
    const shown = text(one) ?? '';
    const tag = SERVICE_TAGS.find((t) => t.toLowerCase() === shown.toLowerCase());
    if (shown === '*' || shown === '0.0.0.0/0') any = true;
    else if (tag) tags.push(tag);
    else if (/^[A-Za-z]/.test(shown) && !shown.includes(':')) {
      const message = 'the addresses of this service tag are not known here';
      r.refuse(one, 'AZURE_SERVICE_TAG', `${field}.${side}AddressPrefix`, message, tagList());
    } else {
      const prefix = r.prefix(one, `${field}.${side}AddressPrefix`, true);
      if (prefix) prefixes.push(prefix);
    }
  });
  return { any, prefixes, tags, ports };
}

function tagList(): string {
  return [...SERVICE_TAGS, '*', 'addresses and ranges'].join(', ');
}
