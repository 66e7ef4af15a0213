/**
 * Dumps that can not be read: every place is named, and nothing of the dump is used.
 * @module
 */
import t from 'tap';
import { readDump } from '../../src/dump/read-dump.ts';
import { lower } from '../../src/lowering/link.ts';
import { device, files, LO, lines, mistakes, PLAIN, type Texts } from '../support/dumps.ts';

const ADDR = lines(LO, device(2, 'eth0', ['10.1.0.4/16']));

function read(texts: Texts): readonly string[] {
  return mistakes(() =>
    lower(readDump('n', files({ ...PLAIN, 'ip-addr.txt': ADDR, ...texts })).plan),
  );
}

const filter = (...rules: readonly string[]) => lines('*filter', ...rules, 'COMMIT');

/** What is in a file, and the mistakes that reading it gives. */
const ROWS: readonly (readonly [what: string, texts: Texts, said: readonly string[]])[] = [
  [
    'a match that is not emulated',
    { 'iptables-save.txt': filter('-A FORWARD -m geoip --source-country DE -j DROP') },
    ['dump/iptables-save.txt:2 PLAN_UNSUPPORTED -m geoip'],
  ],
  [
    'a jump to a chain that is not there, and a chain made twice, both at once',
    { 'iptables-save.txt': filter(':A - [0:0]', ':A - [0:0]', '-A FORWARD -j B') },
    [
      'dump/iptables-save.txt:3 PLAN_CHAIN_TWICE A',
      'dump/iptables-save.txt:4 PLAN_CHAIN_MISSING B',
    ],
  ],
  [
    'a loop of chains',
    {
      'iptables-save.txt': filter(
        ':A - [0:0]',
        ':B - [0:0]',
        '-A FORWARD -j A',
        '-A A -j B',
        '-A B -j A',
      ),
    },
    ['dump/iptables-save.txt:6 PLAN_CHAIN_LOOP A → B → A'],
  ],
  [
    'a file that ends too early',
    { 'iptables-save.txt': '*filter\n-A FORWARD -j ACCEPT\n' },
    ['dump/iptables-save.txt:1 PLAN_COMMIT_MISSING'],
  ],
  [
    'a set that the file of sets does not make',
    { 'iptables-save.txt': filter('-A FORWARD -m set --match-set pods src -j DROP') },
    ['dump/iptables-save.txt:2 DUMP_SET_MISSING pods'],
  ],
  [
    'a member of a set that was not made, and a member that is none',
    { 'ipset-save.txt': lines('create a hash:ip', 'add b 10.0.0.1', 'add a 10.0.0.300') },
    [
      'dump/ipset-save.txt:2 PLAN_SET_MISSING b',
      'dump/ipset-save.txt:3 PLAN_SET_MEMBER 10.0.0.300',
    ],
  ],
  [
    'a route and a neighbour of devices that do not exist',
    {
      'ip-route.txt': lines('default via 10.1.0.1 dev eth1 '),
      'ip-neigh.txt': lines('10.1.0.1 dev eth2 lladdr 02:00:00:00:00:01 REACHABLE'),
    },
    [
      'dump/ip-route.txt:1 DUMP_RECORD default dev eth1',
      'dump/ip-neigh.txt:1 DUMP_RECORD 10.1.0.1 dev eth2',
    ],
  ],
  [
    'a word in a route that is not known',
    {
      'ip-route.txt': lines('default via 10.1.0.1 dev eth0 ', '10.9.0.0/16 dev eth0 encap mpls 7'),
    },
    ['dump/ip-route.txt:2 DUMP_RECORD dev eth0 encap mpls 7'],
  ],
  [
    'a routing rule with a selector that is not emulated',
    { 'ip-rule.txt': lines('0:	from all lookup local', '9:	from all ipproto tcp lookup 5') },
    ['dump/ip-rule.txt:2 DUMP_RECORD ipproto tcp'],
  ],
  [
    'a next hop of another family',
    {
      'ip-route.json':
        '[{"dst":"10.9.0.0/16","dev":"eth0","via":{"family":"inet6","host":"fe80::1"}}]',
    },
    ['dump/ip-route.json DUMP_RECORD 10.9.0.0/16 via fe80::1'],
  ],
  [
    'JSON that stops in the middle',
    { 'ip-neigh.json': '[{"dst":"10.1.0.1","dev":"eth0","state":["STALE"]' },
    ['dump/ip-neigh.json DUMP_JSON'],
  ],
  [
    'an object without its key',
    { 'ip-neigh.json': '[{"dst":"10.1.0.1","dev":"eth0","state":[]},{"dst":"10.1.0.2"}]' },
    ['dump/ip-neigh.json DUMP_RECORD {"dst":"10.1.0.2"}'],
  ],
  [
    'the same table of one variant in two files that differ',
    {
      'iptables-save.txt': filter('-A FORWARD -p tcp -j ACCEPT'),
      'iptables-save-later.txt': filter('-A FORWARD -p udp -j ACCEPT'),
    },
    [
      'dump/iptables-save-later.txt DUMP_TABLE_TWICE dump/iptables-save.txt and dump/iptables-save-later.txt',
    ],
  ],
  [
    "rules of nft's own that are not emulated, in JSON",
    {
      'nft.json': JSON.stringify({
        nftables: [
          { table: { family: 'inet', name: 'fw' } },
          { chain: { family: 'inet', table: 'fw', name: 'in', hook: 'input', policy: 'drop' } },
          { rule: { family: 'inet', table: 'fw', chain: 'in', expr: [{ queue: null }] } },
          { rule: { family: 'inet', table: 'fw', chain: 'in', expr: [{ xt: null }] } },
        ],
      }),
    },
    [
      'dump/nft.json PLAN_NFT add chain inet fw in { type undefined hook input priority undefined ; policy drop ; }',
      'dump/nft.json PLAN_NFT add rule inet fw in queue',
      'dump/nft.json PLAN_NFT add rule inet fw in xt',
    ],
  ],
  [
    'the same in text, each with its line; a chain that is not there',
    {
      'nft.txt': lines(
        'table inet fw {',
        '\tchain in {',
        '\t\ttype filter hook input priority filter; policy drop;',
        '\t\ttcp option maxseg size 5 drop',
        '\t\tmeta l4proto tcp udp dport 5 drop',
        '\t\tsocket transparent 1 accept',
        '\t}',
        '}',
      ),
    },
    [
      'dump/nft.txt:4 PLAN_NFT tcp option maxseg size 5 drop',
      'dump/nft.txt:6 PLAN_NFT socket transparent 1 accept',
    ],
  ],
  [
    'chains of nft that are missing or lead in a circle, sets that are missing, wrong protocols',
    {
      'nft.txt': lines(
        'table inet fw {',
        '\tchain a {',
        '\t\tjump b',
        '\t\tip saddr @none drop',
        '\t\tmeta l4proto tcp udp dport 5 drop',
        '\t\tjump c',
        '\t}',
        '\tchain b {',
        '\t\tjump a',
        '\t}',
        '}',
      ),
    },
    [
      'dump/nft.txt:6 PLAN_CHAIN_MISSING c',
      'PLAN_LOOP a > b > a',
      'dump/nft.txt:4 PLAN_NFT_SET none',
      'dump/nft.txt:5 PLAN_NFT_PROTOCOL 6',
    ],
  ],
  [
    'a line of sysctl',
    { 'sysctl.txt': lines('net.ipv4.ip_forward = 1', 'oops') },
    ['dump/sysctl.txt:2 PLAN_SYSCTL oops'],
  ],
  [
    'ebtables',
    {
      'ebtables-save.txt': lines('*filter', ':FORWARD ACCEPT', '-A FORWARD --among-dst x -j DROP'),
    },
    ['dump/ebtables-save.txt:3 PLAN_EBTABLES --among-dst'],
  ],
];

t.test('each mistake is said with its file, line and text', async (t) => {
  for (const [what, texts, said] of ROWS) t.strictSame(read(texts), said, what);
});

t.test('mistakes of several files are said together', async (t) => {
  const texts = ROWS.slice(0, 1)
    .concat(ROWS.slice(8, 9))
    .map(([, one]) => one);
  t.equal(read(Object.assign({}, ...texts)).length, 2);
});

t.test('a variant that holds nothing, or the same, stands in nobody’s way', async (t) => {
  const rules = filter(':FORWARD ACCEPT [7:700]', '-A FORWARD -p tcp -j ACCEPT');
  const same = filter(':FORWARD ACCEPT [9:900]', '-A FORWARD -p tcp -j ACCEPT');
  t.strictSame(read({ 'iptables-save.txt': rules, 'iptables-legacy-save.txt': filter() }), []);
  t.strictSame(read({ 'iptables-save.txt': rules, 'iptables-legacy-save.txt': same }), []);
});

t.test('a folder without anything of a node is refused', async (t) => {
  t.strictSame(
    mistakes(() => readDump('n', files({ 'README.md': '# hello\n' }))),
    ['DUMP_EMPTY'],
  );
});
