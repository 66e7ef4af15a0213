/**
 * Mistakes in chains of nft: names, loops, depth, and statements where the kernel refuses them.
 *
 * Source: net/netfilter/nf_tables_api.c `nft_chain_parse_hook`, `nft_chain_validate` (a jump stack
 * of NFT_JUMP_STACK_SIZE), nft_nat.c `nft_nat_validate`, nft_masq.c, nft_redir.c, nft_reject.c
 * `nft_reject_validate` (Linux 6.18).
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { HOOKS, type Hook } from '../../netfilter/hook.ts';
import type { FibFlag, NftExpression } from '../../netfilter/nft/expression.ts';
import {
  type NftBase,
  type NftChain,
  type NftRule,
  type NftSetReference,
  type NftTable,
  nftTableName,
} from '../../netfilter/nft/ruleset.ts';
import type { NftStatement, NftVerdict } from '../../netfilter/nft/statement.ts';
import { type FaultPlace, type FaultText, fault, repeated } from '../fault.ts';

/** NFT_JUMP_STACK_SIZE (include/net/netfilter/nf_tables.h). */
const JUMP_DEPTH = 16;
/** NFT_NAME_MAXLEN with its closing zero. */
const NAME_LENGTH = 255;
/** Translation needs connections (NF_IP_PRI_CONNTRACK). */
const CONNTRACK_PRIORITY = -200;

const NAT_HOOKS: ReadonlySet<Hook> = new Set(['prerouting', 'input', 'output', 'postrouting']);

/** All mistakes in the chains of a table. */
export function checkChains(host: string, table: NftTable): readonly Diagnostic[] {
  const at = (part: string, rule?: { readonly place?: string }): FaultPlace => ({
    host,
    part: `nft ${nftTableName(table)}${part}`,
    ...(rule === undefined ? {} : { rule }),
  });
  const faults = repeated(table.chains.map(({ name }) => name)).map((name) =>
    fault(at(`/${name}`), { code: 'PLAN_CHAIN_TWICE', message: 'two chains of this name' }),
  );
  const graph = new ChainGraph(table);
  for (const chain of table.chains) {
    for (const text of baseFaults(chain)) faults.push(fault(at(`/${chain.name}`, chain), text));
    for (const [i, rule] of chain.rules.entries()) {
      const place = at(`/${chain.name} rule ${i + 1}`, rule);
      for (const verdict of graph.verdictsOf(rule)) {
        const text = graph.targetFault(verdict);
        if (text !== null) faults.push(fault(place, text));
      }
      const bases = graph.basesOf(chain);
      for (const text of [...siteFaults(rule, bases), ...fibFaults(rule, bases)]) {
        faults.push(fault(place, text));
      }
    }
  }
  const loop = graph.loop();
  if (loop !== null) {
    const message = 'chains that lead back to themselves';
    faults.push(fault(at(`/${loop[0]}`), { code: 'PLAN_LOOP', message, found: loop.join(' > ') }));
  } else if (graph.depth() > JUMP_DEPTH) {
    const message = `chains that jump deeper than ${JUMP_DEPTH} times`;
    faults.push(fault(at(''), { code: 'PLAN_NFT_DEPTH', message, found: String(graph.depth()) }));
  }
  return faults;
}

function baseFaults({ name, base }: NftChain): readonly FaultText[] {
  const faults: FaultText[] = [];
  if (name.length === 0 || name.length > NAME_LENGTH) {
    const message = `a chain's name has 1 to ${NAME_LENGTH} characters`;
    faults.push({ code: 'PLAN_CHAIN_NAME', message, found: name });
  }
  if (base === undefined) return faults;
  const { type, hook, priority } = base;
  const code = 'PLAN_NFT_HOOK';
  if (type === 'nat' && !NAT_HOOKS.has(hook)) {
    faults.push({ code, message: 'chains of type nat do not hang there', found: hook });
  }
  if (type === 'route' && hook !== 'output') {
    const message = 'chains of type route hang on output alone';
    faults.push({ code, message, found: hook, accepted: 'output' });
  }
  if (type === 'nat' && priority <= CONNTRACK_PRIORITY) {
    const message = 'translation comes behind connection tracking';
    const accepted = `more than ${CONNTRACK_PRIORITY}`;
    faults.push({ code, message, found: String(priority), accepted });
  }
  return faults;
}

/** Statements that the kernel takes in chains of some types and hooks only. */
function siteFaults(rule: NftRule, bases: readonly NftBase[]): readonly FaultText[] {
  return rule.statements.flatMap((statement) => {
    const site = SITES[statement.kind];
    if (site === undefined) return [];
    const wrong = bases.find(
      ({ type, hook }) => (site.type !== null && type !== site.type) || !site.hooks.includes(hook),
    );
    if (wrong === undefined) return [];
    const accepted = `${site.type ?? 'any'} at ${site.hooks.join(', ')}`;
    const message = `${statement.kind} can not stand in a chain that is reached from there`;
    const found = `${wrong.type} at ${wrong.hook}`;
    return [{ code: 'PLAN_NFT_PLACE', message, found, accepted }];
  });
}

const SITES: Partial<
  Readonly<
    Record<
      NftStatement['kind'],
      { readonly type: NftBase['type'] | null; readonly hooks: readonly Hook[] }
    >
  >
> = {
  snat: { type: 'nat', hooks: ['postrouting', 'input'] },
  dnat: { type: 'nat', hooks: ['prerouting', 'output'] },
  masquerade: { type: 'nat', hooks: ['postrouting'] },
  redirect: { type: 'nat', hooks: ['prerouting', 'output'] },
  // The kernel takes it at prerouting too, where it answers before the packet is routed.
  reject: { type: null, hooks: ['input', 'forward', 'output'] },
};

