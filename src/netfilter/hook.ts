/**
 * Where netfilter looks at a packet, and in which order.
 *
 *                          ┌──────────┐
 *   in ─► prerouting ─► route ─► forward ─► postrouting ─► out
 *                          │                    ▲
 *                          ▼                    │
 *                        input               output ◄─ route ◄─ local process
 *
 * Source: include/uapi/linux/netfilter.h `NF_INET_*`, include/uapi/linux/netfilter_ipv4.h
 * `enum nf_ip_hook_priorities`.
 * @module
 */

export const HOOKS = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;
export type Hook = (typeof HOOKS)[number];

export const TABLES = ['raw', 'mangle', 'nat', 'filter', 'security'] as const;
export type TableName = (typeof TABLES)[number];

/**
 * The tables that hang on each hook, in priority order (conntrack stands between raw and mangle).
 */
export const TABLE_ORDER: Readonly<Record<Hook, readonly TableName[]>> = {
  prerouting: ['raw', 'mangle', 'nat'],
  input: ['mangle', 'filter', 'security', 'nat'],
  forward: ['mangle', 'filter', 'security'],
  output: ['raw', 'mangle', 'nat', 'filter', 'security'],
  postrouting: ['mangle', 'nat'],
};

/** Where each table hangs (`enum nf_ip_hook_priorities`, for both families). */
export function tablePriority(table: TableName, hook: Hook): number {
  if (table === 'nat') return hook === 'prerouting' || hook === 'output' ? -100 : 100;
  return TABLE_PRIORITIES[table];
}

const TABLE_PRIORITIES: Readonly<Record<Exclude<TableName, 'nat'>, number>> = {
  raw: -300,
  mangle: -150,
  filter: 0,
  security: 50,
};

/** The built-in chains of each table in iptables-save's order (NF_INET hook number). */
export const BUILTIN_CHAINS: Readonly<Record<TableName, readonly string[]>> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  security: ['INPUT', 'FORWARD', 'OUTPUT'],
};

/** The built-in chain of a hook is its name in capitals. */
export function builtinChain(hook: Hook): string {
  return hook.toUpperCase();
}
