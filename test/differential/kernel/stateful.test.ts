/**
 * Rules that count and remember, against the running kernel: limits, lists, quotas and connection
 * counts, in bursts and across waits that are long against the kernel's clock tick. Needs root.
 */
import t from 'tap';
import { limitBucket } from '../../../src/netfilter/limit-bucket.ts';
import { icmpEcho, tcp, udp } from '../../support/packets.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import { intoRouter, ROUTER_MAC } from './router.ts';
import { bareRouter, compareCase, type StatefulCase } from './stateful-lab.ts';

const CLIENT = '10.1.0.2';
const OTHER = '10.1.0.3';
const SERVER = '10.2.0.2';

const dgram = (from = CLIENT, sport = 1000, dport = 2000) =>
  udp().from(from, sport).to(SERVER, dport).payload(20);
const syn = (sport: number, from = CLIENT) => tcp().from(from, sport).to(SERVER, 80).syn();
const times = <T>(n: number, make: (i: number) => T): T[] =>
  Array.from({ length: n }, (_, i) => make(i));

const CASES: readonly StatefulCase[] = [
  {
    name: 'limit lets a burst through, and more as time goes by',
    rules: ['-A FORWARD -m limit --limit 1/sec --limit-burst 2', '-A FORWARD -m limit'],
    steps: [
      { send: times(5, () => dgram()) },
      { wait: 1.3, send: times(3, () => dgram()) },
      { wait: 4, send: times(5, () => dgram()) },
    ],
  },
  {
    name: 'recent: hits are counted',
    rules: [
      '-A FORWARD -m recent --name a --rcheck',
      '-A FORWARD -m recent --name a --rcheck --hitcount 3',
      '-A FORWARD -m recent --name a ! --rcheck --hitcount 2',
      '-A FORWARD -m recent --name a --set',
      '-A FORWARD -m recent --name b --update --hitcount 2',
      '-A FORWARD -m recent --name b ! --set',
      '-A FORWARD -p udp --dport 9 -m recent --name b --remove',
    ],
    steps: [
      { send: [...times(6, () => dgram()), ...times(2, () => dgram(OTHER))] },
      { send: [dgram(CLIENT, 1, 9), dgram(CLIENT, 1, 9), ...times(3, () => dgram())] },
    ],
  },
  {
    name: 'recent: seconds and reap',
    rules: [
      '-A FORWARD -m recent --name s --rcheck --seconds 4',
      '-A FORWARD -m recent --name s --rcheck --seconds 4 --hitcount 4',
      '-A FORWARD -m recent --name r --rcheck --seconds 4 --reap',
      '-A FORWARD -p udp --dport 7 -m recent --name s --update --seconds 4',
      '-A FORWARD -p udp --dport 8 -m recent --name s --set',
      '-A FORWARD -p udp --dport 8 -m recent --name r --set',
    ],
    steps: [
      { send: [...times(3, () => dgram(CLIENT, 1, 8)), dgram(OTHER, 1, 8), dgram()] },
      { wait: 2, send: [dgram(), dgram(CLIENT, 1, 7), dgram(OTHER)] },
      { wait: 3, send: [dgram(), dgram(OTHER), dgram(OTHER, 1, 8), dgram(), dgram()] },
    ],
  },
  {
    name: 'recent: stamps are kept up to the largest hitcount',
    rules: [
      '-A FORWARD -m recent --name k --rcheck --hitcount 5',
      '-A FORWARD -m recent --name k --rcheck --hitcount 8',
      '-A FORWARD -m recent --name k --set',
      '-A FORWARD -m recent --name only --update --hitcount 1 --seconds 100',
      '-A FORWARD -m recent --name only --set',
    ],
    steps: [{ send: times(12, () => dgram()) }],
  },
  {
    name: 'recent: masks, destinations and times to live',
    rules: [
      '-A FORWARD -m recent --name m --mask 255.255.255.0 --set',
      '-A FORWARD -m recent --name m --rcheck --hitcount 3',
      '-A FORWARD -m recent --name d --rdest --rcheck',
      '-A FORWARD -m recent --name d --rdest --set',
      '-A FORWARD -m recent --name t --rttl --rcheck',
      'mangle -A POSTROUTING -m recent --name t --rttl --rcheck',
      'mangle -A PREROUTING -m recent --name t --set',
      '-A FORWARD -m recent --name t --rttl --rcheck --hitcount 2',
    ],
    steps: [
      { send: [dgram(), dgram(OTHER), dgram().ttl(9), dgram(OTHER).ttl(9), dgram().ttl(9)] },
      { send: [dgram().to('10.2.0.3', 5), dgram()] },
    ],
  },
  {
    name: 'recent: a list holds a hundred addresses',
    rules: ['-A FORWARD -m recent --name l --rcheck', '-A FORWARD -m recent --name l --set'],
    steps: [
      { send: times(103, (i) => dgram(`10.1.0.${10 + i}`)) },
      { send: times(6, (i) => dgram(`10.1.0.${10 + i}`)) },
    ],
  },
  {
    name: 'hashlimit: a bucket each',
    rules: [
      '-A FORWARD -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name a --hashlimit-htable-expire 10000',
      '-A FORWARD -m hashlimit --hashlimit-above 1/min --hashlimit-burst 3 --hashlimit-mode srcip,dstport --hashlimit-name b',
      '-A FORWARD -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 4 --hashlimit-name all',
      '-A FORWARD -m hashlimit --hashlimit-above 9/sec --hashlimit-burst 1 --hashlimit-mode dstip --hashlimit-name all',
      '-A FORWARD -m hashlimit --hashlimit-upto 1/min --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-srcmask 31 --hashlimit-name net',
      '-A FORWARD -m hashlimit --hashlimit-upto 1/min --hashlimit-burst 1 --hashlimit-mode srcport,dstip --hashlimit-name ports',
    ],
    steps: [
      {
        send: [
          ...times(4, () => dgram()),
          ...times(3, () => dgram(OTHER)),
          ...times(4, (i) => dgram(CLIENT, 1, 5 + (i % 2))),
          icmpEcho().from(CLIENT).to(SERVER),
        ],
      },
      { wait: 1.3, send: [...times(3, () => dgram()), ...times(2, () => dgram(OTHER))] },
    ],
  },
  {
    name: 'hashlimit: buckets end, and their number is limited',
    rules: [
      '-A FORWARD -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name short --hashlimit-htable-expire 400 --hashlimit-htable-gcinterval 100',
      '-A FORWARD -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name few --hashlimit-htable-size 2 --hashlimit-htable-max 2',
      '-A FORWARD',
    ],
    steps: [
      { send: times(4, () => dgram()) },
      { wait: 1.5, send: [...times(3, () => dgram()), dgram(OTHER), dgram('10.1.0.9'), dgram()] },
    ],
  },
  {
    name: 'quota: the first packet that is too long ends it',
    rules: [
      '-A FORWARD -m quota --quota 100',
      '-A FORWARD -m quota ! --quota 96',
      '-A FORWARD -m quota --quota 0',
    ],
    steps: [{ send: [dgram(), dgram(), dgram().payload(60), dgram().payload(0)] }],
  },
  {
    name: 'connbytes: packets and bytes of a connection, each way',
    rules: [
      '-A FORWARD -m connbytes --connbytes 2:3 --connbytes-dir original --connbytes-mode packets',
      '-A FORWARD -m connbytes ! --connbytes 2:3 --connbytes-dir both --connbytes-mode packets',
      '-A FORWARD -m connbytes --connbytes 100 --connbytes-dir both --connbytes-mode bytes',
      '-A FORWARD -m connbytes --connbytes 49 --connbytes-dir original --connbytes-mode avgpkt',
      '-A FORWARD -m connbytes ! --connbytes 1 --connbytes-dir reply --connbytes-mode packets',
    ],
    steps: [
      { send: [dgram(), dgram(), dgram(OTHER), dgram().payload(40)] },
      { back: true, send: times(3, () => dgram().reversed().payload(200)) },
      { send: [dgram(), dgram(), syn(5), syn(5), syn(5)] },
    ],
  },
  {
    name: 'connlimit: open connections of an address',
    pauseMs: 12,
    rules: [
      '-A FORWARD -m connlimit --connlimit-above 2',
      '-A FORWARD -p udp -m connlimit --connlimit-upto 1 --connlimit-daddr',
      '-A FORWARD -p tcp -m connlimit --connlimit-above 1 --connlimit-mask 24',
      '-A FORWARD -p tcp --syn -m connlimit --connlimit-above 3 -j DROP',
    ],
    steps: [
      { send: [dgram(), dgram(), dgram(CLIENT, 3), dgram(CLIENT, 4), dgram(OTHER), dgram()] },
      { send: [syn(1), syn(2), syn(3), syn(3), syn(4), syn(5), syn(6, OTHER)] },
      { back: true, send: [syn(1).reversed().flags(0x14).seq(0).ack(1)] },
      { send: [syn(7)] },
      { send: [syn(8)] },
      { send: [syn(7)] },
      { send: [dgram(), syn(7), syn(2), syn(9), syn(2)] },
    ],
  },
];

