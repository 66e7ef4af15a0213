/**
 * A plan in a real kernel: the steps that build it from nothing with the real tools, and what can be
 * read from it afterwards.
 *
 * The host is made to keep to itself: no rate limits on ICMP, no answers in a process's name (an IPsec
 * policy refuses what reached INPUT and passed it; engines do not answer for processes either), no
 * multicast reports.
 * @module
 */

import { printBridge } from '../../../../src/plan/bridge-text.ts';
import { printEbtables } from '../../../../src/plan/ebtables/text.ts';
import { printIp } from '../../../../src/plan/ip-text.ts';
import { printIpsets } from '../../../../src/plan/ipset/text.ts';
import type { Interface, Plan } from '../../../../src/plan/model.ts';
import { printNft } from '../../../../src/plan/nft/text/ruleset-text.ts';
import { printIptables } from '../../../../src/plan/rule/iptables-text.ts';
import type { Agent, BuildStep, Ran } from './agent.ts';
import type { Backend, Connection, Reading } from './trial.ts';

/** Values that are not the plan's: how the laboratory differs from a machine in the wild. */
const QUIET: Readonly<Record<string, string>> = {
  'net.ipv4.icmp_ratemask': '0',
  'net.ipv4.icmp_msgs_per_sec': '1000000',
  'net.ipv4.icmp_msgs_burst': '1000000',
  'net.ipv6.icmp.ratelimit': '0',
  'net.ipv4.icmp_echo_ignore_all': '1',
  'net.ipv6.icmp.echo_ignore_all': '1',
  'net.ipv6.conf.all.accept_dad': '0',
  'net.ipv6.conf.default.accept_dad': '0',
  'net.ipv6.conf.default.accept_ra': '0',
};

/** Answers of protocols end here; neighbour discovery must not. */
const DEAF = [
  'src 0.0.0.0/0 dst 0.0.0.0/0 dir in action block',
  'src ::/0 dst ::/0 proto ipv6-icmp type 135 dir in priority 1 action allow',
  'src ::/0 dst ::/0 proto ipv6-icmp type 136 dir in priority 1 action allow',
  'src ::/0 dst ::/0 dir in priority 9 action block',
]
  .map((policy) => `xfrm policy add ${policy}\n`)
  .join('');

/** Devices whose far end is in the world; the agent numbers its ports in this order. */
export function portsOf(plan: Plan): readonly string[] {
  return plan.interfaces.filter((i) => i.kind === 'veth' || i.kind === 'physical').map(nameOf);
}

/** A batch has one family: these need their own. */
const RULE6 = /^-6 rule add .*\n/gm;

function nameOf({ name }: Interface): string {
  return name;
}

/** A host alone in its world, from nothing. */
export function buildSteps(plan: Plan, backend: Backend): readonly BuildStep[] {
  const { before, making, settling } = partsOf(plan, backend, DEAF);
  return [
    { kind: 'sysctls', values: { ...QUIET, ...before } },
    { kind: 'cables', devices: portsOf(plan) },
    ...making,
    ...settling,
  ];
}

/** The parts in which a host of a whole network is built, which answers as hosts do. */
export interface HostSteps {
  /** Before its cables are laid. */
  readonly early: readonly BuildStep[];
  /** Its devices come up. */
  readonly making: readonly BuildStep[];
  /** Once the far ends of its cables are up, too. */
  readonly settling: readonly BuildStep[];
}

export function networkSteps(plan: Plan, backend: Backend): HostSteps {
  const { before, making, settling } = partsOf(plan, backend);
  return { early: [{ kind: 'sysctls', values: before }], making, settling };
}

interface Parts extends Pick<HostSteps, 'making' | 'settling'> {
  readonly before: Readonly<Record<string, string>>;
}

/** One for all namespaces, which only the first may write (nf_conntrack_standalone.c). */
const MACHINE_WIDE = 'net.netfilter.nf_conntrack_max';

