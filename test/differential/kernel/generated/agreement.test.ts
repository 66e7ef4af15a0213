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

/** What this kernel has not, and what an engine gives no verdict on: nothing of it is drawn. */
const NOT_COMPARED = [
  'ebtables broute and legacy ebtables (not in this kernel)',
  'IPVS (not in this kernel)',
  'matches that a packet can not answer: owner, hashlimit, connlimit, statistic random',
  'targets SET (add, del), CT zones, LOG (says nothing outside of the first namespace)',
  'IPv4 options; IPv6 extension headers other than fragments that are longer than the packet',
  'IPv6 fragments shorter than a transport header, and below the least MTU on bridges',
];

const tools = ['iptables-legacy', 'ip6tables-legacy', 'ipset', 'conntrack', 'bridge', 'python3'];
const skip = kernelMissing(tools) ?? false;

t.setTimeout(3_600_000);

t.test('the kernel and the engine agree on generated plans and packets', { skip }, async (t) => {
  t.setTimeout(3_600_000);
  const agents = Array.from({ length: LANES }, (_, lane) => new Agent(lane));
  t.teardown(() => {
    for (const agent of agents) agent.close();
  });
  const found = await campaign(agents, size());
  for (const text of found.differences) report(t, text);
  const { packets, lost, seconds } = found;
  t.comment(`${packets} packets in ${found.plans} plans, ${Math.round(seconds)} s`);
  t.comment(`${lost} plans more: the kernel drew a port that nothing showed afterwards`);
  for (const line of found.reach.print()) t.comment(line);
  for (const line of NOT_COMPARED) t.comment(`not compared: ${line}`);
  if (TRIAL !== null || ONLY !== undefined || PACKETS < WHOLE_RUN) return;
  checkWhole(t, found);
});

function size(): CampaignOptions {
  const base = { frames: FRAMES, patience: PATIENCE, shrunk: SHRUNK };
  const one = SHAPES.find((shape) => shape === TRIAL?.[1]);
  if (one !== undefined) {
    return { ...base, seed: Number(TRIAL?.[2]), plans: 1, packets: 1, shapes: [one] };
  }
  const plans = PACKETS >= WHOLE_RUN ? LEAST_PLANS : 1;
  const shapes = SHAPES.filter((shape) => ONLY?.includes(shape) ?? true);
  return { ...base, seed: SEED, plans, packets: PACKETS, shapes };
}

function report(t: Test, text: string): void {
  const again = /^== (\S+ \d+)/.exec(text)?.[1];
  const said = `a difference (GENERATED_TRIAL='${again}')\n${text}`;
  const file = process.env['GENERATED_DIFFERENCES'];
  if (file !== undefined) appendFileSync(file, `${said}\n\n`);
  t.fail(said);
}

function checkWhole(t: Test, found: Campaign): void {
  t.same(found.differences, [], 'no difference');
  t.same(found.reach.missing(), [], 'everything was reached');
  t.ok(found.lost < found.plans / 5, 'most plans could be compared');
}