t.setTimeout(300_000);

const skip = kernelMissing(['iptables-legacy', 'iptables-nft', 'ipset', 'conntrack']) ?? false;

t.test('rules that remember count as the kernel does', { skip }, async (t) => {
  const lab = new Laboratory(t);
  const only = process.env['STATE_CASE'];
  for (const test of CASES.filter(({ name }) => only === undefined || name.includes(only))) {
    for (const backend of ['legacy', 'nft'] as const) {
      await compareCase(t, lab, test, backend);
    }
  }
});

t.test('a long interval with a large burst is less in one back end', { skip }, async (t) => {
  const lab = new Laboratory(t);
  const { cost, least, most } = limitBucket({ interval: 36_000_000, burst: 50 });
  for (const [backend, bucket] of [
    ['legacy', least],
    ['nft', most],
  ] as const) {
    const rule = '-A FORWARD -m limit --limit 1/hour --limit-burst 50';
    await lab.build(bareRouter(), backend);
    await lab.run([`iptables-${backend}-restore`], `*filter\n${rule}\nCOMMIT\n`);
    await lab.send(times(60, () => intoRouter(dgram().frame({ dstMac: ROUTER_MAC }))));
    const saved = await lab.run([`iptables-${backend}-save`, '-c', '-t', 'filter']);
    t.match(saved, `[${Math.floor(bucket / cost)}:`, `${backend} lets ${bucket / cost} through`);
  }
});
