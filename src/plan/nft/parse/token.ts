/**
 * Words of nft's language: what stands between blanks and marks.
 *
 * A word keeps its dashes, dots, slashes and colons (`10.0.0.1-10.0.0.9:80`, `svc/ns:p80`), because
 * only the type that is wanted there says what they mean. Ends of lines end statements outside of
 * braces, so they are tokens too.
 *
 * Source: nftables 1.0.6 src/scanner.l.
 * @module
 */
import { UserError } from '../../../diagnostic/diagnostic.ts';

export interface Token {
  readonly kind: 'word' | 'string' | 'mark' | 'newline' | 'end';
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

/** Marks of two characters come first. */
const TOKEN =
  /[ \t\r]+|\\\n|#[^\n]*|(\n)|"([^"\n]*)"|(==|!=|<=|>=|<<|>>|[,{};()|&^=!<>])|([^\s"#,{};()|&^=!<>\\]+)|(.)/gy;

/** @throws UserError at a character that nft does not know. */
export function tokenize(text: string, file: string): readonly Token[] {
  const tokens: Token[] = [];
  let line = 1;
  for (const match of text.matchAll(TOKEN)) {
    const [whole, newline, quoted, mark, word, stranger] = match;
    if (newline !== undefined) tokens.push({ kind: 'newline', text: 'end of line', line });
    else if (quoted !== undefined) tokens.push({ kind: 'string', text: quoted, line });
    else if (mark !== undefined) tokens.push({ kind: 'mark', text: mark, line });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word, line });
    else if (stranger !== undefined) {
      const message = 'a character that nft does not know';
      throw new UserError([{ code: 'PLAN_NFT', file, line, message, found: stranger }]);
    }
    if (whole.includes('\n')) line += 1;
  }
  tokens.push({ kind: 'end', text: 'end of file', line });
  return tokens;
}
