/**
 * What iptables-restore text cannot say here is refused: all of it at once, each with its line.
 * @module
 */
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseIptables } from '../../src/plan/rule/iptables-text.ts';

function faults(text: string, family: 4 | 6 = 4): string[] {
  try {
    parseIptables(text, 'f', family);
  } catch (error) {
    if (error instanceof UserError) {
      return error.diagnostics.map((d) => `${d.line} ${d.code} ${d.found ?? ''}`.trim());
    }
    throw error;
  }
  return [];
}

const inTable = (...rules: string[]) => ['*filter', ':A - [0:0]', ...rules, 'COMMIT'].join('\n');

t.test('everything outside the vocabulary is named at once', async (t) => {
  const text = inTable(
    '-A A -m osf --genre Linux -j ACCEPT',
    '-A A -p tcp -m bpf --bytecode x -m tcp --dport 80 -j NFQUEUE --queue-num 1',
    '-A A -p tcp -m tcp --dport 80 --no-such -j ACCEPT',
    '-A A -j CONNMARK --set-mark 1 --no-such 2',
    '-D A -j ACCEPT',
  );
  t.same(faults(text), [
    '3 PLAN_UNSUPPORTED -m osf',
    '4 PLAN_UNSUPPORTED -m bpf',
    '4 PLAN_UNSUPPORTED -j NFQUEUE',
    '5 PLAN_UNSUPPORTED --no-such',
    '6 PLAN_UNSUPPORTED --no-such',
    '7 PLAN_UNSUPPORTED -D A -j ACCEPT',
  ]);
});

t.test('a rule that iptables would not take is refused', async (t) => {
  for (const [rule, found] of [
    ['-s 10.0.0.256', '10.0.0.256'],
    ['-s fd00::1', 'fd00::1'],
    ['-s 10.0.0.0/255.0.255', '10.0.0.0/255.0.255'],
    ['! -s 10.0.0.1,10.0.0.2', '10.0.0.1,10.0.0.2'],
    ['-p tcp --dport 90:80', '90:80'],
    ['-p tcp --dport http', 'http'],
    ['-m tcp --dport 80', ''],
    ['! -p tcp -m tcp --dport 80', ''],
    ['-p udp --tcp-flags SYN SYN', '--tcp-flags'],
    ['-p nonsense', 'nonsense'],
    ['-i averyveryverylongname', 'averyveryverylongname'],
    [
      '-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16',
      '1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16',
    ],
    ['-m conntrack --ctstate NEVER', 'NEVER'],
    ['-m conntrack', ''],
    ['-m mark --mark 0x100000000', '0x100000000'],
    ['-m comment ! --comment x', ''],
    ['-m set --match-set pods', ''],
    ['-m set --match-set pods up', 'up'],
    ['-m addrtype --limit-iface-in', ''],
    ['-j REJECT --reject-with icmp6-no-route', 'icmp6-no-route'],
    ['-j DNAT --to-destination 10.0.0.1:99999', '99999'],
    ['-j ACCEPT -j DROP', ''],
    ['-j', ''],
    ['-j ACCEPT !', ''],
    ['-m comment --comment "open', '-A A -m comment --comment "open'],
    ['-m hl --hl-eq 1', ''],
    ['-m statistic --mode nth --every 3 --packet 3', '3'],
  ] as const) {
    const [first, ...more] = faults(inTable(`-A A ${rule}`));
    const code = rule.includes('"open')
      ? 'PLAN_SYNTAX'
      : rule.includes('udp --tcp')
        ? 'PLAN_UNSUPPORTED'
        : 'PLAN_RULE';
    t.equal(first, `3 ${code} ${found}`.trim(), rule);
    t.same(more, [], `${rule}: one fault`);
  }
});

t.test('chains and tables are checked as a whole', async (t) => {
  for (const [name, text, want] of [
    ['a jump to nowhere', inTable('-A A -j NONE'), ['3 PLAN_CHAIN_MISSING NONE']],
    ['a rule in no chain', inTable('-A B -j ACCEPT'), ['3 PLAN_CHAIN_MISSING B']],
    ['a jump to a built-in chain', inTable('-A A -j INPUT'), ['3 PLAN_CHAIN_BUILTIN INPUT']],
    ['a chain made twice', inTable(':A - [0:0]'), ['3 PLAN_CHAIN_TWICE A']],
    [
      'a circle of chains',
      inTable(':B - [0:0]', '-A A -j B', '-A B -g A'),
      ['5 PLAN_CHAIN_LOOP A → B → A'],
    ],
    ['a chain that jumps to itself', inTable('-A A -j A'), ['3 PLAN_CHAIN_LOOP A → A']],
    ['no COMMIT', '*filter\n-A INPUT -j DROP\n', ['1 PLAN_COMMIT_MISSING']],
    ['two tables, one COMMIT', '*filter\n*nat\nCOMMIT\n', ['2 PLAN_COMMIT_MISSING']],
    ['a table twice', '*nat\nCOMMIT\n*nat\nCOMMIT\n', ['3 PLAN_TABLE nat']],
    ['an unknown table', '*broute\n-A X -j Y\nCOMMIT\n', ['1 PLAN_TABLE broute']],
    ['text outside', '-A INPUT -j DROP\n', ['1 PLAN_SYNTAX -A INPUT -j DROP']],
    ['a bad policy', '*filter\n:INPUT REJECT\nCOMMIT\n', ['2 PLAN_POLICY REJECT']],
    ['a policy of a user chain', '*filter\n:A DROP\nCOMMIT\n', ['2 PLAN_POLICY A DROP']],
    ['a place past the end', inTable('-I A 2 -j DROP'), ['3 PLAN_RULE 2']],
  ] as const) {
    t.same(faults(text), want, name);
  }
});

t.test('each rule knows its line, also behind Windows line ends', async (t) => {
  const [table] = parseIptables(
    '*filter\r\n\r\n# x\r\n-A INPUT -j DROP\r\nCOMMIT\r\n',
    'dump.txt',
    4,
  );
  t.equal(table?.chains.find((chain) => chain.name === 'INPUT')?.rules[0]?.place, 'dump.txt:4');
});

t.test('inserting, flushing and deleting work on what the file made', async (t) => {
  const text = inTable(
    '-N B',
    '-X B',
    '-A A -j ACCEPT',
    '-F A',
    '[3:180] -A A -j DROP',
    '-I A -j RETURN',
    '-I A 2 -c 1 2 -j ACCEPT',
    '-P INPUT DROP',
  );
  const [table] = parseIptables(text, 'f', 4);
  const chain = table?.chains.find(({ name }) => name === 'A');
  t.same(
    chain?.rules.map(({ target, counters }) => [target.kind, counters?.packets]),
    [
      ['return', undefined],
      ['accept', 1],
      ['drop', 3],
    ],
  );
  t.equal(table?.chains.find(({ name }) => name === 'INPUT')?.policy, 'DROP');
  t.notOk(table?.chains.some(({ name }) => name === 'B'));
});
