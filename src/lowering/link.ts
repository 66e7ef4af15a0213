/**
 * Plan → image: every name resolved, every mistake found, at once.
 *
 *   plan ─► check-devices ─► check-sets ─► check-rules ─► (any mistake? one UserError)
 *                                                │
 *            image ◄─ interfaces, fib ◄─ sets ◄─ program
 *
 * What is refused is what the tools or the kernel refuse when the plan is loaded, so that a plan
 * that lowers is one that a real host takes.
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { type ImageGaps, NO_GAPS } from '../image/gaps.ts';
import type {
  HostImage,
  ImageBridge,
  ImageFdbEntry,
  ImageInterface,
  ImageNeighbor,
  RulePart,
  RuleTexts,
} from '../image/image.ts';
import type { RuleProgram } from '../image/program.ts';
import { compileFib, type Fib, type FibRoute } from '../image/route/fib.ts';
import { localRoutes } from '../image/route/fib-local.ts';
import { type CompiledSet, compileSet } from '../image/set/ip-set.ts';
import { makeSysctlTable, type SysctlTable } from '../image/sysctl.ts';
import type { IpSet } from '../netfilter/ip-set.ts';
import type { Rule } from '../netfilter/rule.ts';
import type { Plan } from '../plan/model.ts';
import { formatHead, formatMatch, formatRule, formatTarget } from '../plan/rule/rule-text.ts';
import type { Family } from '../wire/address/address.ts';
import { AddressMap } from '../wire/address/address-map.ts';
import { checkDevices } from './check-devices.ts';
import { checkRules } from './check-rules.ts';
import { checkSets } from './check-sets.ts';
import { checkVirtualServers } from './check-virtual-servers.ts';
import { hostCuts } from './cuts/host-cuts.ts';
import { linkProgram } from './link-program.ts';
import { linkNft } from './nft/link-program.ts';
import { nftTracks } from './nft/tracking.ts';

/**
 * Verify a plan and make its image.
 * @throws UserError with every mistake of the plan.
 */
export function lower(plan: Plan): HostImage {
  const faults: Diagnostic[] = [...checkDevices(plan), ...checkSets(plan), ...checkRules(plan)];
  faults.push(...checkVirtualServers(plan));
  const nft = linkNft(plan, faults);
  if (faults.length > 0) throw new UserError(faults);
  const sets = linkSets(plan);
  const program = linkProgram(plan.tables, sets);
  const interfaces = plan.interfaces.map(imageInterface);
  const sysctl = makeSysctlTable(numericSysctls(plan.sysctls));
  const tracked = new Set([...familiesWith(plan, needsConntrack), ...nftTracks(plan)]);
  // What lists connections tracks them, whoever asked it to.
  for (const { original } of plan.connections ?? []) tracked.add(original.src.family);
  const defragmented = familiesWith(plan, (rule) => rule.matches.some((m) => m.kind === 'socket'));
  const neighbors = linkNeighbors(plan);
  return {
    host: plan.host,
    role: plan.role,
    kernel: plan.kernel,
    program,
    nft,
    sets,
    virtualServers: plan.virtualServers ?? null,
    fib: linkFib(plan, interfaces, sysctl),
    interfaces: new Map(interfaces.map((i) => [i.name, i])),
    bridges: linkBridges(interfaces),
    fdb: linkFdb(plan),
    ebtables: plan.ebtables,
    neighbor: (device, address) => neighbors.get(device)?.get(address) ?? null,
    sysctl,
    keepsRefused: plan.keepsRefused === true,
    conntrackActive: (family) => tracked.has(family),
    defragActive: (family) => tracked.has(family) || defragmented.has(family),
    texts: ruleTexts(program),
    cuts: () => hostCuts(plan, allRoutes(plan, interfaces, sysctl)),
    gaps: imageGaps(plan),
  };
}

function imageGaps(plan: Plan): ImageGaps {
  const gaps = plan.gaps ?? [];
  const routes = gaps.includes('routes') || plan.routes.some((route) => route.assumed);
  if (gaps.length === 0 && !routes) return NO_GAPS;
  const tables = new Set<Family>();
  if (gaps.includes('iptables')) tables.add(4);
  if (gaps.includes('ip6tables')) tables.add(6);
  return {
    tables,
    ebtables: gaps.includes('ebtables'),
    addresses: gaps.includes('addresses'),
    routes,
    sysctls: gaps.includes('sysctls'),
    virtualServers: gaps.includes('virtualServers'),
  };
}

function linkSets(plan: Plan): ReadonlyMap<string, CompiledSet> {
  const changing = changingSets(plan);
  const linked = new Map<string, CompiledSet>();
  const resolve = (name: string): CompiledSet => {
    const found = linked.get(name);
    if (found === undefined) throw new RangeError(`set ${name} is compiled before its list`);
    return found;
  };
  const listsLast = [...plan.ipsets].sort((a, b) => rank(a) - rank(b));
  for (const set of listsLast) {
    linked.set(set.name, compileSet(set, resolve, changing.has(set.name)));
  }
  return linked;
}

/** The sets that SET rules add to and delete from, by themselves or as members of a list. */
function changingSets({ tables, ipsets }: Plan): ReadonlySet<string> {
  const rules = tables.flatMap((table) => table.chains.flatMap((chain) => chain.rules));
  const named = new Set(rules.flatMap(({ target }) => (target.kind === 'set' ? [target.set] : [])));
  const members = ipsets
    .filter((set) => named.has(set.name))
    .flatMap((set) => set.members.flatMap((m) => (m.kind === 'set' ? [m.set] : [])));
  return new Set([...named, ...members]);
}

function rank(set: IpSet): number {
  return set.type === 'list:set' ? 1 : 0;
}

