/**
 * IP sets: printed sets read back, the dialects of products are understood, the rest is refused.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import { parseIpsets, printIpsets } from '../../src/plan/ipset/text.ts';
import { setsOf } from '../support/plan-sets.ts';

const empty = new PlanBuilder('node-a', 'node').build();

t.test('printed sets read back as themselves', async (t) => {
  const law = fc.property(setsOf(), (ipsets) => {
    t.same(parseIpsets(printIpsets({ ...empty, ipsets }), 'printed'), ipsets);
  });
  fc.assert(law, { seed: 2, numRuns: 50 });
});

t.test("a policy manager's restore file is read", async (t) => {
  const text = [
    '-N azure-npm-1 --exist nethash',
    '-N azure-npm-2 --exist nethash maxelem 4294967295',
    '-N azure-npm-3 --exist hash:ip,port',
    '-N azure-npm-4 --exist setlist',
    '-A azure-npm-1 10.240.0.5',
    '-A azure-npm-2 10.0.0.0/8',
    '-A azure-npm-2 10.1.0.0/16 nomatch',
    '-A azure-npm-3 10.0.0.5,TCP:8080',
    '-A azure-npm-4 azure-npm-1',
  ].join('\n');
  t.equal(
    printIpsets({ ...empty, ipsets: parseIpsets(text, 'npm') }),
    `create azure-npm-1 hash:net family inet hashsize 1024 maxelem 65536
add azure-npm-1 10.240.0.5
create azure-npm-2 hash:net family inet hashsize 1024 maxelem 4294967295
add azure-npm-2 10.0.0.0/8
add azure-npm-2 10.1.0.0/16 nomatch
create azure-npm-3 hash:ip,port family inet hashsize 1024 maxelem 65536
add azure-npm-3 10.0.0.5,tcp:8080
create azure-npm-4 list:set size 8
add azure-npm-4 azure-npm-1
`,
  );
});

t.test('sets of three dimensions and of ports read back as they are printed', async (t) => {
  const text = `create a hash:ip,port,ip family inet hashsize 1024 maxelem 65536
add a 10.0.0.1,tcp:80,10.0.0.1
create b hash:ip,port,net family inet6 hashsize 1024 maxelem 65536
add b fd00::1,udp:53,fd00::/64
add b fd00::1,udp:53,fd00::/80 nomatch
create c bitmap:port range 0-65535
add c 30080
`;
  t.equal(printIpsets({ ...empty, ipsets: parseIpsets(text, 'f') }), text);
});

t.test('counters and comments of members decide nothing and are passed over', async (t) => {
  const text =
    'create a hash:ip counters comment\nadd a 10.0.0.1 packets 3 bytes 4 comment "x y"\n';
  t.equal(parseIpsets(text, 'f')[0]?.members.length, 1);
});

t.test('what changes a lookup and is not known is refused, all at once', async (t) => {
  const text = [
    'create a hash:ip skbinfo',
    'create b hash:mac',
    'add b 02:00:00:00:00:01',
    'create a hash:ip',
    'create c hash:net maxelem 1',
    'add c 0.0.0.0/0',
    'add c 10.0.0.0/8',
    'add c 10.0.0.0/8',
    'add c 11.0.0.0/8',
    'add a 10.0.0.0/30',
    'add a 10.0.0.1 nomatch',
    'add nowhere 1.1.1.1',
    'create l list:set',
    'add l nowhere',
    'destroy a',
  ].join('\n');
  t.throws(() => parseIpsets(text, 'f'), UserError);
  try {
    parseIpsets(text, 'f');
  } catch (error) {
    t.same(
      (error as UserError).diagnostics.map((d) => `${d.line} ${d.code}`),
      [
        '1 PLAN_UNSUPPORTED',
        '2 PLAN_UNSUPPORTED',
        '4 PLAN_SET_TWICE',
        '6 PLAN_SET_MEMBER',
        '8 PLAN_SET_MEMBER_TWICE',
        '9 PLAN_SET_FULL',
        '10 PLAN_SET_MEMBER',
        '11 PLAN_SET_MEMBER',
        '12 PLAN_SET_MISSING',
        '14 PLAN_SET_MISSING',
        '15 PLAN_UNSUPPORTED',
      ],
    );
  }
});
