/**
 * pcap-filter(7) as a tree.
 *
 *   expr  := operand { (and | or) operand }         equal precedence, from left to right
 *   operand := not operand | ( expr ) | primitive | relation | id with the last qualifiers
 *
 * Source: libpcap 1.10.3 `grammar.y.in`. `tcp port 80 or 443` repeats the qualifiers before 443,
 * also across a parenthesis. `%` and `^` have no precedence there, so yacc always shifts: they bind
 * tightest to what is left of them and take everything right of them; so do we.
 * @module
 */
import type { UserError } from '../../diagnostic/diagnostic.ts';
import { filterError } from './error.ts';
import { makeId, type QualifiedId } from './id.ts';
import { lexFilter, type Token } from './lex.ts';
import { PROTOCOL_WORDS, type ProtocolWord, REFUSED_WORDS } from './names.ts';
import type {
  AddressKind,
  Arithmetic,
  BinaryOperator,
  Direction,
  Node,
  Qualifiers,
  Relation,
} from './syntax.ts';

const DEPTH_MAX = 200;
const KINDS: ReadonlySet<string> = new Set(['host', 'net', 'port', 'portrange']);
const HEAD: ReadonlySet<string> = new Set([...KINDS, 'src', 'dst', 'proto']);
const RELATIONS: ReadonlySet<string> = new Set(['>', '>=', '=', '<=', '<', '!=']);
const PRECEDENCE: ReadonlyMap<string, number> = new Map([
  ['|', 1],
  ['&', 2],
  ['<<', 3],
  ['>>', 3],
  ['+', 4],
  ['-', 4],
  ['*', 5],
  ['/', 5],
]);
const UNARY = 6;
const GREEDY: ReadonlySet<string> = new Set(['%', '^']);
const ID_KINDS: ReadonlySet<string> = new Set(['name', 'ipv4', 'ipv6', 'mac', 'arcnet']);
const PROTOCOLS: ReadonlySet<string> = new Set(PROTOCOL_WORDS);

/** An operand, and the qualifiers that an id after it would repeat. */
interface Operand {
  readonly node: Node;
  readonly qualifiers: Qualifiers | null;
}

/** Parse an expression; null when it is empty. Throws a UserError naming word and column. */
export function parseExpression(text: string): Node | null {
  const tokens = lexFilter(text);
  if (tokens[0]?.kind === 'end') return null;
  return new Parser(tokens).whole();
}

