/**
 * Rulesets of nft against the real kernel: drawn ones, with drawn packets through a router; every
 * frame that comes out, every rule's counter and every connection must be equal.
 *
 * A difference is made small before it is shown. `NFT_SEED=n NFT_SETS=1` repeats one ruleset. Needs
 * root.
 */
import t from 'tap';
import { UserError } from '../../../src/diagnostic/diagnostic.ts';
import type { NftRuleset } from '../../../src/netfilter/nft/ruleset.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { parseNft } from '../../../src/plan/nft/parse/ruleset-parser.ts';
import { printNft } from '../../../src/plan/nft/text/ruleset-text.ts';
import { address } from '../../support/packets.ts';
import { Agent } from './harness/agent.ts';
import { askEngine, type EngineRun } from './harness/ask-engine.ts';
import { compare } from './harness/compare.ts';
import { drawTrial } from './harness/draw/trial.ts';
import { kernelMissing } from './harness/laboratory.ts';
import type { Shot, Trial } from './harness/trial.ts';
import { drawShots, type NftWorld, RulesetDraw } from './nft-space.ts';
import { Draw } from './rule-space.ts';
import { bareRouter } from './stateful-lab.ts';

const SETS = Number(process.env['NFT_SETS'] ?? 80);
const FIRST_SEED = Number(process.env['NFT_SEED'] ?? 1);
const PACKETS = 100;

/** The second server of IPv6. */
const SECOND: Plan['neighbors'][number] = {
  address: address('2001:db8:2::3'),
  device: 'eth1',
  mac: '02:00:00:00:00:bb',
  state: 'permanent',
};

function trialOf(nft: NftRuleset, shots: readonly Shot[]): Trial {
  const bare = bareRouter();
  const neighbors = [...bare.neighbors, SECOND];
  const plan: Plan = { ...bare, neighbors, nft };
  return { name: 'nft', backend: 'nft', plan, shots };
}

/** Null when our lowering refuses the ruleset. */
function engineRun(trial: Trial): EngineRun | null {
  try {
    return askEngine(trial);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return null;
  }
}

/** The first difference, said; null when there is none or a draw was not to be seen. */
async function differs(agent: Agent, trial: Trial): Promise<string | null> {
  const { outcome } = await compare(agent, trial, askEngine(trial));
  if (outcome.kind !== 'different') return null;
  return `${outcome.difference.kind}: ${outcome.difference.lines.join('\n  ')}`;
}

/** As few packets and rules as still differ. */
async function shrink(agent: Agent, trial: Trial): Promise<string> {
  let { shots } = trial;
  let nft: NftRuleset = trial.plan.nft ?? { tables: [] };
  for (let size = shots.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < shots.length; ) {
      const fewer = [...shots.slice(0, at), ...shots.slice(at + size)];
      if (fewer.length > 0 && (await differs(agent, trialOf(nft, fewer))) !== null) shots = fewer;
      else at += size;
    }
  }
  for (const [t, table] of nft.tables.entries()) {
    for (const [c, chain] of table.chains.entries()) {
      for (let r = chain.rules.length - 1; r >= 0; r--) {
        // What keeps the laboratory silent does not count, and stays.
        if (chain.rules[r]?.statements.every(({ kind }) => kind !== 'counter')) continue;
        const without = withoutRule(nft, t, c, r);
        if ((await differs(agent, trialOf(without, shots))) !== null) nft = without;
      }
    }
  }
  const found = await differs(agent, trialOf(nft, shots));
  const frames = shots.map((shot) =>
    shot.kind === 'frame' ? `${shot.device} ${Buffer.from(shot.frame).toString('hex')}` : '',
  );
  return [found, printNft({ nft }), ...frames].join('\n');
}

function withoutRule(nft: NftRuleset, table: number, chain: number, rule: number): NftRuleset {
  const tables = nft.tables.map((old, t) => {
    if (t !== table) return old;
    const chains = old.chains.map((one, c) =>
      c === chain ? { ...one, rules: one.rules.filter((_, r) => r !== rule) } : one,
    );
    return { ...old, chains };
  });
  return { ...nft, tables };
}

