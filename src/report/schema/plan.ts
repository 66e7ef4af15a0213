/**
 * A host's plan (`plan -o json`), in the words of Linux's tools.
 * @module
 */
import { EVIDENCE } from '../../plan/model.ts';
import { COUNT, FLAG, list, map, object, oneOf, orNull, said, TEXT } from './build.ts';
import { head, STACK, WARNINGS } from './parts.ts';

const FAMILY = { enum: [4, 6] };
const COUNTERS = object({ packets: COUNT, bytes: COUNT });

const INTERFACE = object(
  {
    name: TEXT,
    kind: oneOf(['loopback', 'physical', 'veth', 'bridge', 'dummy']),
    mac: TEXT,
    mtu: COUNT,
    up: FLAG,
    addresses: list(object({ address: said('ADDRESS/LENGTH', TEXT), scope: TEXT })),
  },
  { master: said('its bridge', TEXT), hairpin: FLAG, promiscuous: FLAG },
);

const ROUTE = object(
  {
    family: FAMILY,
    type: TEXT,
    destination: TEXT,
    table: said('254 main, 255 local', COUNT),
    metric: COUNT,
    scope: TEXT,
  },
  {
    device: TEXT,
    via: TEXT,
    source: TEXT,
    onlink: FLAG,
    assumed: said('nobody said so: what is decided by it is unknown', { const: true }),
  },
);

const ROUTING_RULE = object(
  { family: FAMILY, preference: COUNT, table: COUNT },
  {
    from: TEXT,
    to: TEXT,
    iif: TEXT,
    oif: TEXT,
    fwmark: object({ value: COUNT, mask: COUNT }),
    negate: FLAG,
  },
);

const RULE = object(
  { index: said('from 1 in its chain', COUNT), text: said('as iptables-save prints it', TEXT) },
  {
    origin: said(
      'why it is there',
      list(
        object(
          { object: TEXT, effect: oneOf(['select', 'allow', 'isolate', 'platform']) },
          { direction: oneOf(['ingress', 'egress']), field: TEXT, source: TEXT },
        ),
      ),
    ),
    place: said('FILE:LINE of a dump', TEXT),
    counters: COUNTERS,
  },
);

const TABLE = object(
  {
    family: FAMILY,
    name: TEXT,
    chains: list(
      object(
        { name: TEXT, rules: list(RULE) },
        { policy: oneOf(['ACCEPT', 'DROP']), counters: COUNTERS },
      ),
    ),
  },
  { legacy: said('of iptables-legacy, beside iptables-nft', { const: true }) },
);

const EBTABLE = object(
  {
    name: TEXT,
    chains: list(object({ name: TEXT, policy: TEXT, builtin: FLAG, rules: list(TEXT) })),
  },
  { backend: { const: 'nft' } },
);

const IPSET = object(
  { name: TEXT, type: TEXT, maxElements: COUNT, members: list(TEXT) },
  {
    family: FAMILY,
    range: object({ low: COUNT, high: COUNT }),
    timeout: COUNT,
    membersUnknown: { const: true },
    describes: said('what it stands for, in words', TEXT),
  },
);

export const PLAN = object(
  {
    ...head('Plan', false),
    stack: STACK,
    counts: object({
      interfaces: COUNT,
      routes: COUNT,
      chains: said('of iptables, all tables, both families', COUNT),
      rules: COUNT,
      ipsets: COUNT,
      members: said('of all sets', COUNT),
    }),
    warnings: WARNINGS,
    host: TEXT,
    role: oneOf(['node', 'pod', 'fabric']),
    evidence: said('how well it is known', oneOf(EVIDENCE)),
    kernel: TEXT,
    interfaces: list(INTERFACE),
    routes: list(ROUTE),
    routingRules: list(ROUTING_RULE),
    neighbors: list(object({ address: TEXT, device: TEXT, mac: TEXT, state: TEXT })),
    fdb: list(object({ mac: TEXT, bridge: TEXT, port: TEXT, kind: TEXT })),
    tables: list(TABLE),
    ebtables: list(EBTABLE),
    ipsets: list(IPSET),
    sysctls: map(TEXT),
    gaps: said('parts of a dumped host that nobody collected', list(TEXT)),
  },
  {
    nft: said('as nft list ruleset prints it', orNull(TEXT)),
    ipvs: said('as ipvsadm-save prints it', TEXT),
    hns: said('what the Host Networking Service of a Windows node holds', { type: 'object' }),
    connections: said('open when the host was dumped, as conntrack -L lists them', list(TEXT)),
  },
);
