/**
 * `nft -j list ruleset` as commands of nft's own language, so that there is one reader for both.
 *
 * JSON names the same parts; only where its words differ from the language's is anything done here.
 * What has no words (expressions of iptables-nft, `xt`) is written as nft's own text has it, and
 * refused by the reader.
 *
 * Source: nftables 1.0.6 libnftables-json(5), src/json.c.
 * @module
 */

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Fields = { readonly [key: string]: Json };

/** Commands, one a line, in the order of the objects; objects that say nothing are left out. */
export function jsonCommands(objects: readonly Json[]): readonly string[] {
  const entries = objects.flatMap((object): (readonly [string, Fields])[] => {
    const [kind, fields] = Object.entries(fieldsOf(object))[0] ?? [];
    return kind === undefined ? [] : [[kind, fieldsOf(fields)]];
  });
  // A rule may lead to a chain that is listed behind it, and so may an element.
  const ordered = entries.toSorted(([a], [b]) => rank(a) - rank(b));
  const lines = ordered.map(([kind, fields]) => command(kind, fields));
  const elements = ordered.flatMap(([kind, fields]) => elementCommand(kind, fields));
  return [...lines, ...elements].filter((line) => line !== '');
}

const ORDER = ['table', 'counter', 'quota', 'limit', 'set', 'chain', 'rule'];

function rank(kind: string): number {
  const at = ORDER.indexOf(kind === 'map' ? 'set' : kind);
  return at < 0 ? ORDER.length : at;
}

function fieldsOf(value: Json | undefined): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : {};
}

function listOf(value: Json | undefined): readonly Json[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? (value as readonly Json[]) : [value];
}

function command(kind: string, fields: Fields): string {
  const table = `${word(fields['family'])} ${word(fields['table'])}`;
  const name = word(fields['name']);
  switch (kind) {
    case 'metainfo':
      return '';
    case 'table': {
      const flags = listOf(fields['flags']).map((flag) => `flags ${word(flag)} ;`);
      const about = comment(fields);
      const block = [...flags, ...(about === '' ? [] : [`${about} ;`])];
      const body = block.length === 0 ? '' : ` { ${block.join(' ')} }`;
      return `add table ${word(fields['family'])} ${name}${body}`;
    }
    case 'chain':
      return `add chain ${table} ${name}${chainBlock(fields)}`;
    case 'rule': {
      const parts = listOf(fields['expr']).map(statement);
      return ['add rule', table, word(fields['chain']), ...parts, comment(fields)]
        .filter((part) => part !== '')
        .join(' ');
    }
    case 'set':
    case 'map':
      return `add ${kind} ${table} ${name} { ${setBlock(kind, fields).join(' ; ')} ; }`;
    case 'counter':
    case 'quota':
    case 'limit':
      return `add ${kind} ${table} ${name} { ${stateText(kind, fields)} ; }`;
    default:
      return `add ${kind} ${table} ${name}`;
  }
}

function comment(fields: Fields): string {
  return fields['comment'] === undefined ? '' : `comment "${word(fields['comment'])}"`;
}

function chainBlock(fields: Fields): string {
  const { type, hook, prio, policy, dev } = fields as { readonly [key: string]: Json | undefined };
  const parts = comment(fields) === '' ? [] : [comment(fields)];
  if (hook !== undefined) {
    const device = dev === undefined ? '' : ` device "${word(dev)}"`;
    parts.push(`type ${word(type)} hook ${word(hook)}${device} priority ${word(prio)}`);
  }
  if (policy !== undefined) parts.push(`policy ${word(policy)}`);
  return parts.length === 0 ? '' : ` { ${parts.join(' ; ')} ; }`;
}

function setBlock(kind: 'set' | 'map', fields: Fields): readonly string[] {
  const key = typeText(fields['type']);
  const lines = [kind === 'set' ? `type ${key}` : `type ${key} : ${typeText(fields['map'])}`];
  if (fields['size'] !== undefined) lines.push(`size ${word(fields['size'])}`);
  if (fields['policy'] !== undefined) lines.push(`policy ${word(fields['policy'])}`);
  const flags = listOf(fields['flags']).map(word);
  if (flags.length > 0) lines.push(`flags ${flags.join(',')}`);
  if (fields['timeout'] !== undefined) lines.push(`timeout ${word(fields['timeout'])}s`);
  if (fields['gc-interval'] !== undefined)
    lines.push(`gc-interval ${word(fields['gc-interval'])}s`);
  if (fields['auto-merge'] === true) lines.push('auto-merge');
  if (comment(fields) !== '') lines.push(comment(fields));
  for (const state of listOf(fields['stmt'])) lines.push(statement(state));
  return lines;
}

/** `["ipv4_addr", "inet_service"]`, or a text that is one already. */
function typeText(type: Json | undefined): string {
  const fields = fieldsOf(type);
  if (fields['typeof'] !== undefined) return `typeof ${expression(fields['typeof'])}`;
  return listOf(type).map(word).join(' . ');
}

