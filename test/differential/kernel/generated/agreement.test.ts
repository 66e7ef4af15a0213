/**
 * Generated plans and packets on both sides: the engine and the running kernel must agree on every frame
 * that comes out, every rule counter, every connection and what bridges learnt, and the run must have
 * reached everything.
 *
 * `GENERATED_PACKETS=n GENERATED_SEED=n` make other runs, `GENERATED_TRIAL='bridged 58'` repeats one
 * trial, `GENERATED_SHAPES=router,bridged` draws only those hosts. Differences are made small and
 * printed; after three a run ends (`GENERATED_PATIENCE`; `GENERATED_SHRUNK` is how many are made small).
 * `GENERATED_DIFFERENCES=FILE` appends them there. Needs root. Takes minutes: that is what it is for.
 */
import { appendFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Agent } from '../harness/agent.ts';
import { type Campaign, type CampaignOptions, campaign } from '../harness/campaign.ts';
import { SHAPES } from '../harness/draw/trial.ts';
import { kernelMissing } from '../harness/laboratory.ts';
import { lackingParts } from '../harness/lacks.ts';
import { Reach } from '../harness/reach.ts';

const PACKETS = Number(process.env['GENERATED_PACKETS'] ?? 100_000);
const SEED = Number(process.env['GENERATED_SEED'] ?? 1);
const PATIENCE = Number(process.env['GENERATED_PATIENCE'] ?? 3);
const SHRUNK = Number(process.env['GENERATED_SHRUNK'] ?? 3);
const TRIAL = /^(\S+) (\d+)$/.exec(process.env['GENERATED_TRIAL'] ?? '');
const ONLY = process.env['GENERATED_SHAPES']?.split(',');
const FRAMES = 220;
const LEAST_PLANS = 500;
/** Below this a run is a look at one seed. */
const WHOLE_RUN = 50_000;
/** Laboratories that work at the same time. */
const LANES = 2;
/** Those of trials in which time passes: they mostly wait. */
const PATIENT_LANES = 3;

/** Not drawn, and why; most have kernel tests of their own. */
const NOT_DRAWN = [
  'nft back end: fragments and cut transport headers, which native matches pass by (draw/whole.ts)',
  'owner, socket, cgroup: no packet shows whose it is',
  'statistic random: what the kernel drew is not to be seen (rendered Services: kube-proxy.test.ts)',
  'connlimit: it sweeps once a jiffy (stateful.test.ts)',
  'CT templates and zones (stateful.test.ts)',
  'IPv4 timestamps: what a host writes there is its clock',
  'more than five answers of ip_error to one source: a limit that only the first namespace can lift',
];

const isWhole = TRIAL === null && ONLY === undefined && PACKETS >= WHOLE_RUN;
const AGING: CampaignOptions = {
  seed: SEED,
  plans: 60,
  packets: 0,
  frames: FRAMES,
  patience: PATIENCE,
  shrunk: 1,
  shapes: ['aging'],
};

const tools = ['iptables-legacy', 'iptables-nft', 'ebtables', 'ipset', 'conntrack', 'bridge'];
const skip = kernelMissing(tools) ?? false;

t.setTimeout(3_600_000);

t.test('the kernel and the engine agree on generated plans and packets', { skip }, async (t) => {
  t.setTimeout(3_600_000);
  const make = (count: number) => Array.from({ length: count }, (_, lane) => new Agent(lane));
  const agents = make(LANES);
  const patient = isWhole ? make(PATIENT_LANES) : [];
  t.teardown(() => {
    for (const agent of [...agents, ...patient]) agent.close();
  });
  const [first] = agents;
  const lacking = first === undefined ? [] : await lackingParts(first);
  const [found, aged] = await Promise.all([
    campaign(agents, size()),
    ...(isWhole ? [campaign(patient, AGING)] : []),
  ]);
  const runs = [found, ...(aged === undefined ? [] : [aged])];
  const reach = new Reach();
  for (const run of runs) {
    reach.join(run.reach);
    for (const text of run.differences) report(t, text);
    for (const text of run.unrepeated) t.comment(`differed once, not again: ${text}`);
  }
  const plans = sum(runs, (run) => run.plans);
  const lost = sum(runs, (run) => run.lost);
  const seconds = Math.round(Math.max(...runs.map((run) => run.seconds)));
  t.comment(`${sum(runs, (run) => run.packets)} packets in ${plans} plans, ${seconds} s`);
  t.comment(`${lost} plans more: they differ, and a choice of the kernel's was nowhere to be seen`);
  for (const line of reach.print()) t.comment(line);
  for (const line of NOT_DRAWN) t.comment(`not drawn: ${line}`);
  for (const part of lacking) t.comment(`this kernel lacks: ${part}`);
  if (!isWhole) return;
  t.same(reach.missing(), [], 'everything was reached');
  t.ok(lost < plans / 20, 'nearly all plans could be compared');
  const unrepeated = sum(runs, (run) => run.unrepeated.length);
  t.ok(unrepeated <= plans / 50, `${unrepeated} differences did not come again`);
});

function sum(runs: readonly Campaign[], of: (run: Campaign) => number): number {
  return runs.reduce((total, run) => total + of(run), 0);
}

function size(): CampaignOptions {
  const base = { frames: FRAMES, patience: PATIENCE, shrunk: SHRUNK };
  const one = SHAPES.find((shape) => shape === TRIAL?.[1]);
  if (one !== undefined) {
    return { ...base, seed: Number(TRIAL?.[2]), plans: 1, packets: 1, shapes: [one] };
  }
  const plans = PACKETS >= WHOLE_RUN ? LEAST_PLANS : 1;
  const shapes = SHAPES.filter((shape) => ONLY?.includes(shape) ?? shape !== 'aging');
  return { ...base, seed: SEED, plans, packets: PACKETS, shapes };
}

function report(t: Test, text: string): void {
  const again = /^== (\S+ \d+)/.exec(text)?.[1];
  const said = `a difference (GENERATED_TRIAL='${again}')\n${text}`;
  const file = process.env['GENERATED_DIFFERENCES'];
  if (file !== undefined) appendFileSync(file, `${said}\n\n`);
  t.fail(said);
}
