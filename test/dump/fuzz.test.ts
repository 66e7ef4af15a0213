/**
 * Whatever stands in a file, reading it ends with a plan or with messages.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { readDump } from '../../src/dump/read-dump.ts';
import { lower } from '../../src/lowering/link.ts';
import { device, files, LO, lines, mistakes, PLAIN, type Texts } from '../support/dumps.ts';

/** The IPv6 rules are those of `ip6tables -S`, which counts where there is no save. */
const { 'ip6tables-save.txt': _, ...OTHERS } = PLAIN;

const WHOLE: Texts = {
  ...OTHERS,
  'iptables-save.txt': lines(
    '*nat',
    ':PREROUTING ACCEPT [1:60]',
    ':SVC - [0:0]',
    '[3:180] -A PREROUTING -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j SVC',
    '-A SVC -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.1.0.2:8080',
    'COMMIT',
    '*filter',
    ':FORWARD DROP [0:0]',
    '-A FORWARD -m set --match-set pods src -m conntrack --ctstate NEW -j ACCEPT',
    '-A FORWARD -m comment --comment "a b" -m addrtype --dst-type LOCAL -j REJECT',
    'COMMIT',
  ),
  'ipset-save.txt': lines(
    'create pods hash:net family inet maxelem 65536',
    'add pods 10.1.0.0/24',
    'add pods 10.1.0.7 nomatch',
  ),
  'ebtables-save.txt': lines('*nat', ':PREROUTING ACCEPT', '-A PREROUTING -p ARP -j ACCEPT'),
  'ip-addr.txt': lines(
    LO,
    device(2, 'eth0', ['10.1.0.4/16', 'fd00::4/64']),
    device(3, 'br0', ['10.9.0.1/24'], { kind: 'bridge' }),
    device(4, 'p1', [], { peer: 'if2', master: 'br0' }),
  ),
  'ip-route.txt': lines(
    'default via 10.1.0.1 dev eth0 metric 100 onlink',
    'blackhole 10.8.0.0/16 ',
  ),
  'ip-route.json': '[{"dst":"10.7.0.0/16","gateway":"10.1.0.9","dev":"eth0","flags":["onlink"]}]',
  'ip-rule.txt': lines(
    '0:	from all lookup local',
    '9:	from 10.2.0.0/16 fwmark 0x1/0xff lookup 5',
  ),
  'ip-rule.json': '[{"priority":11,"src":"10.3.0.0","srclen":16,"table":"vpn"}]',
  'ip-neigh.json':
    '[{"dst":"10.1.0.1","dev":"eth0","lladdr":"02:00:00:00:00:01","state":["STALE"]}]',
  'ip-neigh.txt': lines('10.1.0.9 dev eth0 lladdr 02:00:00:00:00:09 REACHABLE'),
  'ip-link.json':
    '[{"ifindex":4,"ifname":"p1","flags":["UP"],"mtu":1500,"link_type":"ether","address":"02:00:00:00:01:04","linkinfo":{"info_kind":"veth","info_slave_data":{"hairpin":true}}}]',
  'bridge-fdb.txt': lines('02:00:00:00:00:07 dev p1 master br0 static'),
  'bridge-fdb.json': '[{"mac":"02:00:00:00:00:08","ifname":"p1","master":"br0","state":""}]',
  'bridge-link.txt': lines(
    '4: p1@if2: <BROADCAST,UP> mtu 1500 master br0 state forwarding priority 32 cost 2 ',
    '    hairpin on guard off root_block off fastleave off learning on flood on ',
  ),
  'ip-6-route.txt': lines('fd00:1::/64 via fd00::9 dev eth0 metric 1024 pref medium'),
  'route-n.txt': lines(
    'Kernel IP routing table',
    'Destination     Gateway         Genmask         Flags Metric Ref    Use Iface',
    '10.6.0.0        10.1.0.9        255.255.0.0     UG    0      0        0 eth0',
  ),
  'ip6tables-S.txt': lines('-P INPUT ACCEPT', '-N LOG6', '-A INPUT -s fd00::/8 -j LOG6'),
  'conntrack.txt': lines(
    'ipv4     2 tcp      6 431999 ESTABLISHED src=10.9.0.2 dst=10.0.0.10 sport=4 dport=80 src=10.1.0.2 dst=10.9.0.2 sport=8080 dport=4 [ASSURED] mark=0 use=1',
    'ipv6     10 udp      17 29 src=fd00::4 dst=fd00::9 sport=1 dport=53 [UNREPLIED] src=fd00::9 dst=fd00::4 sport=53 dport=1 mark=0 zone=2 use=1',
  ),
  'nft.json':
    '{"nftables":[{"metainfo":{}},{"chain":{"family":"ip","table":"filter","hook":"input"}}]}',
};

