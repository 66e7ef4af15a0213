/**
 * From the paths a user gave to the capture files behind them: files, folders, standard input.
 *
 * A folder stands for its captures in the order of their names, numbers compared as numbers, so
 * that a ring of rotated files (`cap.pcap`, `cap.pcap1`, …, `cap.pcap10`) is one capture.
 * @module
 */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { startsAsCapture } from './capture-input.ts';

/** Names that promise a capture: such a file is an error when it is none. */
const CAPTURE_NAME = /\.(pcap|pcapng|cap|dmp|ntar)[-_.0-9]*(\.gz)?$/i;
const MAGIC_BYTES = 4;

/**
 * Resolve the paths in the order given; duplicates stay, as the user wrote them.
 *
 * Throws one UserError (exit 3) that names every path that is missing or holds no capture.
 */
export async function captureFiles(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  const mistakes: Diagnostic[] = [];
  for (const path of paths) {
    const found = path === '-' ? [path] : await filesBehind(path);
    if (Array.isArray(found)) files.push(...found);
    else mistakes.push(found);
  }
  if (files.filter((file) => file === '-').length > 1) {
    mistakes.push({
      code: 'CAPTURE_STDIN_TWICE',
      message: 'standard input can be read only once',
      found: 'several -',
    });
  }
  if (mistakes.length > 0) throw new UserError(mistakes, 'input');
  return files;
}

async function filesBehind(path: string): Promise<string[] | Diagnostic> {
  try {
    const { isDirectory } = await kind(path);
    return isDirectory ? await capturesIn(path) : [path];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { code: 'CAPTURE_UNREADABLE', file: path, message: `can not be opened: ${why}` };
  }
}

async function kind(path: string): Promise<{ isDirectory: boolean; isFile: boolean }> {
  const info = await stat(path);
  return { isDirectory: info.isDirectory(), isFile: info.isFile() };
}

async function capturesIn(folder: string): Promise<string[] | Diagnostic> {
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.'));
  names.sort(compareNames);
  const files: string[] = [];
  for (const name of names) {
    const path = join(folder, name);
    if (!(await kind(path)).isFile) continue;
    if (mayBeCapture(path, await head(path))) files.push(path);
  }
  if (files.length > 0) return files;
  return {
    code: 'CAPTURE_FOLDER_EMPTY',
    file: folder,
    message: 'holds no capture',
    accepted: 'pcap or pcapng files directly inside, also gzip-compressed',
  };
}

/** Whether a folder's file is taken for a capture, by its name or its first four bytes. */
export function mayBeCapture(path: string, head: Uint8Array): boolean {
  return CAPTURE_NAME.test(path) || startsAsCapture(head);
}

async function head(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const buffer = new Uint8Array(MAGIC_BYTES);
    const { bytesRead } = await file.read(buffer, 0, MAGIC_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Digit runs by value, the rest by code unit; no locale, so the order is the same anywhere. */
export function compareNames(a: string, b: string): number {
  const left = a.match(/\d+|\D+/g) ?? [];
  const right = b.match(/\d+|\D+/g) ?? [];
  for (let i = 0; i < left.length && i < right.length; i++) {
    const x = left[i] ?? '';
    const y = right[i] ?? '';
    if (x === y) continue;
    if (/^\d/.test(x) && /^\d/.test(y)) {
      const difference = BigInt(x) - BigInt(y);
      if (difference !== 0n) return difference < 0n ? -1 : 1;
    }
    return x < y ? -1 : 1;
  }
  return left.length - right.length;
}
