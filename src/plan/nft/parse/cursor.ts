/**
 * A place in a text of nft, and the mistakes found on the way.
 * @module
 */
import type { Diagnostic } from '../../../diagnostic/diagnostic.ts';
import type { Token } from './token.ts';

/** A mistake that ends the statement it stands in; caught where the next one starts. */
export class NftFault extends Error {
  readonly diagnostic: Diagnostic;

  constructor(diagnostic: Diagnostic) {
    super(diagnostic.message);
    this.name = 'NftFault';
    this.diagnostic = diagnostic;
  }
}

const END: Token = { kind: 'end', text: 'end of file', line: 0 };

export class Cursor {
  readonly file: string;
  readonly #tokens: readonly Token[];
  readonly #lines: readonly string[];
  #at = 0;

  constructor(tokens: readonly Token[], text: string, file: string) {
    this.#tokens = tokens;
    this.#lines = text.split('\n');
    this.file = file;
  }

  peek(ahead = 0): Token {
    return this.#tokens[this.#at + ahead] ?? this.#tokens.at(-1) ?? END;
  }

  next(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.#at += 1;
    return token;
  }

  /** Does a word or mark of this text come next? */
  sees(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.text === text && (token.kind === 'word' || token.kind === 'mark');
  }

  /** Take it if it comes next. */
  takes(text: string): boolean {
    const found = this.sees(text);
    if (found) this.#at += 1;
    return found;
  }

  expect(text: string): void {
    if (!this.takes(text)) this.fail('something else must stand here', this.peek().text, text);
  }

  /** The next word, or a quoted one. */
  word(what: string): string {
    const token = this.peek();
    if (token.kind !== 'word' && token.kind !== 'string') {
      this.fail('something else must stand here', token.text, what);
    }
    this.#at += 1;
    return token.text;
  }

  /** A whole number that can be counted with. */
  number(what: string): number {
    const text = this.word(what);
    const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) this.fail('not a number', text, what);
    return value;
  }

  skipNewlines(): void {
    while (this.peek().kind === 'newline') this.#at += 1;
  }

  /** Does the statement end here? */
  get atEnd(): boolean {
    const { kind } = this.peek();
    return kind === 'newline' || kind === 'end' || this.sees(';') || this.sees('}');
  }

  /** Go past ends of lines and semicolons. */
  skipEnds(): void {
    while (this.peek().kind === 'newline' || this.sees(';')) this.#at += 1;
  }

  /** After a mistake: go to the end of the statement, past braces that it opened. */
  skipStatement(): void {
    for (let depth = 0; ; ) {
      const { kind } = this.peek();
      if (kind === 'end' || (depth === 0 && this.atEnd)) return;
      if (this.sees('{')) depth += 1;
      if (this.sees('}')) depth -= 1;
      this.#at += 1;
    }
  }

  /** Go past a block whose opening brace comes next. */
  skipBlock(): void {
    for (let depth = 0; this.peek().kind !== 'end'; ) {
      if (this.sees('{')) depth += 1;
      if (this.sees('}')) depth -= 1;
      this.#at += 1;
      if (depth === 0) return;
    }
  }

  /** Run a reader; its mistake is kept, and the rest of the statement passed over. */
  guard<T>(faults: Diagnostic[], read: () => T): T | null {
    const from = this.#at;
    try {
      return read();
    } catch (error) {
      if (!(error instanceof NftFault)) throw error;
      faults.push(error.diagnostic);
      // From the start again, so that braces are counted.
      this.#at = from;
      this.skipStatement();
      return null;
    }
  }

  get place(): string {
    return `${this.file}:${this.peek().line}`;
  }

  /** @throws NftFault at the token before which we stand. */
  fail(message: string, found: string, accepted?: string): never {
    const { line } = this.peek();
    const text = (this.#lines[line - 1] ?? '').trim();
    const said = text.includes(found) || found === '' ? text : `${found} in ${text}`;
    throw new NftFault({
      code: 'PLAN_NFT',
      file: this.file,
      line,
      message: found === '' || text === found ? message : `${message}: ${found}`,
      found: said,
      ...(accepted === undefined ? {} : { accepted }),
    });
  }

  /** @throws NftFault for what nft knows and we do not. */
  refuse(what: string): never {
    this.fail(`${what}: not emulated`, '');
  }
}
