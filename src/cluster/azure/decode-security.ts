/**
 * Network security groups as the wiring gives them, with Azure's six default rules.
 *
 * Azure documentation: network-security-groups-overview ("Default security rules"),
 * service-tags-overview, application-security-groups. Service tags whose ranges Microsoft publishes
 * by the week are refused by name: nobody here knows their addresses.
 * @module
 */
import type { Prefix } from '../../wire/address/address.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, items, number, placeOf, text, texts } from '../manifest/tree.ts';
import type { PartReader } from './decode-parts.ts';
import type {
  ApplicationGroup,
  SecurityGroup,
  SecurityRule,
  SecuritySide,
  ServiceTag,
} from './network.ts';
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
export function decodeSecurityGroup(
  r: PartReader,
  at: Tree,
  field: string,
  applications: ReadonlyMap<string, ApplicationGroup>,
): SecurityGroup {
  const written = items(get(at, 'securityRules')).map((rule, i) =>
    decodeRule(r, rule, `${field}.securityRules[${i}]`, applications),
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

function decodeRule(
  r: PartReader,
  at: Tree,
  field: string,
  applications: ReadonlyMap<string, ApplicationGroup>,
): SecurityRule {
  const side = (which: 'source' | 'destination') => decodeSide(r, at, which, field, applications);
  return {
    name: text(get(at, 'name')) ?? `priority ${number(get(at, 'priority'))}`,
    priority: number(get(at, 'priority')) ?? 0,
    direction: text(get(at, 'direction')) === 'Outbound' ? 'Outbound' : 'Inbound',
    access: text(get(at, 'access')) === 'Deny' ? 'Deny' : 'Allow',
    protocol: (text(get(at, 'protocol')) ?? '*') as SecurityRule['protocol'],
    source: side('source'),
    destination: side('destination'),
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
  applications: ReadonlyMap<string, ApplicationGroup>,
): SecuritySide {
  const written = both(at, `${side}AddressPrefix`, `${side}AddressPrefixes`);
  const ports = r.ports(both(at, `${side}PortRange`, `${side}PortRanges`), `${field}.${side}Port`);
  const prefixes: Prefix[] = [];
  const tags: ServiceTag[] = [];
  const key = `${side}ApplicationSecurityGroups`;
  const named = items(get(at, key));
  if (named[0] && written.length > 0) {
    const message = 'a side has addresses or application security groups, not both';
    r.refuse(named[0], 'AZURE_SECURITY_RULE', `${field}.${key}`, message);
  }
  const groups = named.flatMap((one) => r.named(one, `${field}.${key}`, applications) ?? []);
  let any = written.length === 0 && named.length === 0;
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
  return { any, prefixes, tags, ports, ...(named.length > 0 ? { groups } : {}) };
}

function tagList(): string {
  return [...SERVICE_TAGS, '*', 'addresses and ranges'].join(', ');
}

/** Read one application security group: its members are the NICs of pools, and addresses. */
export function decodeApplicationGroup(
  r: PartReader,
  at: Tree,
  field: string,
  pools: readonly string[],
): ApplicationGroup {
  const nodePools = items(get(at, 'nodePools'));
  for (const one of nodePools) {
    if (pools.includes(text(one) ?? '')) continue;
    const message = 'no node pool of the wiring has this name';
    r.refuse(one, 'WIRING_NAME', `${field}.nodePools`, message, pools.join(', '));
  }
  return {
    name: text(get(at, 'name')) ?? '',
    nodePools: texts(get(at, 'nodePools')),
    addresses: r.addresses(get(at, 'ipAddresses'), `${field}.ipAddresses`),
  };
}
