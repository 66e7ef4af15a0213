/**
 * Read ebtables-save files and what ebtables-restore takes from files written by hand, as far as
 * the vocabulary of plan/model.ts goes; the rest is refused, every place at once.
 *
 * Source: ebtables(8), iptables 1.8.9 iptables/xtables-eb.c `do_commandeb`: the `!` of ebtables
 * stands before the option or before its value; options of a target follow its `-j`.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { EbMatch, EbRule, EbTable, EbTarget, EbVerdict } from '../../netfilter/ebtables.ts';
import { interfaceName } from '../match/match-options.ts';
import { networkPrefix } from '../rule/network-prefix.ts';
import { OptionFault, oneOf, optional, u16 } from '../rule/option-reader.ts';
import { splitWords } from '../rule/restore-line.ts';
import {
  ARP_OPERATIONS,
  EB_BUILTIN,
  ETHER_NAMES,
  MAC_NAMES,
  orderedMatches,
  WHOLE_MAC,
} from './words.ts';

const VERDICTS = ['ACCEPT', 'DROP', 'CONTINUE', 'RETURN'] as const;
const verdict = oneOf<EbVerdict>(VERDICTS);

interface DraftChain {
  readonly builtin: boolean;
  policy: EbVerdict;
  readonly rules: EbRule[];
}

/**
 * Read a file of ebtables-save.
 *
 * @throws UserError with everything that is wrong or not emulated, in the file's order.
 */
export function parseEbtables(text: string, file: string): EbTable[] {
  const faults: Diagnostic[] = [];
  const tables = new Map<EbTable['name'], Map<string, DraftChain>>();
  const jumps: { chains: Map<string, DraftChain>; name: string; line: number }[] = [];
  let chains: Map<string, DraftChain> | undefined;
  const fault = (line: number, message: string, detail?: OptionFault) => {
    const said = { ...optional('found', detail?.found), ...optional('accepted', detail?.accepted) };
    faults.push({ code: 'PLAN_EBTABLES', file, line, message, ...said });
  };
  const readLine = (line: string, number: number) => {
    const [first = '', ...rest] = splitWords(line)?.map((word) => word.text) ?? [];
    if (line === '' || line.startsWith('#') || line === 'COMMIT' || line === 'EOF') return;
    if (first.startsWith('*')) {
      chains = beginTable(first.slice(1), tables);
      return;
    }
    if (!chains) throw new OptionFault('stands outside of a table', line);
    if (first.startsWith(':')) {
      setChain(chains, first.slice(1), verdict(rest[0] ?? ''));
      return;
    }
    const chain = chains.get(rest[0] ?? '');
    if (first !== '-A')
      throw new OptionFault('this command is not read', line, '-A, :CHAIN, *TABLE');
    if (!chain) throw new OptionFault('there is no such chain in the table', rest[0]);
    const rule = parseEbRule(rest.slice(1));
    if (rule.target.kind === 'jump') jumps.push({ chains, name: rule.target.chain, line: number });
    chain.rules.push(rule);
  };
  text.split('\n').forEach((line, index) => {
    try {
      readLine(line.trim(), index + 1);
    } catch (error) {
      if (!(error instanceof OptionFault)) throw error;
      fault(index + 1, error.message, error);
    }
  });
  for (const { chains: known, name, line } of jumps) {
    if (known.has(name)) continue;
    fault(line, 'neither a chain of this table nor a known target', new OptionFault('', name));
  }
  if (faults.length > 0) throw new UserError(faults);
  return [...tables].map(([name, found]) => ({
    name,
    chains: [...found].map(([chain, draft]) => ({ name: chain, ...draft })),
  }));
}

function beginTable(
  name: string,
  tables: Map<EbTable['name'], Map<string, DraftChain>>,
): Map<string, DraftChain> {
  const known = oneOf(['nat', 'filter', 'broute'])(name);
  if (tables.has(known)) throw new OptionFault('the table is given twice', name);
  const chains = new Map<string, DraftChain>();
  for (const chain of EB_BUILTIN[known]) {
    chains.set(chain, { builtin: true, policy: 'ACCEPT', rules: [] });
  }
  tables.set(known, chains);
  return chains;
}

