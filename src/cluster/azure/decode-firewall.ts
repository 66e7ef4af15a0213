/**
 * Azure Firewall as the wiring gives it: collections of DNAT, network and application rules.
 *
 * Azure documentation: firewall/rule-processing, firewall/snat-private-range. Application rules
 * decide by names inside HTTP and TLS, which no packet of an opening shows.
 * @module
 */
import type { Prefix } from '../../wire/address/address.ts';
import { parseCidr } from '../manifest/cidr.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, items, number, placeOf, text, texts } from '../manifest/tree.ts';
import type { PartReader } from './decode-parts.ts';
import type {
  Firewall,
  FirewallApplicationRule,
  FirewallCollection,
  FirewallNatRule,
  FirewallNetworkRule,
  FirewallSide,
} from './network.ts';

/** What is not translated unless somebody says so: RFC 1918 and RFC 6598. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'];

/** Read one firewall; null when it has no address. */
export function decodeFirewall(r: PartReader, at: Tree, field: string): Firewall | null {
  const privateAddress = r.address(get(at, 'privateIpAddress'), `${field}.privateIpAddress`);
  const collections = <Rule>(name: string, read: (rule: Tree, field: string) => Rule | null) =>
    decodeCollections(get(at, name), `${field}.${name}`, read);
  const natCollections = collections('natRuleCollections', (rule, f) => natRule(r, rule, f));
  const networkCollections = collections('networkRuleCollections', (rule, f) =>
    networkRule(r, rule, f),
  );
  const applicationCollections = collections('applicationRuleCollections', (rule, f) =>
    applicationRule(r, rule, f),
  );
  if (!privateAddress) return null;
  return {
    name: text(get(at, 'name')) ?? '',
    privateAddress,
    publicAddresses: r.addresses(get(at, 'publicIpAddresses'), `${field}.publicIpAddresses`),
    privateRanges: privateRanges(r, get(at, 'privateRanges'), `${field}.privateRanges`),
    natCollections,
    networkCollections,
    applicationCollections,
  };
}

/** `IANAPrivateRanges` stands for the default among a user's own. */
function privateRanges(r: PartReader, at: Tree | undefined, field: string): readonly Prefix[] {
  const standard = PRIVATE.flatMap((range) => parseCidr(range) ?? []);
  if (!at) return standard;
  return items(at).flatMap((item) =>
    text(item) === 'IANAPrivateRanges' ? standard : (r.prefix(item, field, true) ?? []),
  );
}

function decodeCollections<Rule>(
  at: Tree | undefined,
  field: string,
  read: (rule: Tree, field: string) => Rule | null,
): readonly FirewallCollection<Rule>[] {
  return items(at)
    .map((one, i) => ({
      name: text(get(one, 'name')) ?? '',
      priority: number(get(one, 'priority')) ?? 0,
      action: (text(get(one, 'action')) ?? 'Deny') as FirewallCollection<Rule>['action'],
      rules: items(get(one, 'rules')).flatMap(
        (rule, j) => read(rule, `${field}[${i}].rules[${j}]`) ?? [],
      ),
      place: placeOf(one),
    }))
    .toSorted((a, b) => a.priority - b.priority);
}

function side(r: PartReader, at: Tree | undefined, field: string): FirewallSide {
  const written = items(at);
  const everybody = written.some((one) => text(one) === '*');
  return {
    any: everybody,
    prefixes: everybody ? [] : written.flatMap((one) => r.prefix(one, field, true) ?? []),
  };
}

function networkRule(r: PartReader, at: Tree, field: string): FirewallNetworkRule {
  return {
    name: text(get(at, 'name')) ?? '',
    protocols: texts(get(at, 'protocols')) as FirewallNetworkRule['protocols'],
    source: side(r, get(at, 'sourceAddresses'), `${field}.sourceAddresses`),
    destination: side(r, get(at, 'destinationAddresses'), `${field}.destinationAddresses`),
    ports: r.ports(items(get(at, 'destinationPorts')), `${field}.destinationPorts`),
  };
}

function applicationRule(r: PartReader, at: Tree, field: string): FirewallApplicationRule {
  return {
    name: text(get(at, 'name')) ?? '',
    source: side(r, get(at, 'sourceAddresses'), `${field}.sourceAddresses`),
    ports: texts(get(at, 'protocols')).map((one) => Number(one.split(':')[1])),
    anyName: texts(get(at, 'targetFqdns')).includes('*'),
  };
}

function natRule(r: PartReader, at: Tree, field: string): FirewallNatRule | null {
  const publicAddress = r.address(get(at, 'destinationAddress'), `${field}.destinationAddress`);
  const inside = r.address(get(at, 'translatedAddress'), `${field}.translatedAddress`);
  const [port] = r.ports([...one(at, 'destinationPort')], `${field}.destinationPort`);
  const [translated] = r.ports([...one(at, 'translatedPort')], `${field}.translatedPort`);
  if (!publicAddress || !inside || !port || !translated) return null;
  return {
    name: text(get(at, 'name')) ?? '',
    protocols: texts(get(at, 'protocols')) as FirewallNatRule['protocols'],
    source: side(r, get(at, 'sourceAddresses'), `${field}.sourceAddresses`),
    publicAddress,
    port: port.low,
    translatedAddress: inside,
    translatedPort: translated.low,
  };
}

function one(at: Tree, key: string): readonly Tree[] {
  const found = get(at, key);
  return found ? [found] : [];
}
