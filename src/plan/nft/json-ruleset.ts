/**
 * `nft -j list ruleset`, read.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { NftRuleset } from '../../netfilter/nft/ruleset.ts';
import { jsonCommands } from './json-text.ts';
import { type ParseOptions, parseNft } from './parse/ruleset-parser.ts';

/**
 * Read a ruleset in JSON.
 *
 * @throws UserError with everything that can not be read or is not emulated; JSON has no lines, so
 * the text of each command stands for its place.
 */
export function parseNftJson(text: string, file: string, options: ParseOptions = {}): NftRuleset {
  const commands = jsonCommands(objectsOf(text, file)).join('\n');
  try {
    return withoutPlaces(parseNft(commands, file, options), file);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.diagnostics.map(withoutLine));
  }
}

function objectsOf(text: string, file: string): Parameters<typeof jsonCommands>[0] {
  const refuse = (message: string): never => {
    throw new UserError([{ code: 'DUMP_JSON', file, message }]);
  };
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch (cause) {
    return refuse(cause instanceof Error ? cause.message : String(cause));
  }
  const list = (read as { nftables?: unknown } | null)?.nftables;
  return Array.isArray(list) ? list : refuse('no list of nftables');
}

function withoutLine({ line: _, ...rest }: Diagnostic): Diagnostic {
  return rest;
}

/** Lines of commands are none of the file's. */
function withoutPlaces(ruleset: NftRuleset, file: string): NftRuleset {
  return {
    ...ruleset,
    tables: ruleset.tables.map((table) => ({
      ...table,
      sets: table.sets.map(({ place: _, ...set }) => set),
      chains: table.chains.map(({ place: _, ...chain }) => ({
        ...chain,
        rules: chain.rules.map((rule) => ({ ...rule, place: file })),
      })),
    })),
  };
}
