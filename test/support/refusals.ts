/**
 * The command with mistakes in what it is given: what is wrong is said so that a stranger can act on
 * it, with the right exit code and nothing on standard output.
 * @module
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { caseFolder, forEachRow, wiretrial } from './command.ts';

/** One way to call the command, and how it is refused. */
export interface Refusal {
  readonly what: string;
  readonly args: readonly string[];
  readonly status: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Each stands in what is said: place, field, found, accepted. */
  readonly says: readonly (string | RegExp)[];
}

/** A folder with the small case of command.ts, and with what tests put beside it. */
export interface RefusalFolder {
  readonly path: string;
  /** Write a file there; its name. */
  file(name: string, text: string | Uint8Array): string;
  /** Run the command there, a row each. */
  refuses(t: Test, rows: readonly Refusal[]): Promise<void>;
}

/** Make the folder of a test file: gone when that is done. */
export async function refusalFolder(): Promise<RefusalFolder> {
  // A process each takes a third of a second, and this machine may have others to run.
  t.setTimeout(600_000);
  const { path, done } = await caseFolder();
  t.teardown(done);
  return {
    path,
    file: (name, text) => {
      writeFileSync(join(path, name), text);
      return name;
    },
    refuses: (t, rows) => refuses(t, path, rows),
  };
}

async function refuses(t: Test, cwd: string, rows: readonly Refusal[]): Promise<void> {
  await forEachRow(rows, async ({ what, args, env, status, says }) => {
    const ran = await wiretrial(args, { cwd, ...(env ? { env } : {}) });
    t.equal(ran.status, status, `${what}: exit code (${ran.stderr.trim()})`);
    t.equal(ran.stdout, '', `${what}: nothing on standard output`);
    t.notMatch(ran.stderr, /\n {4}at /, `${what}: no stack trace`);
    for (const text of says) {
      const found = typeof text === 'string' ? ran.stderr.includes(text) : text.test(ran.stderr);
      t.ok(found, `${what}: says ${text} in\n${ran.stderr}`);
    }
  });
}