function imageInterface(iface: Plan['interfaces'][number], at: number): ImageInterface {
  const { name, kind, mac, mtu, up, addresses } = iface;
  return {
    name,
    index: at + 1,
    kind,
    mac,
    mtu,
    up,
    addresses,
    master: iface.master ?? null,
    hairpin: iface.hairpin ?? false,
    promiscuous: iface.promiscuous ?? false,
  };
}

function linkBridges(interfaces: readonly ImageInterface[]): ReadonlyMap<string, ImageBridge> {
  const bridges = interfaces.filter((i) => i.kind === 'bridge');
  return new Map(
    bridges.map(({ name, mac }) => {
      const ports = interfaces.filter((i) => i.master === name).map((i) => i.name);
      return [name, { name, mac, ports }];
    }),
  );
}

function linkFdb(plan: Plan): ReadonlyMap<string, ReadonlyMap<string, ImageFdbEntry>> {
  const byBridge = new Map<string, Map<string, ImageFdbEntry>>();
  for (const { bridge, mac, port, kind } of plan.fdb) {
    const entries = byBridge.get(bridge) ?? new Map<string, ImageFdbEntry>();
    entries.set(mac, { mac, port, kind });
    byBridge.set(bridge, entries);
  }
  return byBridge;
}

function linkNeighbors(plan: Plan): ReadonlyMap<string, AddressMap<ImageNeighbor>> {
  const byDevice = new Map<string, AddressMap<ImageNeighbor>>();
  for (const { device, address, mac, state } of plan.neighbors) {
    const known = byDevice.get(device) ?? new AddressMap<ImageNeighbor>();
    known.set(address, { mac, state });
    byDevice.set(device, known);
  }
  return byDevice;
}

/** Sysctls that hold text (`tcp_congestion_control`) say nothing to packets here. */
function numericSysctls(sysctls: Plan['sysctls']): ReadonlyMap<string, number> {
  return new Map(
    Object.entries(sysctls).flatMap(([key, text]): [string, number][] =>
      /^-?\d+$/.test(text.trim()) ? [[key, Number(text)]] : [],
    ),
  );
}

/**
 * The plan lists the main and further tables; the local table is derived, and may be listed too.
 */
function linkFib(plan: Plan, interfaces: readonly ImageInterface[], sysctl: SysctlTable): Fib {
  return compileFib({
    routes: allRoutes(plan, interfaces, sysctl),
    rules: plan.routingRules,
    interfaces,
  });
}

/** Those that the kernel derives from addresses, then the plan's: of equal metrics the first. */
function allRoutes(
  plan: Plan,
  interfaces: readonly ImageInterface[],
  sysctl: SysctlTable,
): readonly FibRoute[] {
  const isRouter6 = sysctl.get('net.ipv6.conf.all.forwarding') !== 0;
  return [...localRoutes(interfaces, isRouter6), ...plan.routes];
}

/** The families that have such a rule. */
function familiesWith(plan: Plan, is: (rule: Rule) => boolean): ReadonlySet<Family> {
  const tables = plan.tables.filter((table) => table.chains.some((chain) => chain.rules.some(is)));
  return new Set(tables.map((table) => table.family));
}

/**
 * Are connections tracked because of this rule? Its module asks for it when it is loaded
 * (`nf_ct_netns_get` in the checkentry of xt_conntrack, xt_state, xt_connmark, xt_connlimit,
 * xt_connbytes, xt_helper, xt_nat, xt_MASQUERADE, xt_REDIRECT, xt_NETMAP and xt_CT). A nat table
 * alone does not, nor does NOTRACK; defragmentation comes with it. Seen on Linux 6.18 by
 * test/differential/kernel/image.test.ts.
 */
function needsConntrack(rule: Rule): boolean {
  return (
    CONNTRACK_TARGETS.has(rule.target.kind) ||
    rule.matches.some((match) => CONNTRACK_MATCHES.has(match.kind))
  );
}

const CONNTRACK_MATCHES: ReadonlySet<string> = new Set([
  'conntrack',
  'conntrackDetail',
  'state',
  'connmark',
  'connlimit',
  'connbytes',
  'helper',
]);
const CONNTRACK_TARGETS: ReadonlySet<string> = new Set([
  'connmark',
  'masquerade',
  'snat',
  'dnat',
  'redirect',
  'netmap',
  'ct',
]);

/** Rule texts are made when a report asks; most rules never appear in one. */
function ruleTexts(program: RuleProgram): RuleTexts {
  const at = (id: number) => {
    const rule = program.rules[id];
    if (rule === undefined) throw new RangeError(`no rule ${id}`);
    return rule;
  };
  return {
    rule: (id) => {
      const { source, address } = at(id);
      return formatRule(source, address.chain, address.family);
    },
    part: (id, part) => partText(at(id).source, part),
    target: (id) => formatTarget(at(id).target, at(id).address.family).replace(/^-[jg] /, ''),
  };
}

function partText(rule: Rule, part: RulePart): string {
  if (typeof part === 'number') {
    const match = rule.matches[part];
    return match === undefined ? '' : formatMatch(match);
  }
  const { ip } = rule;
  switch (part) {
    case 'source':
      return ip.source ? formatHead({ source: ip.source }) : '';
    case 'destination':
      return ip.destination ? formatHead({ destination: ip.destination }) : '';
    case 'inInterface':
      return ip.inInterface ? formatHead({ inInterface: ip.inInterface }) : '';
    case 'outInterface':
      return ip.outInterface ? formatHead({ outInterface: ip.outInterface }) : '';
    case 'protocol':
      return ip.protocol ? formatHead({ protocol: ip.protocol }) : '';
    case 'fragment':
      return ip.fragment ? formatHead({ fragment: ip.fragment }) : '';
  }
}