/** Where routes can be asked for: before, or with, the device that the question names. */
function fibFaults(rule: NftRule, bases: readonly NftBase[]): readonly FaultText[] {
  return rule.statements.flatMap(fibsOf).flatMap(({ flags, result }) => {
    const hooks = fibHooks(flags, result);
    const wrong = bases.find(({ hook }) => !hooks.includes(hook));
    if (wrong === undefined) return [];
    const message = 'routes can not be asked for in a chain that is reached from there';
    const accepted = hooks.join(', ');
    return [{ code: 'PLAN_NFT_PLACE', message, found: wrong.hook, accepted }];
  });
}

/** `nft_fib_validate` (net/netfilter/nft_fib.c). */
function fibHooks(flags: readonly FibFlag[], result: FibExpression['result']): readonly Hook[] {
  const arriving: readonly Hook[] = ['prerouting', 'input', 'forward'];
  if (flags.includes('iif')) return arriving;
  if (result !== 'type') return ['prerouting'];
  return flags.includes('oif') ? ['forward', 'output', 'postrouting'] : HOOKS;
}

type FibExpression = Extract<NftExpression, { kind: 'fib' }>;

function fibsOf(statement: NftStatement): readonly FibExpression[] {
  const asked =
    statement.kind === 'match' ? statement.left : statement.kind === 'vmap' ? statement.key : null;
  const parts = asked?.kind === 'concat' ? asked.parts : asked === null ? [] : [asked];
  return parts.flatMap((part) => (part.kind === 'fib' ? [part] : []));
}

/** Who leads where in one table. */
class ChainGraph {
  readonly #table: NftTable;
  readonly #chains: ReadonlyMap<string, NftChain>;
  readonly #leads: ReadonlyMap<string, readonly { chain: string; jumps: boolean }[]>;
  readonly #bases = new Map<string, NftBase[]>();

  constructor(table: NftTable) {
    this.#table = table;
    this.#chains = new Map(table.chains.map((chain) => [chain.name, chain]));
    this.#leads = new Map(table.chains.map((chain) => [chain.name, this.#leadsOf(chain)]));
    for (const { name, base } of table.chains) if (base !== undefined) this.#reach(name, base);
  }

  /** Every verdict that a rule may come to, those of its maps too. */
  verdictsOf(rule: NftRule): readonly NftVerdict[] {
    return rule.statements.flatMap((statement): readonly NftVerdict[] => {
      if (statement.kind === 'verdict') return [statement.verdict];
      return statement.kind === 'vmap' ? this.#mapped(statement.map) : [];
    });
  }

  targetFault(verdict: NftVerdict): FaultText | null {
    if (!('chain' in verdict)) return null;
    const chain = this.#chains.get(verdict.chain);
    if (chain === undefined) {
      return { code: 'PLAN_CHAIN_MISSING', message: 'no chain of this name', found: verdict.chain };
    }
    if (chain.base === undefined) return null;
    const message = 'no rule leads to a chain that hangs on a hook';
    return { code: 'PLAN_NFT_BASE', message, found: verdict.chain };
  }

  /** The base chains from which a chain is reached. */
  basesOf({ name }: NftChain): readonly NftBase[] {
    return this.#bases.get(name) ?? [];
  }

  /** Names of a loop, the first again at the end; null when there is none. */
  loop(): readonly string[] | null {
    const done = new Set<string>();
    const visit = (name: string, trail: readonly string[]): readonly string[] | null => {
      if (trail.includes(name)) return [...trail.slice(trail.indexOf(name)), name];
      if (done.has(name)) return null;
      for (const { chain } of this.#leads.get(name) ?? []) {
        const found = visit(chain, [...trail, name]);
        if (found !== null) return found;
      }
      done.add(name);
      return null;
    };
    for (const name of this.#chains.keys()) {
      const found = visit(name, []);
      if (found !== null) return found;
    }
    return null;
  }

  /** The deepest stack of jumps. Precondition: no loop. */
  depth(): number {
    const known = new Map<string, number>();
    const measure = (name: string): number => {
      const found = known.get(name);
      if (found !== undefined) return found;
      const depths = (this.#leads.get(name) ?? []).map(({ chain, jumps }) => {
        return measure(chain) + (jumps ? 1 : 0);
      });
      const depth = Math.max(0, ...depths);
      known.set(name, depth);
      return depth;
    };
    return Math.max(0, ...[...this.#chains.keys()].map(measure));
  }

  #reach(name: string, base: NftBase): void {
    const bases = this.#bases.get(name) ?? [];
    if (bases.includes(base)) return;
    this.#bases.set(name, [...bases, base]);
    for (const { chain } of this.#leads.get(name) ?? []) this.#reach(chain, base);
  }

  #leadsOf({ rules }: NftChain): readonly { chain: string; jumps: boolean }[] {
    const leads = new Map<string, boolean>();
    for (const verdict of rules.flatMap((rule) => this.verdictsOf(rule))) {
      if (!('chain' in verdict)) continue;
      leads.set(verdict.chain, (leads.get(verdict.chain) ?? false) || verdict.kind === 'jump');
    }
    return [...leads].map(([chain, jumps]) => ({ chain, jumps }));
  }

  #mapped(reference: NftSetReference): readonly NftVerdict[] {
    const set =
      reference.kind === 'anonymous'
        ? reference.set
        : this.#table.sets.find(({ name }) => name === reference.name);
    return (set?.elements ?? []).flatMap(({ verdict }) => (verdict === undefined ? [] : [verdict]));
  }
}
