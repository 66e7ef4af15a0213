/**
 * The API server's own validation tests (kubernetes 1.20 TestValidateNetworkPolicy and
 * TestValidateServiceCreate, run upstream and recorded): same verdict, type, field and detail.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { FieldErrors } from '../../src/cluster/manifest/field-error.ts';
import { parseJson } from '../../src/cluster/manifest/parse-json.ts';
import { checkShape } from '../../src/cluster/manifest/schema.ts';
import { SERVICE } from '../../src/cluster/manifest/schema-core.ts';
import { get, sourceText } from '../../src/cluster/manifest/tree.ts';
import { validateService } from '../../src/cluster/validate/service.ts';
import { NETWORK_POLICY, validateNetworkPolicy } from '../../src/policy/validate.ts';
import { sharedPath } from '../support/shared.ts';

interface Case {
  readonly name: string;
  readonly valid: boolean;
  readonly object: Readonly<Record<string, unknown>>;
  readonly errors: readonly {
    readonly type: string;
    readonly field: string;
    readonly detail: string;
  }[];
}

/** Sentences that later releases changed (1.33: facts on validation wording). */
const NEWER_WORDING = new Map([
  ['not a valid CIDR', 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'],
]);

/** Where we say more: 1.20 stops at a policy's first bad `except`, we name all mistakes at once. */
const MORE = new Map([
  [
    'except field is an empty string',
    [
      'FieldValueInvalid spec.ingress[0].from[0].ipBlock.except[1]: ' +
        'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ],
  ],
]);

const suite = sharedPath('suites/apiserver-validation');

function cases(folder: string): readonly Case[] {
  const path = join(suite ?? '', folder);
  return readdirSync(path)
    .filter((f) => f.endsWith('.json'))
    .map((f) => JSON.parse(readFileSync(join(path, f), 'utf8')) as Case);
}

function errorsOf(kind: 'networkpolicy' | 'service', object: unknown): readonly string[] {
  const { documents } = parseJson(sourceText('case.json', JSON.stringify(object)));
  const tree = documents[0]!;
  const errors = new FieldErrors();
  checkShape(errors, kind === 'service' ? SERVICE : NETWORK_POLICY, tree, '');
  if (kind === 'service') validateService(errors, get(tree)!);
  else validateNetworkPolicy(errors, tree);
  return errors.all.map((e) => `${e.type} ${e.field}: ${e.detail}`).sort();
}

for (const kind of ['networkpolicy', 'service'] as const) {
  const name = `${kind}: every recorded case has the API server's verdict`;
  t.test(name, { skip: suite ? false : 'needs ../shared' }, async (t) => {
    let checked = 0;
    for (const c of cases(kind)) {
      if ('topologyKeys' in (c.object['spec'] as object)) {
        t.comment(`left out: ${c.name} (topologyKeys was removed in 1.22)`);
        continue;
      }
      const want = c.errors
        .map((e) => `${e.type} ${e.field}: ${NEWER_WORDING.get(e.detail) ?? e.detail}`)
        .concat(MORE.get(c.name) ?? [])
        .sort();
      t.equal(c.valid, want.length === 0, `${c.name}: the case is consistent`);
      t.same(errorsOf(kind, c.object), want, c.name);
      checked++;
    }
    t.ok(checked > (kind === 'service' ? 110 : 36), `${checked} cases were checked`);
  });
}
