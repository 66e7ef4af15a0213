/**
 * Real hosts' rule sets in the running kernel, each loaded from its very dump, against our engine with
 * what we read of it: packets made for the rules go through both, and every frame, every rule's
 * counter and every connection must be equal. Needs root; `DUMP_PACKETS` sets how many a rule set,
 * `DUMP_SEED` which, `DUMP_ONLY` picks rule sets by name.
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { UserError } from '../../../src/diagnostic/diagnostic.ts';
import type { MatchKind } from '../../../src/netfilter/match.ts';
import type { Table } from '../../../src/netfilter/rule.ts';
import type { Target } from '../../../src/netfilter/target.ts';
import { parseIpsets } from '../../../src/plan/ipset/text.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { parseIptables, printIptables } from '../../../src/plan/rule/iptables-text.ts';
import type { Family } from '../../../src/wire/address/address.ts';
import { sharedPath } from '../../support/shared.ts';
import { DumpEngine, type SentFrame } from './dump-engine.ts';
import { dumpHost, macOf, rulesOf } from './dump-host.ts';
import { DumpTraffic } from './dump-traffic.ts';
import { Agent } from './harness/agent.ts';
import { comparable } from './harness/comparable.ts';
import { difference } from './harness/difference.ts';
import { buildSteps, portsOf, readConnections, readHost } from './harness/kernel-host.ts';
import { kernelMissing } from './harness/laboratory.ts';
import type { Answer, Backend } from './harness/trial.ts';
import { Draw } from './rule-space.ts';

const clusters = sharedPath('data/clusters');
const suite = sharedPath('suites/iptables-semantics/thy');
const missing = kernelMissing(['iptables-restore', 'ip6tables-restore', 'ipset', 'conntrack']);
const skip = missing ?? (clusters === null || suite === null ? 'needs ../shared' : false);

const PACKETS = Number(process.env['DUMP_PACKETS'] ?? 240);
const SEED = Number(process.env['DUMP_SEED'] ?? 1);
const ONLY = process.env['DUMP_ONLY'] ?? '';
/** Packets at a time: few, so that those that come answer what went just before. */
const BURST = 10;

// Half a minute; with many packets an hour.
t.setTimeout(3_600_000);

interface RuleSet {
  readonly name: string;
  readonly path: string;
  readonly family: Family;
}

function filesOf(folder: string): readonly string[] {
  return readdirSync(folder)
    .toSorted()
    .map((name) => join(folder, name))
    .flatMap((path) => (statSync(path).isDirectory() ? filesOf(path) : [path]));
}

/** Every file of rules that is a dump, not an account of one. */
function ruleSets(): readonly RuleSet[] {
  const real = filesOf(clusters ?? '').filter((path) => /^ip6?tables-save/.test(basename(path)));
  const suites = filesOf(suite ?? '').filter((path) => {
    return /^\*(filter|nat|mangle|raw)$/m.test(readFileSync(path, 'utf8'));
  });
  return [...real, ...suites].map((path) => ({
    name: `${basename(dirname(path))}/${basename(path)}`,
    path,
    family: basename(path).startsWith('ip6') ? 6 : 4,
  }));
}

/** Sets beside a rule set, or of our own where none were collected: all rules must meet some. */
function setsOf(path: string, tables: readonly Table[]): string {
  const derived = filesOf(dirname(path)).find((name) => basename(name).startsWith('ipset'));
  const given = derived === undefined ? '' : readFileSync(derived, 'utf8');
  const known = new Set([...given.matchAll(/^create (\S+)/gm)].map((m) => m[1]));
  const lines: string[] = [];
  for (const match of rulesOf(tables).flatMap((rule) => rule.matches)) {
    if (match.kind !== 'set' || known.has(match.set)) continue;
    known.add(match.set);
    const isPort = match.directions.length > 1;
    lines.push(`create ${match.set} ${isPort ? 'hash:ip,port' : 'hash:net'}`);
    for (const i of [0, 1, 3]) {
      const host = ((known.size * 3 + i) % 8) + 1;
      lines.push(`add ${match.set} 10.240.0.${host}${isPort ? ',tcp:80' : ''}`);
    }
  }
  return `${given}${lines.map((line) => `${line}\n`).join('')}`;
}