const NAMES = Object.keys(WHOLE);

/** A change of a text: something cut, doubled, swapped or put in. */
const change = fc.record({
  file: fc.constantFrom(...NAMES),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.nat(12),
  put: fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.constantFrom('\n', ' ', '"', '!', '/', ':', '-', '{', '}', '[', ']', ',', '0', '-A ', '*'),
    fc.constantFrom(
      '999999999999',
      '-1',
      'null',
      '{}',
      '[[]]',
      '__proto__',
      'constructor',
      '\u0000',
    ),
  ),
});

function changed(
  texts: Texts,
  c: { file: string; at: number; length: number; put: string },
): Texts {
  const text = texts[c.file] ?? '';
  const start = Math.floor(c.at * text.length);
  return { ...texts, [c.file]: text.slice(0, start) + c.put + text.slice(start + c.length) };
}

function endsWell(texts: Texts): boolean {
  try {
    lower(readDump('n', files(texts)).plan);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.length > 0 && error.diagnostics.every((d) => d.message !== '');
  }
  return true;
}

t.test('the unchanged dump is read', async (t) => {
  t.doesNotThrow(() => lower(readDump('n', files(WHOLE)).plan));
});

t.test('law: a changed dump is read, or refused with messages', async (t) => {
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      return endsWell(changes.reduce(changed, WHOLE));
    }),
    { numRuns: 6000, seed: 20260822 },
  );
  t.pass();
});

/** Files of which every line says something: all but JSON, and those that are one thing. */
const LINED = NAMES.filter((name) => {
  return name.endsWith('.txt') && name !== 'uname.txt' && WHOLE[name] !== '';
});

t.test('law: a line that is none is never passed over', async (t) => {
  const at = fc.double({ min: 0, max: 1, noNaN: true });
  const stranger = fc.constantFrom(
    'xyzzy',
    'xyzzy 7 dev',
    '-A',
    '- - -',
    '=',
    'src= dst=',
    '??? a=b',
  );
  fc.assert(
    fc.property(fc.constantFrom(...LINED), at, stranger, (name, where, line) => {
      const all = (WHOLE[name] ?? '').split('\n').slice(0, -1);
      // Not in front: a file is recognised by its first line.
      const place = 1 + Math.floor(where * (all.length - 0.001));
      const texts = { ...WHOLE, [name]: lines(...all.slice(0, place), line, ...all.slice(place)) };
      const said = mistakes(() => readDump('n', files(texts)));
      const isNamed = said.some((text) => text.startsWith(`dump/${name}:${place + 1} `));
      if (!isNamed) throw new Error(`${name}:${place + 1} ${line}: ${said.join(' | ')}`);
    }),
    { numRuns: 800, seed: 20260824 },
  );
  t.pass();
});

/** What is said of a file: that it was refused, or that it was not read. */
function isSaid(texts: Texts, name: string): boolean {
  try {
    return readDump('n', files(texts)).warnings.some(({ file }) => file === `dump/${name}`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return true;
  }
}

t.test('law: of a file that was cut within a line or a table somebody is told', async (t) => {
  const names = ['iptables-save.txt', 'ebtables-save.txt', 'conntrack.txt', 'ip-rule.json'];
  const at = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.constantFrom(...names), at, (name, where) => {
      const text = WHOLE[name] ?? '';
      const cut = text.slice(0, 1 + Math.floor(where * (text.length - 2)));
      if (isSaid({ ...WHOLE, [name]: cut }, name)) return true;
      const isWholeLines = cut.endsWith('\n') || text[cut.length] === '\n';
      const isWholeTables = cut.trimEnd().endsWith('COMMIT');
      if (name === 'iptables-save.txt') return isWholeTables;
      return isWholeLines || / use=$/.test(cut);
    }),
    { numRuns: 1000, seed: 20260825 },
  );
  t.pass();
});

t.test('law: any text under any name is read, or refused with messages', async (t) => {
  fc.assert(
    fc.property(fc.constantFrom(...NAMES), fc.string({ maxLength: 200 }), (name, text) => {
      return endsWell({ 'sysctl.txt': 'a.b = 1\n', [name]: text });
    }),
    { numRuns: 2000, seed: 20260823 },
  );
  t.pass();
});
