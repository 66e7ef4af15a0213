/**
 * `--probes FILE`: a JSON list of asked flows, read with the place of every value, so that each
 * mistake names its line.
 * @module
 */
import { readFileSync } from 'node:fs';
import { parseJson } from '../../cluster/manifest/parse-json.ts';
import {
  entries,
  get,
  placeAt,
  placeOf,
  sourceText,
  type Tree,
  toPlain,
} from '../../cluster/manifest/tree.ts';
import { nearest } from '../../cluster/nearest.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { saysPort } from '../../lab/ask/names.ts';
import { PROBE_PROTOCOLS, type ProbeRequest } from '../../lab/ask/probe.ts';

/** A probe and where its file says so. */
export interface AskedProbe {
  readonly request: ProbeRequest;
  /** `expected.json`, line and column of the probe; absent when the command line asked. */
  readonly place?: { readonly file: string; readonly line: number; readonly column: number };
}

const EXPECTATIONS = ['allowed', 'denied'] as const;
const FIELDS = ['from', 'to', 'port', 'protocol', 'expect', 'host'];
const EXAMPLE =
  '[{"from":"pod/ns/name","to":"pod/ns/name","port":80,"protocol":"TCP","expect":"allowed"}]';

/** Digits are a number, everything else a port's name. */
export function readPort(text: string | undefined): number | string | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : text;
}

/**
 * Read and check a probe file (`-` is standard input). Throws one `UserError` with every mistake:
 * fault `input` when it can not be read.
 */
export function readProbes(path: string): readonly AskedProbe[] {
  const source = sourceText(path === '-' ? '(standard input)' : path, readText(path));
  const { documents, problems } = parseJson(source);
  const mistakes: Diagnostic[] = problems.map(({ code, at, message }) => ({
    code,
    ...placeAt(source, at),
    message,
  }));
  const [root] = documents;
  if (mistakes.length === 0 && (root?.kind !== 'list' || documents.length > 1)) {
    const place = root === undefined ? { file: source.file } : placeOf(root);
    const message = documents.length > 1 ? 'holds several documents' : 'is no list of probes';
    mistakes.push({ code: 'PROBES_SHAPE', ...place, message, accepted: EXAMPLE });
  }
  const list = root?.kind === 'list' ? root.items : [];
  const probes = list.flatMap((item, i) => readProbe(item, `[${i}]`, mistakes) ?? []);
  if (mistakes.length > 0) throw new UserError(mistakes);
  return probes;
}

function readText(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (cause) {
    const message = `can not be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new UserError([{ code: 'PROBES_UNREADABLE', file: path, message }], 'input', cause);
  }
}

function readProbe(tree: Tree, field: string, mistakes: Diagnostic[]): AskedProbe | null {
  const before = mistakes.length;
  const refuse = (at: Tree, name: string, message: string, accepted: string) => {
    const found = JSON.stringify(toPlain(at));
    mistakes.push({ code: 'PROBES_SHAPE', ...placeOf(at), field: name, message, found, accepted });
  };
  if (tree.kind !== 'map') {
    refuse(tree, field, 'is no probe', EXAMPLE);
    return null;
  }
  for (const [key, { keyAt }] of entries(tree)) {
    if (FIELDS.includes(key)) continue;
    const near = nearest(key, FIELDS);
    mistakes.push({
      code: 'PROBES_SHAPE',
      ...placeAt(tree.source, keyAt),
      field: `${field}.${key}`,
      message: 'unknown field',
      accepted: near ? `did you mean ${near}?` : FIELDS.join(', '),
    });
  }
  const part = <T extends string | number>(
    key: string,
    accepted: string,
    isFine: (value: unknown) => value is T,
    isRequired: boolean,
  ): T | undefined => {
    const at = get(tree, key);
    const value = at === undefined ? undefined : toPlain(at);
    if (value !== undefined && isFine(value)) return value;
    const name = `${field}.${key}`;
    if (at !== undefined) refuse(at, name, 'is not accepted', accepted);
    else if (isRequired) {
      const place = placeOf(tree);
      mistakes.push({
        code: 'PROBES_SHAPE',
        ...place,
        field: name,
        message: 'is missing',
        accepted,
      });
    }
    return undefined;
  };
  const end = 'pod/NAMESPACE/NAME, node/NAME or an address';
  const protocol = part('protocol', PROBE_PROTOCOLS.join(', '), oneOf(PROBE_PROTOCOLS), true);
  const from = part('from', end, isText, true);
  const to = part('to', `${end}, svc/NAMESPACE/NAME[:PORT], or a URL`, isText, true);
  const needsPort = protocol !== 'ICMP' && !(to !== undefined && saysPort(to));
  const port = part('port', '1 to 65535, or the name of a port', isPort, needsPort);
  const expect = part('expect', EXPECTATIONS.join(', '), oneOf(EXPECTATIONS), false);
  const host = part('host', 'the host that an HTTP request names', isText, false);
  if (mistakes.length > before || !protocol || !from || !to) return null;
  const request: ProbeRequest = {
    from,
    to,
    protocol,
    ...(port === undefined ? {} : { port }),
    ...(expect === undefined ? {} : { expect }),
    ...(host === undefined ? {} : { host }),
  };
  return { request, place: placeOf(tree) };
}

function oneOf<T extends string>(words: readonly T[]): (value: unknown) => value is T {
  return (value): value is T => words.some((word) => word === value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isPort(value: unknown): value is number | string {
  if (typeof value === 'string') return value !== '';
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;
}