/**
 * What today's tools do not read, said otherwise: addresses that somebody blacked out become those of
 * the laboratory's own senders, and `-d ! NET` becomes `! -d NET`.
 */
function readable(text: string): string {
  let n = 0;
  const whole = text.replaceAll(/XX(:XX){5}/g, () => macOf(n++ % 4));
  return whole.replaceAll(/ (-[sd]|--\w+) ! (\S+)/g, ' ! $1 $2');
}

/** A line that is left out of a trial, and who refuses it. */
interface LeftOut {
  readonly by: 'iptables' | 'us';
  readonly line: string;
  readonly why: string;
}

/** The text without a line, which stays empty so that numbers stay. */
function without(text: string, number: number): { readonly text: string; readonly line: string } {
  const lines = text.split('\n');
  const [line = ''] = lines.splice(number - 1, 1, '');
  return { text: lines.join('\n'), line };
}

/** What we read of a dump, and the lines that we refuse. */
function readByUs({ path, family }: RuleSet, given: string) {
  const leftOut: LeftOut[] = [];
  let text = given;
  for (;;) {
    try {
      return { text, tables: parseIptables(text, path, family), leftOut };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      for (const { line, message, found } of error.diagnostics) {
        if (line === undefined) throw error;
        const cut = without(text, line);
        if (cut.line === '') continue;
        text = cut.text;
        leftOut.push({ by: 'us', line: cut.line, why: `${message}: ${found}` });
      }
    }
  }
}

/** Load a dump with the real tool; lines that it refuses are left out, and said. */
async function load(agent: Agent, set: RuleSet, backend: Backend, given: string) {
  const tool = `${set.family === 4 ? 'iptables' : 'ip6tables'}-${backend}-restore`;
  const leftOut: LeftOut[] = [];
  let text = given;
  for (;;) {
    const [ran] = await agent.run([[tool]], text);
    if (ran?.rc === 0) return { text, leftOut };
    const number = Number(/line:? (\d+)/.exec(ran?.err ?? '')?.[1]);
    const why = (ran?.err ?? '').replace(/\s+/g, ' ').trim();
    if (!(number > 0) || leftOut.length > 150) throw new Error(`${set.name}: ${why}`);
    const cut = without(text, number);
    if (!/^(\[\d+:\d+\] )?-[AI] /.test(cut.line))
      throw new Error(`${set.name}: ${cut.line}: ${why}`);
    leftOut.push({ by: 'iptables', line: cut.line, why });
    text = cut.text;
  }
}

interface Asked {
  readonly answer: Answer;
  readonly sent: readonly SentFrame[];
}

/** Send a few packets at a time: what comes out is what the next ones answer. */
async function ask(agent: Agent, plan: Plan, family: Family, backend: Backend): Promise<Asked> {
  const ports = portsOf(plan);
  const traffic = new DumpTraffic(new Draw(SEED), plan, family);
  // What a packet drew must be seen before its connection can be another.
  const drawsLots = rulesOf(plan.tables).some((r) => r.matches.some((m) => m.kind === 'random'));
  const size = drawsLots ? 1 : BURST;
  const translates = plan.tables.some(({ name }) => name === 'nat');
  const lines: string[] = [];
  const sent: SentFrame[] = [];
  let zero: number | null = null;
  const began = process.hrtime.bigint();
  while (sent.length < PACKETS) {
    const shots = Array.from({ length: size }, () => traffic.next());
    const frames = shots.map(({ device, frame }) => {
      return [ports.indexOf(device), 0, 0, Buffer.from(frame).toString('hex')] as const;
    });
    const burst = await agent.timedBurst(frames);
    zero ??= burst.began;
    const seconds = burst.began - zero;
    const heard = burst.heard.map(([port, , hex]) => {
      return { device: ports[port] ?? '', frame: Uint8Array.from(Buffer.from(hex, 'hex')) };
    });
    traffic.heard(heard);
    lines.push(...heard.flatMap(({ device, frame }) => comparable(device, frame) ?? []));
    const list = translates ? [['conntrack', '-L', '-o', 'extended']] : [];
    const [ran] = await agent.run(list);
    const connections = readConnections(ran?.out ?? '');
    sent.push(...shots.map((shot) => ({ shot, seconds, connections })));
  }
  const reading = await readHost(agent, plan, backend);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  return { answer: { bursts: [lines], reading, seconds }, sent };
}

