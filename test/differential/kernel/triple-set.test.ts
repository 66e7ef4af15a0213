/**
 * Sets of three dimensions and sets of ports, against the running kernel: which packets rules find
 * in them. Needs root.
 */
import t from 'tap';
import { icmpEcho, sctp, tcp, udp } from '../../support/packets.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import { compareCase, type StatefulCase } from './stateful-lab.ts';

const CLIENT = '10.1.0.2';
const OTHER = '10.1.0.3';
const SERVER = '10.2.0.2';

const dgram = (from = CLIENT, dport = 2000) => udp().from(from, 1000).to(SERVER, dport).payload(8);
const segment = (from: string, sport: number, dport: number) =>
  tcp().from(from, sport).to(SERVER, dport);
const asked = (set: string, directions: string) =>
  `-A FORWARD -m set --match-set ${set} ${directions}`;

const CASES: readonly StatefulCase[] = [
  {
    name: 'address, service and address',
    sets: [
      'create t hash:ip,port,ip',
      `add t ${SERVER},udp:2000,${CLIENT}`,
      `add t ${SERVER},tcp:80,${OTHER}`,
      `add t ${SERVER},icmp:8/0,${CLIENT}`,
      `add t ${CLIENT},udp:1000,${CLIENT}`,
    ],
    rules: [
      asked('t', 'dst,dst,src'),
      asked('t', 'src,src,src'),
      asked('t', 'dst,dst,dst'),
      asked('t', 'dst,dst'),
      asked('t', 'dst'),
      '-A FORWARD -m set ! --match-set t dst,dst,src',
    ],
    steps: [
      { send: [dgram(), dgram(OTHER), dgram(CLIENT, 2001)] },
      { send: [segment(OTHER, 9, 80), segment(CLIENT, 9, 80), segment(OTHER, 80, 9)] },
      { send: [icmpEcho().from(CLIENT).to(SERVER), icmpEcho().from(OTHER).to(SERVER)] },
    ],
  },
  {
    name: 'address, service and net, with holes',
    sets: [
      'create n hash:ip,port,net',
      `add n ${SERVER},udp:2000,10.1.0.0/16`,
      `add n ${SERVER},udp:2000,10.1.0.0/30 nomatch`,
      `add n ${SERVER},udp:2000,${CLIENT}`,
      `add n ${SERVER},tcp:80,10.0.0.0/8`,
    ],
    rules: [asked('n', 'dst,dst,src'), asked('n', 'dst,dst'), asked('n', 'src,src,dst')],
    steps: [
      { send: [dgram(), dgram(OTHER), dgram('10.1.0.77'), dgram('10.1.9.9', 2001)] },
      { send: [segment(OTHER, 9, 80), segment(OTHER, 80, 9), dgram('10.1.200.1')] },
    ],
  },
  {
    name: 'ports of TCP and UDP alike, and of nothing else',
    sets: ['create p bitmap:port range 0-65535', 'add p 80', 'add p 1000', 'add p 2048'],
    rules: [asked('p', 'dst'), asked('p', 'src'), asked('p', 'src,dst'), asked('p', 'dst,src')],
    steps: [
      { send: [dgram(CLIENT, 80), dgram(CLIENT, 81), segment(CLIENT, 7, 80)] },
      { send: [sctp().from(CLIENT, 7).to(SERVER, 80), icmpEcho().from(CLIENT).to(SERVER)] },
    ],
  },
];

t.setTimeout(120_000);

const skip = kernelMissing(['iptables-legacy', 'iptables-nft', 'ipset', 'conntrack']) ?? false;

t.test('sets of three dimensions and of ports answer as in the kernel', { skip }, async (t) => {
  const lab = new Laboratory(t);
  for (const test of CASES) await compareCase(t, lab, test, 'legacy');
});