function isProtocol(text: string): text is ProtocolWord {
  return PROTOCOLS.has(text);
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #last: Token;
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
    this.#last = tokens[tokens.length - 1] ?? { kind: 'end', text: '', value: 0, at: 0 };
  }

  whole(): Node {
    const { node } = this.#expression(null);
    if (this.#peek().kind !== 'end') throw this.#unexpected('and, or, or the end');
    return node;
  }

  #peek(ahead = 0): Token {
    return this.#tokens[this.#next + ahead] ?? this.#last;
  }

  #take(): Token {
    const token = this.#peek();
    this.#next++;
    return token;
  }

  #accept(kind: Token['kind'], text: string): boolean {
    const token = this.#peek();
    if (token.kind !== kind || token.text !== text) return false;
    this.#next++;
    return true;
  }

  #isWord(text: string): boolean {
    const token = this.#peek();
    return token.kind === 'word' && token.text === text;
  }

  #expect(text: string): void {
    if (!this.#accept('operator', text)) throw this.#unexpected(text);
  }

  #number(): number {
    const token = this.#peek();
    if (token.kind !== 'number') throw this.#unexpected('a number');
    this.#next++;
    return token.value;
  }

  #unexpected(accepted: string): UserError {
    const token = this.#peek();
    const found = token.kind === 'end' ? 'the end' : JSON.stringify(token.text);
    const refused = token.kind === 'word' ? REFUSED_WORDS.get(token.text) : undefined;
    if (refused !== undefined) {
      return filterError(
        'FILTER_UNSUPPORTED',
        token.at,
        `'${token.text}' is not supported: it ${refused}`,
      );
    }
    return filterError('FILTER_SYNTAX', token.at, 'syntax error', { found, accepted });
  }

  #nest<T>(parse: () => T): T {
    if (++this.#depth > DEPTH_MAX) {
      throw filterError('FILTER_SYNTAX', this.#peek().at, 'nested too deeply', {
        accepted: `up to ${DEPTH_MAX} levels`,
      });
    }
    const result = parse();
    this.#depth--;
    return result;
  }

  #expression(outer: Qualifiers | null): Operand {
    let left = this.#operand(null, outer);
    while (this.#isWord('and') || this.#isWord('or')) {
      const kind = this.#take().text === 'and' ? 'and' : 'or';
      const right = this.#operand(left.qualifiers, left.qualifiers);
      left = { node: { kind, left: left.node, right: right.node }, qualifiers: right.qualifiers };
    }
    return left;
  }

  /**
   * @param repeat qualifiers for a bare id; null where none may stand
   * @param around what a parenthesis leaves behind for an id after it
   */
  #operand(repeat: Qualifiers | null, around: Qualifiers | null): Operand {
    return this.#nest(() => {
      if (this.#accept('word', 'not')) {
        const { node, qualifiers } = this.#operand(repeat, around);
        return { node: { kind: 'not', operand: node }, qualifiers };
      }
      if (this.#startsRelation()) return { node: this.#relation(), qualifiers: null };
      if (this.#startsId()) {
        if (repeat === null)
          throw this.#unexpected('a qualifier (host, net, port, proto …) before it');
        return { node: this.#id(repeat), qualifiers: repeat };
      }
      if (this.#accept('operator', '(')) {
        const { node } = this.#expression(around);
        this.#expect(')');
        return { node, qualifiers: around };
      }
      return this.#primitive();
    });
  }

  /** Whether an id, or a parenthesis of ids, comes next. Precondition: no relation does. */
  #startsId(): boolean {
    let ahead = 0;
    while (this.#isOpening(ahead)) ahead++;
    const token = this.#peek(ahead);
    return ID_KINDS.has(token.kind) || token.kind === 'number';
  }

  #isOpening(ahead: number): boolean {
    const token = this.#peek(ahead);
    const open = token.kind === 'operator' && token.text === '(';
    return open || (ahead > 0 && token.kind === 'word' && token.text === 'not');
  }

  #id(qualifiers: Qualifiers): Node {
    return this.#nest(() => {
      if (this.#accept('word', 'not')) return { kind: 'not', operand: this.#id(qualifiers) };
      if (this.#accept('operator', '(')) {
        let left = this.#id(qualifiers);
        while (this.#isWord('and') || this.#isWord('or')) {
          const kind = this.#take().text === 'and' ? 'and' : 'or';
          left = { kind, left, right: this.#id(qualifiers) };
        }
        this.#expect(')');
        return left;
      }
      return makeId(this.#rawId(), qualifiers);
    });
  }

  #rawId(): QualifiedId {
    const token = this.#peek();
    if (!ID_KINDS.has(token.kind) && token.kind !== 'number') {
      throw this.#unexpected('an address, a number or a name');
    }
    this.#next++;
    if (token.kind === 'ipv4' && this.#accept('word', 'mask')) {
      const mask = this.#peek();
      if (mask.kind !== 'ipv4') throw this.#unexpected('a netmask such as 255.255.0.0');
      this.#next++;
      return { token, mask };
    }
    const prefixed = token.kind === 'ipv4' || token.kind === 'ipv6';
    if (prefixed && this.#accept('operator', '/')) return { token, length: this.#number() };
    return { token };
  }

  #primitive(): Operand {
    const token = this.#peek();
    if (token.kind !== 'word') throw this.#unexpected('a primitive');
    if (isProtocol(token.text)) {
      this.#next++;
      return this.#afterProtocol(token.text, token.at);
    }
    if (HEAD.has(token.text)) return this.#head(null, token.at);
    const node = this.#plain(token);
    if (node === null) throw this.#unexpected('a primitive');
    return { node, qualifiers: null };
  }

  #afterProtocol(protocol: ProtocolWord, at: number): Operand {
    const following = this.#peek();
    if (following.kind === 'word' && HEAD.has(following.text)) return this.#head(protocol, at);
    if (this.#isWord('broadcast') || this.#isWord('multicast')) {
      return { node: this.#cast(protocol, at), qualifiers: null };
    }
    if (following.kind === 'word' && REFUSED_WORDS.has(following.text)) {
      throw this.#unexpected('a qualifier');
    }
    if (protocol === 'ether')
      throw this.#unexpected('host, src, dst, proto, broadcast, multicast or [');
    return { node: { kind: 'abbreviation', protocol, at }, qualifiers: null };
  }

  #cast(protocol: ProtocolWord | null, at: number): Node {
    const { text } = this.#take();
    const family = protocol ?? 'ether';
    if (text === 'multicast' && (family === 'ether' || family === 'ip' || family === 'ip6')) {
      return { kind: 'multicast', family, at };
    }
    if (family === 'ether') return { kind: 'broadcast', at };
    if (family === 'ip') {
      throw filterError(
        'FILTER_UNSUPPORTED',
        at,
        "netmask not known, so 'ip broadcast' not supported",
      );
    }
    throw filterError('FILTER_SYNTAX', at, `'${family}' has no ${text}`, {
      accepted: text === 'multicast' ? 'ether, ip, ip6' : 'ether',
    });
  }

  /** Primitives that are one word and perhaps a number; null when `token` is none. */
  #plain(token: Token): Node | null {
    const { at } = token;
    switch (token.text) {
      case 'broadcast':
      case 'multicast':
        return this.#cast(null, at);
      case 'inbound':
      case 'outbound':
        this.#next++;
        return { kind: token.text, at };
      case 'less':
      case 'greater': {
        this.#next++;
        const relation = token.text === 'less' ? '<=' : '>=';
        const right: Arithmetic = { kind: 'number', value: this.#number() };
        return { kind: 'relation', relation, left: { kind: 'length' }, right, at };
      }
      case 'ifindex':
        this.#next++;
        return { kind: 'ifindex', value: this.#number(), at };
      case 'vlan':
        this.#next++;
        return { kind: 'vlan', id: this.#vlanId(), at };
      default:
        return null;
    }
  }

  #vlanId(): number | null {
    const { at } = this.#peek();
    const id = this.#optionalNumber();
    if (id !== null && id > 0xfff) {
      throw filterError('FILTER_VALUE', at, 'no VLAN has this tag', {
        found: String(id),
        accepted: '0 to 4095',
      });
    }
    return id;
  }

  #optionalNumber(): number | null {
    let depth = 0;
    while (this.#peek(depth).kind === 'operator' && this.#peek(depth).text === '(') depth++;
    if (this.#peek(depth).kind !== 'number') return null;
    this.#next += depth;
    const value = this.#number();
    for (; depth > 0; depth--) this.#expect(')');
    return value;
  }

  /** Qualifiers, then their first id. */
  #head(protocol: ProtocolWord | null, at: number): Operand {
    const direction = this.#direction();
    let kind: AddressKind | null = null;
    const word = this.#peek();
    if (word.kind === 'word' && KINDS.has(word.text)) kind = this.#take().text as AddressKind;
    else if (direction === null && this.#accept('word', 'proto')) kind = 'proto';
    const qualifiers: Qualifiers = { protocol, direction, kind };
    const token = this.#peek();
    if (token.kind === 'word' && token.text !== 'not') {
      throw this.#keywordAsId(token, at);
    }
    return { node: this.#id(qualifiers), qualifiers };
  }

  #keywordAsId(token: Token, at: number): UserError {
    if (!isProtocol(token.text)) return this.#unexpected('an address, a number or a name');
    return filterError('FILTER_SYNTAX', at, `'${token.text}' is a keyword here`, {
      found: token.text,
      accepted: `\\${token.text}`,
    });
  }

  #direction(): Direction | null {
    const first = this.#peek();
    if (first.kind !== 'word' || (first.text !== 'src' && first.text !== 'dst')) return null;
    this.#next++;
    const join = this.#peek();
    const second = this.#peek(1);
    const other = first.text === 'src' ? 'dst' : 'src';
    const joined = join.kind === 'word' && (join.text === 'or' || join.text === 'and');
    if (!joined || second.kind !== 'word' || second.text !== other) return first.text;
    // `src or dst src …` can not be meant: a direction after the join starts a new primitive only
    // when it is the same word, as in `src 10.0.0.1 or src 10.0.0.2`, where an id stands between.
    this.#next += 2;
    return join.text === 'or' ? 'or' : 'and';
  }

  /** Whether an arithmetic comparison comes next, found without trying to parse it. */
  #startsRelation(): boolean {
    const token = this.#peek();
    if (token.kind === 'number') return this.#isCalculation(this.#peek(1));
    if (token.kind === 'word') {
      if (token.text === 'len') return true;
      const index = this.#peek(1);
      return isProtocol(token.text) && index.kind === 'operator' && index.text === '[';
    }
    if (token.kind !== 'operator') return false;
    if (token.text === '-') return true;
    if (token.text !== '(') return false;
    const after = this.#arithmeticGroup();
    return after !== null && this.#isCalculation(after);
  }

  #isCalculation(token: Token): boolean {
    if (token.kind !== 'operator') return false;
    return RELATIONS.has(token.text) || PRECEDENCE.has(token.text) || GREEDY.has(token.text);
  }

  /** The token after the parenthesis that opens here, if only arithmetic is inside. */
  #arithmeticGroup(): Token | null {
    let depth = 0;
    for (let ahead = 0; ; ahead++) {
      const token = this.#peek(ahead);
      if (token.kind === 'operator') {
        if (RELATIONS.has(token.text)) return null;
        if (token.text === '(') depth++;
        if (token.text === ')' && --depth === 0) return this.#peek(ahead + 1);
      } else if (token.kind === 'word') {
        if (token.text !== 'len' && !isProtocol(token.text)) return null;
      } else if (token.kind !== 'number') return null;
    }
  }

  #relation(): Node {
    const { at } = this.#peek();
    const left = this.#arithmetic(0);
    const token = this.#peek();
    if (token.kind !== 'operator' || !RELATIONS.has(token.text)) {
      throw this.#unexpected('a comparison (= != < > <= >=)');
    }
    this.#next++;
    const right = this.#arithmetic(0);
    return { kind: 'relation', relation: token.text as Relation, left, right, at };
  }

  #arithmetic(minimum: number): Arithmetic {
    return this.#nest(() => {
      let left = this.#primary();
      while (true) {
        const token = this.#peek();
        if (token.kind !== 'operator') return left;
        const greedy = GREEDY.has(token.text);
        const level = PRECEDENCE.get(token.text) ?? -1;
        if (!greedy && (level < 0 || level < minimum)) return left;
        this.#next++;
        const operator = token.text as BinaryOperator;
        const right = this.#arithmetic(greedy ? 0 : level + 1);
        checkConstant(operator, right, token.at);
        left = { kind: 'binary', operator, left, right };
      }
    });
  }

  #primary(): Arithmetic {
    const token = this.#peek();
    if (this.#accept('operator', '-')) {
      return { kind: 'negate', operand: this.#arithmetic(UNARY) };
    }
    if (this.#accept('operator', '(')) {
      const inner = this.#arithmetic(0);
      this.#expect(')');
      return inner;
    }
    if (token.kind === 'number') return { kind: 'number', value: this.#number() };
    if (this.#accept('word', 'len')) return { kind: 'length' };
    if (token.kind !== 'word' || !isProtocol(token.text)) {
      throw this.#unexpected('a number, len, or protocol[offset:size]');
    }
    this.#next++;
    return this.#load(token.text, token.at);
  }

  #load(protocol: ProtocolWord, at: number): Arithmetic {
    this.#expect('[');
    const index = this.#arithmetic(0);
    let size = 1;
    const { at: sizeAt } = this.#peek(1);
    if (this.#accept('operator', ':')) size = this.#number();
    this.#expect(']');
    if (size !== 1 && size !== 2 && size !== 4) {
      throw filterError('FILTER_VALUE', sizeAt, 'no field has this size', {
        found: String(size),
        accepted: '1, 2 or 4 bytes',
      });
    }
    return { kind: 'load', protocol, index, size, at };
  }
}

function checkConstant(operator: BinaryOperator, right: Arithmetic, at: number): void {
  if (right.kind !== 'number') return;
  if ((operator === '/' || operator === '%') && right.value === 0) {
    throw filterError('FILTER_VALUE', at, 'division by zero');
  }
  if ((operator === '<<' || operator === '>>') && right.value > 31) {
    throw filterError('FILTER_VALUE', at, 'shift by more than 31 bits');
  }
}