function elementCommand(kind: string, fields: Fields): readonly string[] {
  const elements = listOf(fields['elem']);
  if ((kind !== 'set' && kind !== 'map') || elements.length === 0) return [];
  const table = `${word(fields['family'])} ${word(fields['table'])}`;
  const text = elements.map(kind === 'map' ? mapping : element).join(', ');
  return [`add element ${table} ${word(fields['name'])} { ${text} }`];
}

/** `[KEY, DATA]`; data are values, or verdicts. */
function mapping(pair: Json): string {
  const [key = null, data = null] = listOf(pair);
  const [verb] = Object.keys(fieldsOf(data));
  const isVerdict = verb !== undefined && VERDICTS.has(verb);
  return `${element(key)} : ${isVerdict ? statement(data) : expression(data)}`;
}

const VERDICTS: ReadonlySet<string> = new Set([
  ...['accept', 'drop', 'return', 'continue', 'jump', 'goto'],
]);

function element(value: Json): string {
  const { elem } = fieldsOf(value);
  if (elem === undefined) return expression(value);
  const { val = null, timeout, expires, comment: about, counter, ...rest } = fieldsOf(elem);
  const parts = [expression(val)];
  if (counter !== undefined) parts.push(`counter ${stateText('counter', fieldsOf(counter))}`);
  for (const [kind, fields] of Object.entries(rest)) parts.push(statement({ [kind]: fields }));
  if (timeout !== undefined) parts.push(`timeout ${word(timeout)}s`);
  if (expires !== undefined) parts.push(`expires ${word(expires)}s`);
  if (about !== undefined) parts.push(`comment "${word(about)}"`);
  return parts.join(' ');
}

/** One statement of a rule. */
function statement(object: Json): string {
  if (typeof object === 'string') return object;
  const [kind = '', value = null] = Object.entries(fieldsOf(object))[0] ?? [];
  const fields = fieldsOf(value);
  switch (kind) {
    case 'match':
      return matchText(fields);
    case 'vmap':
      return `${expression(fields['key'] ?? null)} vmap ${reference(fields['data'] ?? null)}`;
    case 'jump':
    case 'goto':
      return `${kind} ${word(fields['target'])}`;
    case 'mangle':
      return `${expression(fields['key'] ?? null)} set ${expression(fields['value'] ?? null)}`;
    case 'counter':
    case 'quota':
    case 'limit':
      if (typeof value === 'string') return `${kind} name "${value}"`;
      return [kind, stateText(kind, fields)].filter((part) => part !== '').join(' ');
    case 'snat':
    case 'dnat':
    case 'masquerade':
    case 'redirect':
      return natText(kind, fields);
    case 'reject':
      return rejectText(fields);
    case 'log':
      return logText(fields);
    case 'set':
    case 'map':
      return updateText(fields);
    case 'ct count':
      return `ct count ${word(fields['val'])}`;
    default:
      return kind;
  }
}

function matchText(fields: Fields): string {
  const op = word(fields['op']);
  // `in` is what no operator means.
  const between = op === 'in' ? ' ' : ` ${op} `;
  const { left = null, right = null } = fields;
  const text = Array.isArray(right)
    ? (right as readonly Json[]).map(expression).join(',')
    : reference(right);
  return `${expression(left)}${between}${isFibCheck(left) ? checkWord(right) : text}`;
}

function isFibCheck(left: Json): boolean {
  return fieldsOf(left)['fib'] !== undefined;
}

/** `fib … oif exists` is true or false in JSON. */
function checkWord(right: Json): string {
  if (right === true) return 'exists';
  return right === false ? 'missing' : reference(right);
}

function stateText(kind: string, fields: Fields): string {
  if (kind === 'counter') {
    if (fields['packets'] === undefined) return '';
    return `packets ${word(fields['packets'])} bytes ${word(fields['bytes'])}`;
  }
  if (kind === 'quota') {
    const over = fields['inv'] === true ? 'over ' : '';
    const bytes = fields['val'] ?? fields['bytes'];
    const used = Number(fields['used'] ?? 0);
    const behind = used === 0 ? '' : ` used ${used} ${unit(fields['used_unit'])}`;
    return `${over}${word(bytes)} ${unit(fields['val_unit'])}${behind}`;
  }
  const over = fields['inv'] === true ? 'over ' : '';
  const per = word(fields['per']);
  const rate = word(fields['rate']);
  const rateUnit = fields['rate_unit'];
  const isPackets = rateUnit === undefined || rateUnit === 'packets';
  const head = isPackets ? `${rate}/${per}` : `${rate} ${word(rateUnit)}/${per}`;
  const burstUnit = isPackets ? 'packets' : unit(fields['burst_unit']);
  const burst = fields['burst'] === undefined ? '' : ` burst ${word(fields['burst'])} ${burstUnit}`;
  return `rate ${over}${head}${burst}`;
}

function unit(value: Json | undefined): string {
  return value === undefined ? 'bytes' : word(value);
}

