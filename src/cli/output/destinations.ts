/**
 * Where results go and inputs come from, checked together: nothing is written over an input or over
 * another result, and standard input and output have one user each.
 * @module
 */
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { mayBeCapture } from '../../capture/capture-files.ts';
import { manifestFiles } from '../../cluster/manifest/read-files.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { FORMATS, type Format, type OutputRequest, parseOutputs } from '../../report/formats.ts';

const STANDARD = '-';

/** What a verb was given to read and to write; each is its option's values. */
export interface Streams {
  readonly output: readonly string[];
  readonly write?: string;
  readonly read?: readonly string[];
  readonly file: readonly string[];
  readonly recursive: boolean;
  readonly probes?: string;
  /** `[NODE=]DIR` each. */
  readonly dump?: readonly string[];
}

/**
 * The outputs asked for. With `-w -` and no `-o`, standard output belongs to the capture and no
 * table is printed. Every mistake is reported.
 */
export function chooseOutputs(
  streams: Streams,
  accepted: readonly Format[] = FORMATS,
): readonly OutputRequest[] {
  const { output, write } = streams;
  const isPiped = write === STANDARD && output.length === 0;
  const outputs = isPiped ? [] : parseOutputs(output, accepted);
  checkStreams(streams, outputs);
  return outputs;
}

/** Refuse two users of one stream, and results over inputs or over each other. */
export function checkStreams(streams: Streams, outputs: readonly OutputRequest<string>[]): void {
  const { write } = streams;
  const mistakes = [...stdinTwice(streams), ...stdoutTwice(outputs, write)];
  mistakes.push(...writeKind(write), ...sameFiles(streams, outputs));
  if (mistakes.length > 0) throw new UserError(mistakes);
}

function stdinTwice({ file, read = [], probes }: Streams): readonly Diagnostic[] {
  const users = [
    ...file.filter((path) => path === STANDARD).map(() => '-f -'),
    ...read.filter((path) => path === STANDARD).map(() => '-r -'),
    ...(probes === STANDARD ? ['--probes -'] : []),
  ];
  if (users.length < 2) return [];
  const message = 'standard input can be read only once';
  const accepted = 'one -, files for the others';
  return [{ code: 'STDIN_TWICE', message, found: users.join(' '), accepted }];
}

function stdoutTwice(
  outputs: readonly OutputRequest<string>[],
  write: string | undefined,
): readonly Diagnostic[] {
  const users = outputs.filter((o) => o.path === null || o.path === STANDARD);
  const named = [...users.map((o) => `-o ${o.format}`), ...(write === STANDARD ? ['-w -'] : [])];
  if (named.length < 2) return [];
  const message = 'standard output can take only one result';
  const accepted = '-o FORMAT=PATH or -w PATH for the others';
  return [{ code: 'STDOUT_TWICE', message, found: named.join(' '), accepted }];
}

/** Names that promise the older format, which has no room for verdicts and comments. */
const CLASSIC = /\.(pcap|cap|dmp)(\.gz)?$/i;

function writeKind(write: string | undefined): readonly Diagnostic[] {
  if (write === undefined || !CLASSIC.test(write)) return [];
  return [
    {
      code: 'WRITE_CLASSIC',
      field: '-w',
      message: 'a pcap file has no room for verdicts and comments; pcapng has',
      found: write,
      accepted: 'OUT.pcapng, OUT.pcapng.gz or - (tcpdump reads pcapng too)',
    },
  ];
}

function sameFiles(
  streams: Streams,
  outputs: readonly OutputRequest<string>[],
): readonly Diagnostic[] {
  const { write } = streams;
  const taken = new Map<string, string>();
  for (const path of filesRead(streams)) {
    const key = fileKey(path);
    if (key !== null) taken.set(key, 'which is read');
  }
  const written = [
    ...outputs.flatMap((o) => (o.path === null ? [] : [{ field: '-o', path: o.path }])),
    ...(write === undefined ? [] : [{ field: '-w', path: write }]),
  ];
  return written.flatMap(({ field, path }) => {
    const key = fileKey(path) ?? newKey(path);
    if (key === null) return [];
    const other = taken.get(key);
    taken.set(key, 'which is written already');
    const message = `would write over a file ${other}`;
    return other === undefined ? [] : [{ code: 'OUTPUT_TAKEN', field, message, found: path }];
  });
}

/** Every file that is read, those in folders included. */
function filesRead({ read = [], file, recursive, probes, dump = [] }: Streams): readonly string[] {
  const captures = read.flatMap((path) => inFolder(path)?.filter(isCapture) ?? [path]);
  const folders = dump.map((text) => (isFolder(text) ? text : text.replace(/^[^=/]+=/, '')));
  const dumped = folders.flatMap((folder) => inFolder(folder) ?? []);
  const manifests = manifestFiles(file, recursive);
  return [...captures, ...manifests, ...dumped, ...(probes === undefined ? [] : [probes])];
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** What stands directly in a folder; null for what is none. */
function inFolder(path: string): readonly string[] | null {
  return isFolder(path) ? readdirSync(path).map((name) => join(path, name)) : null;
}

/** Whether a folder's file is read as a capture. */
function isCapture(path: string): boolean {
  if (fileKey(path) === null) return false;
  const head = new Uint8Array(4);
  const fd = openSync(path, 'r');
  try {
    return mayBeCapture(path, head.subarray(0, readSync(fd, head)));
  } finally {
    closeSync(fd);
  }
}

/** A file that is not there yet is known by its name alone. */
function newKey(path: string): string | null {
  const isNew = path !== STANDARD && statSync(path, { throwIfNoEntry: false }) === undefined;
  return isNew ? `new ${resolve(path)}` : null;
}

/** Device and inode of a regular file; null for what is not there, and for pipes and devices. */
function fileKey(path: string): string | null {
  if (path === STANDARD) return null;
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return null;
  return found.isFile() ? `${found.dev} ${found.ino}` : null;
}
