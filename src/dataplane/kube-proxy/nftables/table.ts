/**
 * kube-proxy's table while it is written: in nft's own words, as kube-proxy hands it to nft, with
 * where each rule comes from.
 * @module
 */
import { assert } from '../../../diagnostic/diagnostic.ts';
import type { NftChain, NftTable } from '../../../netfilter/nft/ruleset.ts';
import type { Provenance } from '../../../netfilter/rule.ts';
import { parseNft } from '../../../plan/nft/parse/ruleset-parser.ts';
import type { Family } from '../../../wire/address/address.ts';

type Origin = readonly Provenance[];

interface DraftRule {
  readonly text: string;
  readonly origin: Origin;
}

interface DraftSet {
  readonly keyword: 'set' | 'map';
  readonly lines: readonly string[];
  /** Each once, however many ports have it. */
  readonly elements: Set<string>;
}

export class ProxyTable {
  readonly ipX: 'ip' | 'ip6';
  readonly addressType: 'ipv4_addr' | 'ipv6_addr';
  readonly #chains = new Map<string, { readonly head: readonly string[]; rules: DraftRule[] }>();
  readonly #sets = new Map<string, DraftSet>();

  constructor(family: Family) {
    this.ipX = family === 4 ? 'ip' : 'ip6';
    this.addressType = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  }

  /** Make a chain if it is not there; `head` are its lines before the rules. */
  chain(name: string, ...head: readonly string[]): void {
    if (!this.#chains.has(name)) this.#chains.set(name, { head, rules: [] });
  }

  rule(chain: string, text: string, about: { comment?: string; origin?: Origin } = {}): void {
    this.chain(chain);
    const { comment, origin = [] } = about;
    const whole = comment === undefined ? text : `${text} comment "${comment}"`;
    this.#chains.get(chain)?.rules.push({ text: whole, origin });
  }

  set(keyword: 'set' | 'map', name: string, ...lines: readonly string[]): void {
    if (!this.#sets.has(name)) this.#sets.set(name, { keyword, lines, elements: new Set() });
  }

  element(set: string, text: string): void {
    const found = this.#sets.get(set);
    assert(found !== undefined, `set ${set} is declared before its elements`);
    found.elements.add(text);
  }

  /** The table; what was written must be nft's language. */
  build(): NftTable {
    const { tables } = parseNft(this.#text(), 'kube-proxy');
    const [table] = tables;
    assert(table !== undefined, 'a table was written');
    return { ...table, chains: table.chains.map((chain) => this.#withOrigins(chain)) };
  }

  #withOrigins({ place: _, rules, ...chain }: NftChain): NftChain {
    const drafts = this.#chains.get(chain.name)?.rules ?? [];
    return {
      ...chain,
      rules: rules.map(({ place: _line, ...rule }, i) => {
        const origin = drafts[i]?.origin ?? [];
        return origin.length === 0 ? rule : { ...rule, origin };
      }),
    };
  }

  #text(): string {
    const sets = [...this.#sets].map(([name, { keyword, lines, elements }]) => {
      const list = [...elements].join(', ');
      const body = elements.size === 0 ? lines : [...lines, `elements = { ${list} }`];
      return block(`${keyword} ${name}`, body);
    });
    const chains = [...this.#chains].map(([name, { head, rules }]) =>
      block(`chain ${name}`, [...head, ...rules.map(({ text }) => text)]),
    );
    const comment = 'comment "rules for kube-proxy"\n';
    return `table ${this.ipX} kube-proxy {\n${comment}${sets.join('')}${chains.join('')}}\n`;
  }
}

function block(head: string, lines: readonly string[]): string {
  return `${head} {\n${lines.map((line) => `${line}\n`).join('')}}\n`;
}
