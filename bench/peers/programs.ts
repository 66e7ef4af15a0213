/**
 * The small C programs of this folder: built with the machine's compiler into a folder of the run.
 * Nothing is ever installed; what is missing is named with the Debian package that brings it.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The sources stay where they are; this file runs from the output folder beside them. */
const SOURCES = fileURLToPath(new URL('../../../bench/peers/', import.meta.url));
const MAX_OUTPUT = 64 * 1024 * 1024;
const TIMEOUT_MS = 300_000;

/** A peer that is not there: why, and what would bring it. Never a pass. */
export class Missing extends Error {}

/** Run to the end; its standard output. */
export function run(argv: readonly string[], input?: string): string {
  const [file = '', ...args] = argv;
  const options = { encoding: 'utf8', maxBuffer: MAX_OUTPUT, timeout: TIMEOUT_MS } as const;
  const ran = spawnSync(file, args, input === undefined ? options : { ...options, input });
  if (ran.status === 0) return ran.stdout;
  const why = ran.error?.message ?? `${ran.stdout.slice(-500)}${ran.stderr.slice(-2000)}`;
  throw new Error(`${argv.slice(0, 12).join(' ')}: ${why.trim()}`);
}

/** @throws Missing when the tool can not be run */
export function needTool(tool: string, argv: readonly string[], debian: string): void {
  const [file = '', ...args] = argv;
  if (spawnSync(file, args).status === 0) return;
  throw new Missing(`${tool} is not there (Debian package ${debian})`);
}

/** Build `NAME.c`; returns the program's path. */
export function compile(folder: string, name: string, flags: readonly string[] = []): string {
  needTool('a C compiler', ['cc', '--version'], 'gcc');
  const program = join(folder, name);
  run(['cc', '-O3', '-march=native', '-o', program, join(SOURCES, `${name}.c`), ...flags]);
  return program;
}

/** Build `NAME.bpf.c` for the kernel's machine; returns the object's path. */
export function compileBpf(folder: string, name: string): string {
  needTool('clang', ['clang', '--version'], 'clang');
  needTool('libbpf', ['pkg-config', '--exists', 'libbpf'], 'libbpf-dev');
  const object = join(folder, `${name}.o`);
  const include = `/usr/include/${run(['cc', '-print-multiarch']).trim()}`;
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-I', include];
  run(['clang', ...flags, '-c', join(SOURCES, `${name}.bpf.c`), '-o', object]);
  return object;
}
