/**
 * Rules that add to sets and delete from them, against the running kernel: what later rules find
 * there. Needs root.
 */
import t from 'tap';
import { icmpEcho, tcp, udp } from '../../support/packets.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import { compareCase, type StatefulCase } from './stateful-lab.ts';

const CLIENT = '10.1.0.2';
const OTHER = '10.1.0.3';
const SERVER = '10.2.0.2';

const dgram = (from = CLIENT, dport = 2000) => udp().from(from, 1000).to(SERVER, dport).payload(8);
const asked = (set: string, directions = 'src') =>
  `-A FORWARD -m set --match-set ${set} ${directions}`;

const CASES: readonly StatefulCase[] = [
  {
    name: 'addresses come and go',
    sets: [
      'create a hash:ip',
      'add a 10.1.0.9',
      'create n hash:net',
      'create l list:set',
      'add l a',
    ],
    rules: [
      asked('a'),
      asked('l'),
      '-A FORWARD -p udp --dport 1 -j SET --add-set a src',
      '-A FORWARD -p udp --dport 2 -j SET --del-set a src',
      '-A FORWARD -p udp --dport 3 -j SET --add-set a dst,src',
      '-A FORWARD -j SET --add-set n dst',
      '-A FORWARD -m set ! --match-set a src,dst',
      asked('a', 'dst'),
      asked('n', 'dst'),
    ],
    steps: [
      { send: [dgram(), dgram(CLIENT, 1), dgram(), dgram(OTHER), dgram('10.1.0.9')] },
      {
        send: [dgram(CLIENT, 2), dgram(), dgram('10.1.0.9', 2), dgram('10.1.0.9'), dgram(OTHER, 2)],
      },
      { send: [dgram(CLIENT, 3), dgram(CLIENT, 1), dgram()] },
    ],
  },
  {
    name: 'nets take the longest length that the set holds',
    sets: [
      'create n hash:net',
      'add n 10.9.0.0/16',
      'add n 10.8.0.0/24 nomatch',
      'create e hash:net',
      'add e 10.1.0.0/24 nomatch',
    ],
    rules: [
      '-A FORWARD -p udp --dport 2 -j SET --del-set n src',
      '-A FORWARD -p udp --dport 1 -j SET --add-set n src',
      asked('n'),
      asked('e'),
      '-A FORWARD -p udp --dport 3 -j SET --add-set e src',
      '-A FORWARD -p udp --dport 4 -j SET --add-set e src --exist',
    ],
    steps: [
      { send: [dgram(), dgram(CLIENT, 1), dgram(OTHER), dgram('10.1.1.2')] },
      {
        send: [dgram('10.8.0.77'), dgram('10.8.0.77', 1), dgram('10.8.0.77', 2), dgram('10.8.0.5')],
      },
      { send: [dgram(OTHER, 2), dgram(OTHER), dgram('10.9.3.3', 1), dgram('10.9.3.4')] },
      { send: [dgram(CLIENT, 3), dgram(), dgram(CLIENT, 4), dgram()] },
    ],
  },
  {
    name: 'ports, and packets that have none',
    sets: ['create p hash:ip,port', 'create q hash:net,port', 'add q 10.1.0.0/28,udp:9'],
    rules: [
      asked('p', 'src,dst'),
      asked('p', 'src'),
      asked('q', 'src,dst'),
      '-A FORWARD -j SET --add-set p src,dst',
      '-A FORWARD -j SET --add-set p src',
      '-A FORWARD -p udp -j SET --add-set q src,dst',
    ],
    steps: [
      {
        send: [
          dgram(),
          dgram(),
          dgram(OTHER),
          icmpEcho().from(CLIENT).to(SERVER),
          icmpEcho().from(CLIENT).to(SERVER),
          tcp().from(CLIENT, 1).to(SERVER, 2000).syn(),
          udp().from(CLIENT, 1).to(SERVER, 2).payload(40).fragment(8, true, 8),
          udp().from(CLIENT, 1).to(SERVER, 2).payload(40).fragment(8, true, 8),
        ],
      },
    ],
  },
  {
    name: 'members end with their time',
    sets: [
      'create a hash:ip timeout 1',
      'add a 10.1.0.9 timeout 0',
      'add a 10.1.0.8 timeout 2',
      'create b hash:ip',
    ],
    rules: [
      asked('a'),
      '-A FORWARD -p udp --dport 1 -j SET --add-set a src',
      '-A FORWARD -p udp --dport 2 -j SET --add-set a src --exist --timeout 4',
      '-A FORWARD -p udp --dport 3 -j SET --add-set a src --timeout 0',
      '-A FORWARD -j SET --add-set b src --timeout 1',
      asked('b'),
    ],
    steps: [
      { send: [dgram(CLIENT, 1), dgram(), dgram('10.1.0.9'), dgram('10.1.0.8'), dgram(OTHER, 1)] },
      { wait: 0.4, send: [dgram(), dgram(CLIENT, 1), dgram(OTHER, 2)] },
      { wait: 1.1, send: [dgram(), dgram(OTHER), dgram('10.1.0.9'), dgram(CLIENT, 3)] },
      { wait: 1.5, send: [dgram(), dgram(OTHER), dgram('10.1.0.8'), dgram('10.1.0.9')] },
    ],
  },
  {
    name: 'a full set takes no more, and a list hands on what its first member refuses',
    sets: [
      'create f hash:ip maxelem 2',
      'create g hash:ip',
      'create l list:set',
      'add l f',
      'add l g',
    ],
    rules: [
      '-A FORWARD -p udp --dport 1 -j SET --add-set f src',
      '-A FORWARD -p udp --dport 2 -j SET --add-set l src',
      '-A FORWARD -p udp --dport 3 -j SET --del-set l src',
      asked('f'),
      asked('g'),
      asked('l'),
    ],
    steps: [
      { send: [dgram(CLIENT, 1), dgram(OTHER, 1), dgram('10.1.0.9', 1), dgram('10.1.0.9', 2)] },
      { send: [dgram(CLIENT, 2), dgram(CLIENT, 3), dgram(), dgram(CLIENT, 3), dgram()] },
      { send: [dgram('10.1.0.7', 1), dgram('10.1.0.7'), dgram('10.1.0.6', 2), dgram('10.1.0.6')] },
    ],
  },
  {
    name: 'IPv6 members',
    family: 6,
    sets: ['create a hash:ip family inet6', 'create n hash:net,port family inet6'],
    rules: [
      asked('a'),
      asked('n', 'dst,src'),
      '-A FORWARD -j SET --add-set a src',
      '-A FORWARD -j SET --add-set n dst,src',
    ],
    steps: [
      {
        send: ['2001:db8:1::2', '2001:db8:1::3', '2001:db8:1::2'].map((from) =>
          udp().from(from, 7).to('2001:db8:2::2', 9).payload(4),
        ),
      },
    ],
  },
];

t.setTimeout(300_000);

const skip = kernelMissing(['iptables-legacy', 'iptables-nft', 'ipset', 'conntrack']) ?? false;

t.test('SET changes sets as the kernel does', { skip }, async (t) => {
  const lab = new Laboratory(t);
  const only = process.env['STATE_CASE'];
  for (const test of CASES.filter(({ name }) => only === undefined || name.includes(only))) {
    await compareCase(t, lab, test, 'legacy');
  }
});
