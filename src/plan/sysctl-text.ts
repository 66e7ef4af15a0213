/**
 * Sysctls as `sysctl -a` prints and `sysctl -p` reads them: `KEY = VALUE`, sorted by key.
 *
 * Source: sysctl(8), sysctl.conf(5) (procps 4.0): blanks around both sides are not part of them,
 * `#` and `;` start comment lines, a `-` before the key tolerates failure, `/` may stand for `.`.
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import type { Plan } from './model.ts';

export function printSysctls(plan: Plan): string {
  const keys = Object.keys(plan.sysctls).toSorted();
  return keys.map((key) => `${key} = ${plan.sysctls[key]}\n`).join('');
}

/** Read such a file; the last of several lines with one key counts, as for the kernel. */
export function parseSysctls(text: string, file: string): Record<string, string> {
  const sysctls: Record<string, string> = {};
  const faults: Diagnostic[] = [];
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) return;
    const m = /^-?([^\s=]+)\s*=\s*(.*)$/.exec(line);
    // No key stands at the root of /proc/sys.
    if (m && /.[./]./.test(m[1] ?? '')) {
      sysctls[withDots(m[1] ?? '')] = (m[2] ?? '').replace(/\t/g, ' ');
      return;
    }
    const place = { file, line: index + 1 };
    faults.push({ code: 'PLAN_SYSCTL', ...place, message: 'not KEY = VALUE', found: line });
  });
  if (faults.length > 0) throw new UserError(faults);
  return sysctls;
}

/** A key written with slashes has dots as slashes (`net/ipv4/conf/eth0.5/rp_filter`). */
function withDots(key: string): string {
  const separator = /[./]/.exec(key)?.[0];
  if (separator !== '/') return key;
  return key.replace(/[./]/g, (c) => (c === '/' ? '.' : '/'));
}