/** Helpers of UDP that keep what they look after longer: their port, and for how many seconds. */
const PATIENT: Readonly<Record<string, readonly [port: number, seconds: number]>> = {
  sip: [5060, 3600],
  amanda: [10_080, 300],
};

/** Helpers are not emulated; all of their connections but how long they live is compared. */
function withoutHelpers(kernel: Answer, tables: readonly Table[]): Answer {
  const helpers = rulesOf(tables).flatMap(({ target }) => {
    return target.kind === 'ct' && target.helper ? [PATIENT[target.helper]] : [];
  });
  const connections = kernel.reading.connections.map((one) => {
    const [, more = 0] = helpers.find((h) => h && one.original.endsWith(` dport=${h[0]}`)) ?? [];
    const isKept = one.protocol === 17 && one.seconds > more - 60 && more > 0;
    return isKept ? { ...one, seconds: one.seconds - more + 30 } : one;
  });
  return { ...kernel, reading: { ...kernel.reading, connections } };
}

/**
 * Which backend the kernel drew for a packet that was dropped later shows in no connection: without
 * the counters of chains that draw and of those that they lead to.
 */
function withoutChoices(answer: Answer, tables: readonly Table[]): Answer {
  const drawing = tables.flatMap(({ name, family, chains }) =>
    chains
      .filter(({ rules }) => rules.some((r) => r.matches.some(({ kind }) => kind === 'random')))
      .flatMap((chain) => [chain.name, ...chain.rules.flatMap(({ target }) => jumpOf(target))])
      .map((chain) => `${family} ${name}/${chain} `),
  );
  const counters = [...answer.reading.counters].filter(
    ([rule]) => !drawing.some((chain) => rule.startsWith(chain)),
  );
  return { ...answer, reading: { ...answer.reading, counters: new Map(counters) } };
}

function jumpOf(target: Target): readonly string[] {
  return target.kind === 'jump' || target.kind === 'goto' ? [target.chain] : [];
}

/**
 * The lines of a save, tables by name: the kernel lists them as it likes, and the nft variant their
 * chains, too.
 */
function linesOf(text: string, backend: Backend): readonly string[] {
  const lines: { readonly key: string; readonly line: string }[] = [];
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line;
    const chain = /^(:|-A )(\S+)/.exec(line);
    if (chain === null) continue;
    const key = backend === 'legacy' ? table : `${table} ${chain[1]}${chain[2]}`;
    lines.push({ key, line: `${table} ${line.replace(/ \[\d+:\d+\]$/, '')}` });
  }
  const sorted = lines.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return sorted.map(({ line }) => line);
}

/** What `iptables-save` prints now against what we print of the same rules: lines that differ. */
async function compareText(agent: Agent, plan: Plan, { family }: RuleSet, backend: Backend) {
  const tool = `${family === 4 ? 'iptables' : 'ip6tables'}-${backend}-save`;
  const [ran] = await agent.run([[tool]]);
  const theirs = linesOf(ran?.out ?? '', backend);
  const ours = linesOf(printIptables(plan, family, { keepOrder: true }), backend);
  return theirs
    .flatMap((line, i) => (line === ours[i] ? [] : [`${line} / ${ours[i]}`]))
    .slice(0, 9);
}

interface Tried {
  readonly packets: number;
  readonly rules: number;
  /** Rules that some packet met. */
  readonly met: number;
  readonly leftOut: readonly LeftOut[];
  readonly outcome: 'equal' | readonly string[];
  /** Lines that the real tool prints otherwise. */
  readonly printed: readonly string[];
  readonly isTimed: boolean;
}

const TIMED: ReadonlySet<MatchKind> = new Set(['limit', 'hashlimit', 'recent'] as const);