const skip = kernelMissing(['nft', 'conntrack']) ?? false;

t.test('drawn rulesets count, decide and translate as the kernel does', { skip }, async (t) => {
  t.setTimeout(1_200_000);
  const agent = new Agent();
  t.teardown(() => agent.close());
  let hit = 0;
  let refused = 0;
  let rules = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SETS; seed++) {
    const draw = new Draw(seed);
    const { text, tracked } = new RulesetDraw(draw).draw();
    const nft = parseNft(text, `seed ${seed}`);
    const trial = trialOf(nft, drawShots(draw, tracked, PACKETS));
    const run = engineRun(trial);
    if (run === null) {
      await agent.build([]);
      const [ran] = await agent.run([['nft', '-f', '-']], printNft({ nft }));
      refused += 1;
      if (ran?.rc === 0) t.fail(`seed ${seed}: refused here, and nft takes it\n${text}`);
      continue;
    }
    const { outcome } = await compare(agent, trial, run);
    const counts = [...run.answer().reading.counters.values()];
    rules += counts.length;
    hit += counts.filter((count) => !count.startsWith('0:')).length;
    // A busy machine may lose a frame; what differs twice differs.
    if (outcome.kind === 'different' && (await differs(agent, trial)) !== null) {
      t.fail(`seed ${seed}: ${outcome.difference.kind}`);
      console.error(await shrink(agent, trial));
      return;
    }
  }
  t.comment(`${SETS} rulesets, ${hit} of ${rules} rules hit; ${refused} that both sides refuse`);
  t.ok(refused < SETS / 3, `rulesets were taken: all but ${refused} of ${SETS}`);
  if (SETS > 10) t.ok(hit > rules / 3, `rules were hit: ${hit} of ${rules}`);
});

/** Addresses of the drawn hosts (harness/draw/places.ts). */
const PLACES: Omit<NftWorld, 'devices'> = {
  near: { ip: ['10.1.0.10', '10.1.0.11'], ip6: ['fd00:b::10', 'fd00:b::11'] },
  far: { ip: ['203.0.113.9', '198.51.100.7'], ip6: ['2001:db8:f::9', '2001:db8:f::7'] },
  own: { ip: ['10.1.0.1', '192.168.0.1'], ip6: ['fd00:b::1', 'fd00:a::1'] },
  nets: { ip: ['10.0.0.0/8', '192.168.0.0/24'], ip6: ['fd00::/16', 'fd00:b::/64'] },
  translates: false,
};

const SHAPES = ['router', 'routed', 'bridged'] as const;
const HOSTS = Number(process.env['NFT_HOSTS'] ?? 30);

t.test('among the tables of iptables, on bridges too', { skip }, async (t) => {
  t.setTimeout(1_200_000);
  const agent = new Agent();
  t.teardown(() => agent.close());
  let hit = 0;
  let asked = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + HOSTS; seed++) {
    const shape = SHAPES[seed % SHAPES.length] ?? 'router';
    const { trial: drawn } = drawTrial(shape, seed, PACKETS);
    const names = drawn.plan.interfaces.map(({ name }) => name).filter((name) => name !== 'lo');
    const devices = [names[0] ?? 'lo', names.at(-1) ?? 'lo'] as const;
    const { text } = new RulesetDraw(new Draw(seed), { ...PLACES, devices }).draw();
    const nft = parseNft(text, `seed ${seed}`);
    const trial: Trial = { ...drawn, plan: { ...drawn.plan, nft } };
    const run = engineRun(trial);
    if (run === null) continue;
    const { outcome } = await compare(agent, trial, run);
    asked += 1;
    const own = [...run.answer().reading.counters].filter(([name]) =>
      /^(ip|ip6|inet) t/.test(name),
    );
    hit += own.filter(([, count]) => !count.startsWith('0:')).length;
    if (outcome.kind !== 'different' || (await differs(agent, trial)) === null) continue;
    t.fail(`${shape}, seed ${seed}: ${outcome.difference.lines.slice(0, 4).join('; ')}`);
  }
  t.ok(asked > HOSTS / 2, `${asked} of ${HOSTS} hosts, ${hit} rules of nft hit`);
});
