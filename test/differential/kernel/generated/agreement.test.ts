/**
 * Generated plans and packets on both sides: the engine and the running kernel must agree on every frame
 * that comes out, every rule counter and every connection, and the run must have reached everything.
 *
 * `GENERATED_PACKETS=n GENERATED_SEED=n` make other runs. A difference is made small and printed. Needs
 * root. Takes minutes: that is what it is for.
 */
import t from 'tap';
import { Agent } from '../harness/agent.ts';
import { campaign } from '../harness/campaign.ts';
import { kernelMissing } from '../harness/laboratory.ts';

const PACKETS = Number(process.env['GENERATED_PACKETS'] ?? 100_000);
const SEED = Number(process.env['GENERATED_SEED'] ?? 1);
const FRAMES = 220;
const LEAST_PLANS = 500;
/** Below this a run is a look at one seed. */
const WHOLE_RUN = 50_000;

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
  const agent = new Agent();
  t.teardown(() => agent.close());
  const plans = PACKETS >= WHOLE_RUN ? LEAST_PLANS : 1;
  const size = { seed: SEED, plans, packets: PACKETS, frames: FRAMES, patience: 3 };
  const found = await campaign(agent, size);
  for (const text of found.differences) t.fail(`a difference\n${text}`);
  const { packets, lost, seconds } = found;
  t.comment(`${packets} packets in ${found.plans} plans, ${Math.round(seconds)} s`);
  t.comment(`${lost} plans more: the kernel drew a port that nothing showed afterwards`);
  for (const line of found.reach.print()) t.comment(line);
  for (const line of NOT_COMPARED) t.comment(`not compared: ${line}`);
  if (PACKETS < WHOLE_RUN) return;
  t.same(found.differences, [], 'no difference');
  t.same(found.reach.missing(), [], 'everything was reached');
  t.ok(lost < found.plans / 5, 'most plans could be compared');
});