function partsOf(plan: Plan, backend: Backend, more = ''): Parts {
  const ports = portsOf(plan);
  const bridges = plan.interfaces.filter((i) => i.kind === 'bridge');
  // The cables are there already: to the printer they are given devices.
  const given = (i: Interface): Interface => (i.kind === 'veth' ? { ...i, kind: 'physical' } : i);
  const lines = printIp({ ...plan, interfaces: plan.interfaces.map(given) }).replaceAll(
    /^ip /gm,
    '',
  );
  const [links, rest] = split(lines.replaceAll(RULE6, ''));
  const rules6 = (lines.match(RULE6) ?? []).join('').replaceAll(/^-6 /gm, '');
  const quiet = bridges.map(
    ({ name }) =>
      `link set ${name} type bridge forward_delay 0 mcast_snooping 0 ageing_time 30000\n`,
  );
  const settings = Object.entries(plan.sysctls).filter(([key]) => key !== MACHINE_WIDE);
  const early = settings.filter(([key]) => isInherited(key));
  const late = settings.filter(([key]) => !isInherited(key));
  // A bridge sends nothing before its carrier was seen, which comes with its first port.
  const leads = ({ name, kind }: Interface) =>
    kind === 'bridge'
      ? plan.interfaces.some((port) => port.up && port.master === name)
      : ports.includes(name);
  const up = plan.interfaces.filter((i) => i.up && leads(i)).map(nameOf);
  const bridge = printBridge(plan).replaceAll(/^bridge /gm, '');
  const making = [
    run(['ip', '-batch', '-'], links + quiet.join('') + rest + more),
    ...(rules6 === '' ? [] : [run(['ip', '-6', '-batch', '-'], rules6)]),
  ];
  const settling: BuildStep[] = [
    { kind: 'running', devices: up },
    ...(bridge === '' ? [] : [run(['bridge', '-batch', '-'], bridge)]),
    { kind: 'sysctls', values: { ...prompt(plan), ...Object.fromEntries(late) } },
    ...(plan.ebtables.length === 0 ? [] : [run(['ebtables-restore'], printEbtables(plan))]),
    ...(plan.ipsets.length === 0 ? [] : [run(['ipset', 'restore'], printIpsets(plan))]),
    ...([4, 6] as const).flatMap((family) => {
      const text = printIptables(plan, family);
      return text === '' ? [] : [run([tool(family, backend, 'restore')], text)];
    }),
    ...(plan.nft === undefined ? [] : [run(['nft', '-f', '-'], printNft(plan))]),
  ];
  return { before: Object.fromEntries(early), making, settling };
}

/** Proxy ARP answers at once (by default within 0.8 s, drawn). */
function prompt(plan: Plan): Record<string, string> {
  const devices = plan.interfaces.filter((i) => i.kind !== 'loopback').map(nameOf);
  return Object.fromEntries(
    devices.map((name) => [`net.ipv4.neigh.${name.replaceAll('.', '/')}.proxy_delay`, '0']),
  );
}

function run(argv: readonly string[], stdin: string): BuildStep {
  return { kind: 'run', argv, stdin };
}

function tool(family: 4 | 6, backend: Backend, what: 'save' | 'restore'): string {
  return `${family === 4 ? 'iptables' : 'ip6tables'}-${backend}-${what}`;
}

/** What devices take from `default` must be there before they are. */
function isInherited(key: string): boolean {
  return key.includes('.conf.default.');
}

function split(lines: string): [string, string] {
  const all = lines.split('\n').filter((line) => line !== '');
  const isMaking = (line: string) => line.startsWith('link add ');
  const text = (some: string[]) => some.map((line) => `${line}\n`).join('');
  return [text(all.filter(isMaking)), text(all.filter((line) => !isMaking(line)))];
}