async function tryRuleSet(agent: Agent, set: RuleSet, backend: Backend): Promise<Tried> {
  const ours = readByUs(set, readable(readFileSync(set.path, 'utf8')));
  const sets = setsOf(set.path, ours.tables);
  const ipsets = parseIpsets(sets, 'sets');
  const { bare } = dumpHost(ours.tables, ipsets);
  await agent.build(buildSteps(bare, backend));
  const loaded = await load(agent, set, backend, ours.text);
  const tables = parseIptables(loaded.text, set.path, set.family);
  const plan = { ...bare, tables };
  const printed = await compareText(agent, plan, set, backend);
  const { answer: kernel, sent } = await ask(agent, plan, set.family, backend);
  const met = [...kernel.reading.counters.values()].filter((count) => count !== '0:0').length;
  const said = {
    packets: sent.length,
    rules: rulesOf(tables).length,
    met,
    leftOut: [...ours.leftOut, ...loaded.leftOut],
    printed,
    isTimed: rulesOf(tables).some(({ matches }) => matches.some(({ kind }) => TIMED.has(kind))),
  };
  const engine = new DumpEngine(plan);
  for (const one of sent) engine.take(one);
  const shots = sent.map(({ shot }) => shot);
  const trial = { name: set.name, backend, plan, shots };
  const shown = (answer: Answer) => (engine.hidden === 0 ? answer : withoutChoices(answer, tables));
  const theirs = shown(withoutHelpers(kernel, tables));
  const found = difference(trial, shown(engine.answer(kernel.seconds)), theirs);
  const unknown = [...engine.unknown].map(([reason, n]) => `${n} unknown: ${reason}`);
  if (found === null && unknown.length === 0) return { ...said, outcome: 'equal' };
  return { ...said, outcome: [...(found?.lines ?? []), ...unknown] };
}

/**
 * A rule that asks how much came lately may gain its next packet between two of ours, or one later:
 * what differs each time is a difference.
 */
async function tryTwice(agent: Agent, set: RuleSet, backend: Backend): Promise<Tried> {
  const first = await tryRuleSet(agent, set, backend);
  if (first.outcome === 'equal' || !first.isTimed) return first;
  const again = await tryRuleSet(agent, set, backend);
  return again.outcome === 'equal' ? again : tryRuleSet(agent, set, backend);
}

/** Whether the real tool refuses a line, too. */
async function isRefused(agent: Agent, { family }: RuleSet, line: string): Promise<boolean> {
  const chain = /-[AI] (\S+)/.exec(line)?.[1] ?? '';
  const policy = chain === chain.toUpperCase() ? 'ACCEPT' : '-';
  const tool = family === 4 ? 'iptables-restore' : 'ip6tables-restore';
  const text = `*filter\n:${chain} ${policy} [0:0]\n${line}\nCOMMIT\n`;
  const [ran] = await agent.run([[tool, '--test']], text);
  return ran?.rc !== 0;
}

/** Every rule of all these that is left out of the trials, and what is wrong with it. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'linux.gda.pl/firewallp.txt': ['--days', '--days', '--days', '--days'],
  'data/iptables-save': ['--something-else', '-m icmp6', '-m icmp6'],
};

t.test('real rule sets do in our engine what they do in the kernel', { skip }, async (t: Test) => {
  const agent = new Agent();
  t.teardown(() => agent.close());
  const all = ruleSets().filter(({ name }) => name.includes(ONLY));
  let packets = 0;
  for (const [i, set] of all.entries()) {
    const backend = (i + SEED) % 2 === 0 ? 'legacy' : 'nft';
    const tried = await tryTwice(agent, set, backend);
    packets += tried.packets;
    const { rules, met, leftOut } = tried;
    t.comment(`${set.name} (${backend}): ${tried.packets} packets met ${met} of ${rules} rules`);
    t.strictSame(tried.outcome, 'equal', set.name);
    t.strictSame(tried.printed, [], `${set.name} is printed as iptables-save prints it`);
    for (const { line, why } of leftOut) t.comment(`  left out: ${line} (${why})`);
    const said = REFUSED[set.name] ?? [];
    const known = leftOut.filter(({ line }, n) => line.includes(said[n] ?? ' no such line '));
    t.strictSame([known.length, leftOut.length], [said.length, said.length], 'what is left out');
    for (const { by, line } of leftOut) {
      t.equal(by, 'us', 'we refuse what iptables refuses');
      t.ok(await isRefused(agent, set, line), `iptables refuses it, too: ${line}`);
    }
  }
  t.ok(ONLY !== '' || all.length === 42, `${all.length} rule sets, ${packets} packets`);
});