function setChain(chains: Map<string, DraftChain>, name: string, policy: EbVerdict): void {
  const found = chains.get(name);
  if (found && !found.builtin) throw new OptionFault('the chain is made twice', name);
  if (found) found.policy = policy;
  else if (!/^[^\s!-]\S{0,30}$/.test(name)) throw new OptionFault('not a name of a chain', name);
  else chains.set(name, { builtin: false, policy, rules: [] });
}

/** Reads option after option; the target's own options gather until the end of the line. */
function parseEbRule(words: readonly string[]): EbRule {
  const matches: EbMatch[] = [];
  const targetOptions = new Map<string, string>();
  let target: string | undefined;
  for (let i = 0; i < words.length; i++) {
    let negate = words[i] === '!';
    if (negate) i++;
    const option = words[i] ?? '';
    if (option === '--snat-arp') {
      targetOptions.set(option, '');
      continue;
    }
    if (words[i + 1] === '!') {
      negate = true;
      i++;
    }
    const value = words[++i];
    if (value === undefined) throw new OptionFault(`${option} needs a value`);
    if (option === '-j' || option === '--jump') {
      if (target !== undefined) throw new OptionFault('a rule has one target only', value);
      target = value;
    } else if (TARGET_OPTIONS.has(option) && !negate) {
      targetOptions.set(TARGET_OPTIONS.get(option) ?? option, value);
    } else {
      matches.push(parseEbMatch(option, value, negate));
    }
  }
  const kinds = new Set(matches.map((match) => match.kind));
  if (kinds.size < matches.length) throw new OptionFault('an option is given twice');
  checkProtocol(matches);
  return { matches: orderedMatches(matches), target: parseEbTarget(target, targetOptions) };
}

/** As the kernel modules ask: ARP and IP fields only of frames that `-p` names. */
function checkProtocol(matches: readonly EbMatch[]): void {
  const protocol = matches.find((match) => match.kind === 'protocol');
  const type = protocol?.kind === 'protocol' && !protocol.negate ? protocol.etherType : undefined;
  for (const match of matches) {
    const ip = 'net' in match && match.kind.startsWith('ip') ? match.net.address.family : undefined;
    const isArp = match.kind.startsWith('arp');
    const needed = isArp ? [0x0806, 0x8035] : ip === 4 ? [0x0800] : ip === 6 ? [0x86dd] : undefined;
    if (needed && (type === undefined || !needed.includes(type))) {
      throw new OptionFault('the match needs its protocol', match.kind, '-p ARP, -p IPv4, -p IPv6');
    }
  }
}

function parseEbMatch(option: string, value: string, negate: boolean): EbMatch {
  switch (option) {
    case '-p':
    case '--protocol':
      return { kind: 'protocol', etherType: etherType(value), negate };
    case '-s':
    case '--source':
      return { kind: 'source', ...macAndMask(value), negate };
    case '-d':
    case '--destination':
      return { kind: 'destination', ...macAndMask(value), negate };
    case '-i':
    case '--in-interface':
      return { kind: 'inInterface', name: interfaceName(value), negate };
    case '-o':
    case '--out-interface':
      return { kind: 'outInterface', name: interfaceName(value), negate };
    case '--logical-in':
      return { kind: 'logicalIn', name: interfaceName(value), negate };
    case '--logical-out':
      return { kind: 'logicalOut', name: interfaceName(value), negate };
    case '--arp-op':
    case '--arp-opcode':
      return { kind: 'arpOperation', operation: arpOperation(value), negate };
    case '--arp-ip-src':
      return { kind: 'arpSource', net: networkPrefix(value, 4), negate };
    case '--arp-ip-dst':
      return { kind: 'arpDestination', net: networkPrefix(value, 4), negate };
    case '--ip-src':
    case '--ip-source':
      return { kind: 'ipSource', net: networkPrefix(value, 4), negate };
    case '--ip-dst':
    case '--ip-destination':
      return { kind: 'ipDestination', net: networkPrefix(value, 4), negate };
    case '--ip6-src':
    case '--ip6-source':
      return { kind: 'ipSource', net: networkPrefix(value, 6), negate };
    case '--ip6-dst':
    case '--ip6-destination':
      return { kind: 'ipDestination', net: networkPrefix(value, 6), negate };
    default:
      throw new OptionFault('this option is not known here, or not emulated', option);
  }
}

