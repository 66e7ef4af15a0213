/**
 * What nft lists on a node beside the tables of iptables and ebtables.
 *
 * Tables that iptables-nft made are in nft's list too, with expressions that only its own tool
 * prints; iptables-save has them, so they are passed over here, and only their place in the order
 * is kept. A table of such a name that iptables-save does not print is nft's own (the tool calls it
 * incompatible).
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { NftRuleset } from '../../netfilter/nft/ruleset.ts';
import type { Table } from '../../netfilter/rule.ts';
import { parseNftJson } from '../../plan/nft/json-ruleset.ts';
import { parseNft } from '../../plan/nft/parse/ruleset-parser.ts';
import { gather, type RuleFile } from './rule-files.ts';

/** Tables that ebtables-nft and arptables-nft keep in nft. */
const BELOW = /^(bridge (filter|nat|broute)|arp filter)$/;
const COMPATIBLE = /^(ip6?) (filter|nat|mangle|raw|security)$/;

/**
 * The nft tables of a node; undefined when it has none. JSON and text list the same, so one of them
 * is read. `tables` are those that iptables-save printed.
 */
export function readNft(
  files: readonly RuleFile[],
  tables: readonly Table[],
  faults: Diagnostic[],
): NftRuleset | undefined {
  const own = files.filter(({ as }) => as.kind === 'nft');
  const chosen = own.find(({ as }) => as.form === 'json') ?? own[0];
  if (chosen === undefined) return undefined;
  const families = new Set(files.flatMap(({ as }) => (as.kind === 'iptables' ? [as.family] : [])));
  const passOver = (name: string) => {
    if (BELOW.test(name)) return true;
    const [, word, table] = COMPATIBLE.exec(name) ?? [];
    if (word === undefined) return false;
    const family = word === 'ip6' ? 6 : 4;
    // Where iptables-save was not collected nobody knows whose it is; that gap is said elsewhere.
    if (!families.has(family)) return true;
    return tables.some((one) => one.family === family && one.name === table);
  };
  const { text, path } = chosen.file;
  const read = chosen.as.form === 'json' ? parseNftJson : parseNft;
  const found = gather(faults, () => read(text, path, { passOver }));
  return found === null || found.tables.length === 0 ? undefined : found;
}
