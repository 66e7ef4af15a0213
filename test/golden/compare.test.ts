/**
 * What `compare` must say of every case follows from its verdicts: the rows on which the engines
 * differ, and no others, each of its kind and with the step at which the stacks part.
 * @module
 */
import t from 'tap';
import type { Difference } from '../../src/lab/compare/compare.ts';
import { fateOn, goldenCases } from './case.ts';
import { compareCase } from './run-case.ts';

const STACKS = ['azure-transparent+npm', 'azure-transparent+calico'] as const;

function ends(d: Difference): string {
  const { from, src, to, dst, protocol, dport } = d.connection;
  return `${from ?? src} -> ${to ?? dst} ${protocol} ${dport}`;
}

for (const golden of goldenCases()) {
  t.test(`${golden.name}: differences between NPM and Calico`, async (t) => {
    const [npm, calico] = STACKS;
    const differing = golden.expected.connections.filter(
      (row) => fateOn(row, npm).verdict !== fateOn(row, calico).verdict,
    );
    const found = await compareCase(golden, STACKS);
    t.strictSame(
      found.map(ends).sort(),
      differing.map((r) => `${r.from} -> ${r.to} ${r.protocol} ${r.port}`).sort(),
    );
    for (const row of differing) {
      const name = `${row.from} -> ${row.to} ${row.protocol} ${row.port}`;
      const difference = found.find((d) => ends(d) === name);
      t.equal(difference?.class.id, row.class, name);
      t.equal(difference?.verdicts[npm], fateOn(row, npm).verdict, `${name} on NPM`);
      t.equal(difference?.verdicts[calico], fateOn(row, calico).verdict, `${name} on Calico`);
      t.ok(difference?.firstDivergence, `${name}: the step at which they part`);
    }
  });
}