/** Options of targets, with their other names. */
const TARGET_OPTIONS: ReadonlyMap<string, string> = new Map([
  ['--to-src', '--to-src'],
  ['--to-source', '--to-src'],
  ['--snat-target', '--snat-target'],
  ['--to-dst', '--to-dst'],
  ['--to-destination', '--to-dst'],
  ['--dnat-target', '--dnat-target'],
  ['--redirect-target', '--redirect-target'],
  ['--arpreply-mac', '--arpreply-mac'],
  ['--arpreply-target', '--arpreply-target'],
]);

function parseEbTarget(name: string | undefined, options: Map<string, string>): EbTarget {
  const take = (option: string) => {
    const value = options.get(option);
    options.delete(option);
    return value;
  };
  const then = (option: string, otherwise: EbVerdict) => verdict(take(option) ?? otherwise);
  const target = readTarget();
  const [left] = options.keys();
  if (left !== undefined) throw new OptionFault('the option is not one of this target', left);
  return target;

  function readTarget(): EbTarget {
    switch (name) {
      case undefined:
      case 'CONTINUE':
        return { kind: 'continue' };
      case 'ACCEPT':
        return { kind: 'accept' };
      case 'DROP':
        return { kind: 'drop' };
      case 'RETURN':
        return { kind: 'return' };
      case 'snat': {
        const to = mac(take('--to-src') ?? '');
        const arp = take('--snat-arp') !== undefined;
        return { kind: 'snat', mac: to, arp, verdict: then('--snat-target', 'ACCEPT') };
      }
      case 'dnat': {
        const to = mac(take('--to-dst') ?? '');
        return { kind: 'dnat', mac: to, verdict: then('--dnat-target', 'ACCEPT') };
      }
      case 'redirect':
        return { kind: 'redirect', verdict: then('--redirect-target', 'ACCEPT') };
      case 'arpreply': {
        const as = mac(take('--arpreply-mac') ?? '00:00:00:00:00:00');
        return { kind: 'arpreply', mac: as, verdict: then('--arpreply-target', 'DROP') };
      }
      default:
        return { kind: 'jump', chain: name };
    }
  }
}

function etherType(text: string): number {
  const named = ETHER_NAMES.find(([name]) => name.toLowerCase() === text.toLowerCase());
  if (named) return named[1];
  const value = /^(0x)?[0-9a-fA-F]{1,4}$/.test(text) ? Number.parseInt(text, 16) : 0;
  if (value < 0x0600) throw new OptionFault('unknown Ethernet type', text);
  return value;
}

function arpOperation(text: string): number {
  const named = ARP_OPERATIONS.findIndex((name) => name.toLowerCase() === text.toLowerCase());
  return named >= 0 ? named + 1 : u16(text);
}

/** A MAC address in the form of the plan: lower case, two digits each. */
function mac(text: string): string {
  const parts = text.toLowerCase().split(':');
  if (parts.length !== 6 || !parts.every((part) => /^[0-9a-f]{1,2}$/.test(part))) {
    throw new OptionFault('a MAC address was expected', text);
  }
  return parts.map((part) => part.padStart(2, '0')).join(':');
}

function macAndMask(text: string): { readonly mac: string; readonly mask: string } {
  const named = MAC_NAMES.find(([name]) => name.toLowerCase() === text.toLowerCase());
  if (named) return { mac: named[1], mask: named[2] };
  const [address = '', mask] = text.split('/');
  return { mac: mac(address), mask: mask === undefined ? WHOLE_MAC : mac(mask) };
}
