/**
 * nft's own tables in a dump: what only nft has is there, what iptables-nft made is there once.
 * @module
 */
import t from 'tap';
import { readDump } from '../../src/dump/read-dump.ts';
import type { Plan } from '../../src/plan/model.ts';
import { printNft } from '../../src/plan/nft/text/ruleset-text.ts';
import { device, files, LO, lines, PLAIN, type Texts } from '../support/dumps.ts';
import { engineOf, inject } from '../support/hosts.ts';
import { tcp } from '../support/packets.ts';

const ADDR = lines(LO, device(2, 'eth0', ['10.1.0.4/16']));

function planOf(texts: Texts): Plan {
  return readDump('n', files({ ...PLAIN, 'ip-addr.txt': ADDR, ...texts })).plan;
}

const filter = (...rules: readonly string[]) => lines('*filter', ...rules, 'COMMIT');

const RULESET = lines(
  '# Warning: table ip filter is managed by iptables-nft, do not touch!',
  'table ip filter {',
  '\tchain INPUT {',
  '\t\ttype filter hook input priority filter; policy accept;',
  '\t\txt match "comment" counter packets 0 bytes 0 drop',
  '\t}',
  '}',
  'table inet fw {',
  '\tset blocked {',
  '\t\ttype inet_service',
  '\t\telements = { 22, 23 }',
  '\t}',
  '',
  '\tchain in {',
  '\t\ttype filter hook input priority filter; policy accept;',
  '\t\ttcp dport @blocked drop',
  '\t}',
  '}',
);

t.test("nft's own table stands beside what iptables-save prints", async (t) => {
  const plan = planOf({ 'iptables-save.txt': filter('-A INPUT -j ACCEPT'), 'nft.txt': RULESET });
  t.strictSame(
    plan.tables.map(({ name }) => name),
    ['filter'],
    'the table of iptables is there once',
  );
  t.equal(printNft(plan), RULESET.slice(RULESET.indexOf('table inet')), 'and printed back');
  t.strictSame(plan.nft?.iptables, [{ family: 4, name: 'filter', after: 0 }], 'it was there first');
});

t.test('JSON says the same as text, and one of them is read', async (t) => {
  const json = JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6' } },
      { table: { family: 'ip', name: 'filter', handle: 1 } },
      { rule: { family: 'ip', table: 'filter', chain: 'INPUT', expr: [{ xt: null }] } },
      { table: { family: 'inet', name: 'fw', handle: 2 } },
      {
        set: {
          family: 'inet',
          name: 'blocked',
          table: 'fw',
          type: 'inet_service',
          elem: [22, 23],
        },
      },
      {
        chain: {
          family: 'inet',
          table: 'fw',
          name: 'in',
          type: 'filter',
          hook: 'input',
          prio: 0,
          policy: 'accept',
        },
      },
      {
        rule: {
          family: 'inet',
          table: 'fw',
          chain: 'in',
          expr: [
            {
              match: {
                op: '==',
                left: { payload: { protocol: 'tcp', field: 'dport' } },
                right: '@blocked',
              },
            },
            { drop: null },
          ],
        },
      },
    ],
  });
  const rules = { 'iptables-save.txt': filter('-A INPUT -j ACCEPT') };
  const fromText = printNft(planOf({ ...rules, 'nft.txt': RULESET }));
  t.equal(printNft(planOf({ ...rules, 'nft.json': json })), fromText);
  t.equal(printNft(planOf({ ...rules, 'nft.json': json, 'nft.txt': RULESET })), fromText);
});

t.test('a table of an old name that iptables-save does not print is of nft itself', async (t) => {
  const own = lines(
    'table ip nat {',
    '\tchain pre {',
    '\t\ttype nat hook prerouting priority dstnat; policy accept;',
    '\t\ttcp dport 80 redirect to :8080',
    '\t}',
    '}',
  );
  const plan = planOf({ 'iptables-save.txt': filter('-A INPUT -j ACCEPT'), 'nft.txt': own });
  t.equal(printNft(plan), own);
});

t.test('a packet to the node meets the rules of both', async (t) => {
  const texts = { 'iptables-save.txt': filter('-A INPUT -j ACCEPT'), 'nft.txt': RULESET };
  const plan = planOf({ ...texts, 'ip6tables-save.txt': '' });
  const engine = engineOf([plan]);
  const journey = engine.inject(
    inject.received('n/eth0', tcp().from('10.1.0.9', 4000).to('10.1.0.4', 22).syn().packet()),
  );
  t.equal(journey.outcome, 'dropped');
  t.equal(journey.decision?.text, 'tcp dport @blocked drop');
  t.match(journey.decision?.rule, { table: 'inet fw', chain: 'in', index: 1 });
  const other = engine.inject(
    inject.received('n/eth0', tcp().from('10.1.0.9', 4000).to('10.1.0.4', 80).syn().packet()),
  );
  t.equal(other.outcome, 'delivered');
});

t.test('rules of both variants of iptables are met, and the dump is printed back', async (t) => {
  const newer = filter(':INPUT ACCEPT [0:0]', '-A INPUT -p tcp -m tcp --dport 22 -j DROP');
  const older = filter(':INPUT ACCEPT [0:0]', '-A INPUT -p tcp -m tcp --dport 80 -j DROP');
  const { plan, warnings } = readDump(
    'n',
    files({
      ...PLAIN,
      'ip-addr.txt': ADDR,
      'iptables-save.txt': newer,
      'iptables-legacy-save.txt': older,
    }),
  );
  t.ok(warnings.some(({ message }) => message.includes('iptables-legacy has rules in filter')));
  const engine = engineOf([plan]);
  for (const [port, outcome, legacy] of [
    [22, 'dropped', undefined],
    [80, 'dropped', true],
    [443, 'delivered', undefined],
  ] as const) {
    const journey = engine.inject(
      inject.received('n/eth0', tcp().from('10.1.0.9', 4000).to('10.1.0.4', port).syn().packet()),
    );
    t.equal(journey.outcome, outcome, `port ${port}`);
    if (outcome === 'dropped') t.equal(journey.decision?.rule?.legacy, legacy, `rule of ${port}`);
  }
});
