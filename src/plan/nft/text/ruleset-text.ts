/**
 * A ruleset as `nft list ruleset` prints it; `nft -f` reads it back.
 *
 * Source: nftables 1.0.6 src/rule.c `table_print`, `chain_print_declaration`, `set_print`.
 * @module
 */
import type { Hook } from '../../../netfilter/hook.ts';
import type { NftTypeName } from '../../../netfilter/nft/datatype.ts';
import type {
  NftBase,
  NftChain,
  NftObject,
  NftRuleset,
  NftSet,
  NftTable,
} from '../../../netfilter/nft/ruleset.ts';
import { formatDuration } from '../symbol.ts';
import { elementText, expressionText } from './expression-text.ts';
import { limitText, quotaText, stateText } from './state-text.ts';
import { ruleText, type TableWords } from './statement-text.ts';

/** All tables, in order; empty text for no tables. */
export function printNft({ nft }: { readonly nft?: NftRuleset }): string {
  return (nft?.tables ?? []).map(tableText).join('');
}

/** What printing the rules of a table needs. */
export function wordsOf({ family, sets }: NftTable): TableWords {
  const byName = new Map(sets.map((set) => [set.name, set]));
  return { family, sets: (name) => byName.get(name) };
}

function tableText(table: NftTable): string {
  const words = wordsOf(table);
  const head = [
    ...(table.comment === undefined ? [] : [`\tcomment "${table.comment}"\n`]),
    ...(table.dormant ? ['\tflags dormant\n'] : []),
  ].join('');
  const blocks = [
    ...table.objects.map(objectText),
    ...table.sets.map((set) => setText(set, words)),
    ...table.chains.map((chain) => chainText(chain, words)),
  ];
  return `table ${table.family} ${table.name} {\n${head}${blocks.join('\n')}}\n`;
}

function objectText(object: NftObject): string {
  const comment = object.comment === undefined ? '' : `\t\tcomment "${object.comment}"\n`;
  return `\t${object.kind} ${object.name} {\n${comment}\t\t${contentText(object)}\n\t}\n`;
}

function contentText(object: NftObject): string {
  switch (object.kind) {
    case 'counter':
      return `packets ${object.counter.packets} bytes ${object.counter.bytes}`;
    case 'limit':
      return limitText(object.limit);
    case 'quota':
      return quotaText(object.quota);
  }
}

function setText(set: NftSet, words: TableWords): string {
  const lines = [typeLine(set, words)];
  if (set.size !== undefined) lines.push(`size ${set.size}`);
  if (set.policy !== undefined) lines.push(`policy ${set.policy}`);
  if (set.flags.length > 0) lines.push(`flags ${set.flags.join(',')}`);
  if (set.timeoutMs !== undefined) lines.push(`timeout ${formatDuration(set.timeoutMs)}`);
  if (set.gcMs !== undefined) lines.push(`gc-interval ${formatDuration(set.gcMs)}`);
  if (set.autoMerge) lines.push('auto-merge');
  if (set.comment !== undefined) lines.push(`comment "${set.comment}"`);
  // What elements will remember, before any does.
  for (const one of set.state ?? []) {
    lines.push(one.kind === 'counter' ? 'counter' : stateText(one));
  }
  if (set.elements.length > 0) {
    lines.push(`elements = { ${elementsText(set)} }`);
  }
  const keyword = set.kind === 'set' ? 'set' : 'map';
  return `\t${keyword} ${set.name} {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n`;
}

/** How many elements of a type stand on a line (src/expression.c `calculate_delim`). */
const ON_A_LINE: Partial<Readonly<Record<NftTypeName, number>>> = {
  ...{ inet_proto: 5, inet_service: 5, tcp_flag: 5, mark: 5, iface_index: 5, uid: 5, gid: 5 },
  ...{ ct_dir: 5, nf_proto: 5, integer: 5, ipv4_addr: 2, ct_state: 2, ct_status: 2, pkt_type: 2 },
};

function elementsText(set: NftSet): string {
  const [type] = set.type;
  const width = set.type.length === 1 && type !== undefined ? (ON_A_LINE[type.name] ?? 1) : 1;
  return set.elements
    .map((element, i) => {
      const before = i === 0 ? '' : i % width === 0 ? ',\n\t\t\t     ' : ', ';
      return before + elementText(element, set);
    })
    .join('');
}

function typeLine(set: NftSet, words: TableWords): string {
  const names = (types: readonly { readonly name: string }[]) =>
    types.map(({ name }) => name).join(' . ');
  const key =
    set.of === undefined
      ? `type ${names(set.type)}`
      : `typeof ${expressionText(set.of, words.sets)}`;
  if (set.kind === 'set') return key;
  if (set.kind === 'vmap') return `${key} : verdict`;
  const data =
    set.dataOf === undefined ? names(set.data ?? []) : expressionText(set.dataOf, words.sets);
  const hasRanges = set.elements.some(({ data: own }) => own?.some((one) => one.kind !== 'value'));
  return `${key} : ${hasRanges ? 'interval ' : ''}${data}`;
}

function chainText(chain: NftChain, words: TableWords): string {
  const lines = [
    ...(chain.comment === undefined ? [] : [`comment "${chain.comment}"`]),
    ...(chain.base === undefined ? [] : [baseText(chain.base)]),
    ...chain.rules.map((rule) => ruleText(rule, words)),
  ];
  return `\tchain ${chain.name} {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n`;
}

function baseText({ type, hook, priority, policy }: NftBase): string {
  const named = priorityText(hook, priority);
  return `type ${type} hook ${hook} priority ${named}; policy ${policy};`;
}

/** Names that nft prints instead of a number that is near (src/rule.c `prio2str`). */
const NAMES: readonly (readonly [string, number, readonly Hook[] | null])[] = [
  ['raw', -300, null],
  ['mangle', -150, null],
  ['dstnat', -100, ['prerouting', 'output']],
  ['filter', 0, null],
  ['security', 50, null],
  ['srcnat', 100, ['postrouting']],
];

/** How far from a name a number still leans on it. */
const REACH = 10;

function priorityText(hook: Hook, priority: number): string {
  const near = NAMES.find(([name, own, hooks]) => {
    // The destination's name belongs to prerouting alone.
    if (name === 'dstnat' && hook !== 'prerouting') return false;
    return Math.abs(own - priority) <= REACH && (hooks === null || hooks.includes(hook));
  });
  if (near === undefined) return String(priority);
  const [name, own] = near;
  if (own === priority) return name;
  return `${name} ${priority > own ? '+' : '-'} ${Math.abs(priority - own)}`;
}