/** Read rule counters, connections and forwarding tables. */
export async function readHost(agent: Agent, plan: Plan, backend: Backend): Promise<Reading> {
  const families = ([4, 6] as const).filter((f) => plan.tables.some((t) => t.family === f));
  const hasBridge = plan.interfaces.some((i) => i.kind === 'bridge');
  const answers = await agent.run([
    ...families.map((family) => [tool(family, backend, 'save'), '-c']),
    ['conntrack', '-L', '-o', 'extended', '-f', 'ipv4'],
    ['conntrack', '-L', '-o', 'extended', '-f', 'ipv6'],
    ...(hasBridge ? [['bridge', 'fdb', 'show', 'dynamic']] : []),
    ...(plan.nft === undefined ? [] : [['nft', 'list', 'ruleset']]),
  ]);
  const texts = answers.map(succeeded);
  const nft = plan.nft === undefined ? [] : readNftCounters(texts.pop() ?? '');
  const saved = texts.splice(0, families.length);
  const [list4 = '', list6 = '', fdb = ''] = texts;
  return {
    counters: new Map([
      ...families.flatMap((family, i) => readCounters(saved[i] ?? '', family)),
      ...nft,
    ]),
    connections: [...readConnections(list4), ...readConnections(list6)],
    learned: readFdb(fdb),
  };
}

function succeeded({ rc, out, err }: Ran): string {
  if (rc !== 0) throw new Error(err);
  return out;
}

/** `4 filter/FORWARD rule 1` → `PACKETS:BYTES`. */
function readCounters(text: string, family: 4 | 6): [string, string][] {
  const found: [string, string][] = [];
  const lengths = new Map<string, number>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const rule = /^\[(\d+:\d+)\] -A (\S+)/.exec(line);
    if (rule === null) continue;
    const chain = `${family} ${table}/${rule[2]}`;
    const index = (lengths.get(chain) ?? 0) + 1;
    lengths.set(chain, index);
    found.push([`${chain} rule ${index}`, rule[1] ?? '']);
  }
  return found;
}

/**
 * `inet fw/forward rule 1` → `PACKETS:BYTES`, for rules with a counter, and named counters. What
 * iptables-nft made is passed over. Read by lines: nft lists some rules as it would not read them.
 */
function readNftCounters(text: string): [string, string][] {
  const found: [string, string][] = [];
  let [table, block, index] = ['', '', 0];
  for (const line of text.split('\n')) {
    const counts = /(?:^|counter )\s*packets (\d+) bytes (\d+)/.exec(line);
    const said = counts === null ? null : `${counts[1]}:${counts[2]}`;
    const opened = /^\t(chain|counter|\w+) (\S+) \{$/.exec(line);
    if (line.startsWith('table ')) table = line.slice('table '.length, -' {'.length);
    else if (opened !== null) [block, index] = [`${opened[1]} ${opened[2]}`, 0];
    else if (line.startsWith('\t\t') && !/^\t\t(type .* hook |comment )/.test(line)) {
      index += 1;
      const [kind, name] = block.split(' ');
      if (said === null || /^ip6? (filter|nat|mangle|raw|security)$/.test(table)) continue;
      if (kind === 'chain') found.push([`${table}/${name} rule ${index}`, said]);
      if (kind === 'counter') found.push([`${table} counter ${name}`, said]);
    }
  }
  return found;
}

/** `conntrack -L -o extended`: both tuples, the state's words, seconds. */
export function readConnections(text: string): Connection[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, , , protocol, seconds] = line.split(/\s+/);
      const words = line.split(/\s+/).slice(5);
      const values = words.filter((word) =>
        /^(src|dst|sport|dport|type|code|id|srckey|dstkey)=/.test(word),
      );
      const second = values.findIndex((word, i) => i > 0 && word.startsWith('src='));
      const state = /^[A-Z_0-9]+$/.test(words[0] ?? '') ? words[0] : '';
      const flags = ['UNREPLIED', 'ASSURED'].filter((flag) => line.includes(`[${flag}]`));
      return {
        protocol: Number(protocol),
        original: values.slice(0, second).join(' '),
        reply: values.slice(second).join(' '),
        status: [state, ...flags].filter((word) => word !== '').join(' '),
        seconds: Number(seconds),
      };
    });
}

/** `MAC PORT` of every entry that a bridge learned. */
function readFdb(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => !line.includes(' static'))
    .map((line) => /^(\S+) dev (\S+) .*\bmaster\b/.exec(line))
    .flatMap((m) => (m === null ? [] : [`${m[1]} ${m[2]}`]))
    .toSorted();
}