function natText(kind: string, fields: Fields): string {
  const {
    family,
    addr,
    port,
    flags,
    type_flags: prefix,
  } = fields as {
    readonly [key: string]: Json | undefined;
  };
  const parts = [kind];
  if (family !== undefined) parts.push(word(family));
  if (listOf(prefix).includes('prefix')) parts.push('prefix');
  if (addr !== undefined || port !== undefined) {
    const ports = port === undefined ? '' : portText(port);
    parts.push('to', addr === undefined ? ports : `${addressText(addr, ports !== '')}${ports}`);
  }
  // `netmap` is what `prefix` says.
  const names = listOf(flags).map(word);
  const said = names.filter((name) => name !== 'netmap');
  if (said.length > 0) parts.push(said.join(','));
  return parts.join(' ');
}

function portText(port: Json): string {
  const text = expression(port);
  return fieldsOf(port)['map'] === undefined ? `:${text}` : ` ${text}`;
}

/** IPv6 addresses with a port stand in brackets. */
function addressText(address: Json, hasPort: boolean): string {
  const text = expression(address);
  if (!hasPort || !text.includes(':')) return text;
  return text
    .split('-')
    .map((one) => `[${one}]`)
    .join('-');
}

function rejectText(fields: Fields): string {
  const { type, expr } = fields as { readonly [key: string]: Json | undefined };
  if (type === undefined) return 'reject';
  if (type === 'tcp reset') return 'reject with tcp reset';
  return `reject with ${word(type)} ${word(expr)}`;
}

function logText(fields: Fields): string {
  const parts = ['log'];
  if (fields['prefix'] !== undefined) parts.push(`prefix "${word(fields['prefix'])}"`);
  for (const key of ['level', 'group', 'snaplen', 'queue-threshold']) {
    const value = fields[key];
    if (value !== undefined) parts.push(`${key} ${word(value)}`);
  }
  return parts.join(' ');
}

function updateText(fields: Fields): string {
  const {
    op,
    elem = null,
    data,
    set,
    map,
    stmt,
  } = fields as {
    readonly [key: string]: Json | undefined;
  };
  const parts = [element(elem), ...listOf(stmt).map(statement)];
  if (data !== undefined) parts.push(':', expression(data));
  return `${word(op)} ${word(set ?? map)} { ${parts.join(' ')} }`;
}

/** A set in braces, the name of one, or any other expression. */
function reference(value: Json): string {
  const { set } = fieldsOf(value);
  if (set === undefined) return expression(value);
  const elements = listOf(set).map((one) => (Array.isArray(one) ? mapping(one) : element(one)));
  return `{ ${elements.join(', ')} }`;
}

function expression(value: Json): string {
  if (typeof value !== 'object' || value === null) return word(value);
  if (Array.isArray(value)) {
    const list = value as readonly Json[];
    return `(${list.map(expression).join(' | ')})`;
  }
  const [kind = '', inner = null] = Object.entries(value as Fields)[0] ?? [];
  const fields = fieldsOf(inner);
  switch (kind) {
    case 'meta':
      return `meta ${word(fields['key'])}`;
    case 'ct':
      return ['ct', fields['dir'], fields['family'], fields['key']]
        .filter((part) => part !== undefined)
        .map(word)
        .join(' ');
    case 'payload':
      return fields['base'] === undefined
        ? `${word(fields['protocol'])} ${word(fields['field'])}`
        : `@${word(fields['base'])},${word(fields['offset'])},${word(fields['len'])}`;
    case 'fib':
      return `fib ${listOf(fields['flags']).map(word).join(' . ')} ${word(fields['result'])}`;
    case 'numgen':
      return `numgen ${word(fields['mode'])} mod ${word(fields['mod'])}${offset(fields)}`;
    case 'jhash': {
      const seed = fields['seed'] === undefined ? '' : ` seed ${word(fields['seed'])}`;
      const of = expression(fields['expr'] ?? null);
      return `jhash ${of} mod ${word(fields['mod'])}${seed}${offset(fields)}`;
    }
    case 'concat':
      return listOf(inner).map(expression).join(' . ');
    case 'range':
      return listOf(inner).map(expression).join('-');
    case 'prefix':
      return `${word(fields['addr'])}/${word(fields['len'])}`;
    case 'set':
      return reference(value);
    case 'elem':
      return element(value);
    case 'map':
      return `${expression(fields['key'] ?? null)} map ${reference(fields['data'] ?? null)}`;
    case '&':
    case '|':
    case '^':
    case '<<':
    case '>>':
      return listOf(inner).map(expression).join(` ${kind} `);
    default:
      // Of a kind that the reader refuses by its name.
      return [kind, ...Object.values(fields)].map((part) => expression(part)).join(' ');
  }
}

function offset(fields: Fields): string {
  const number = Number(fields['offset'] ?? 0);
  return number === 0 ? '' : ` offset ${number}`;
}

function word(value: Json | undefined): string {
  return String(value);
}
