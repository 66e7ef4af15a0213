/**
 * Matches on bytes, chunks, the clock, sockets and IPsec, zones and shifted marks, against the running
 * kernel, which counts rule by rule what each packet met. Needs root.
 */
import t from 'tap';
import {
  icmpEcho,
  type PacketBuilder,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../support/packets.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import { compareCase, type StatefulCase } from './stateful-lab.ts';

const CLIENT = '10.1.0.2';
const OTHER = '10.1.0.3';
const SERVER = '10.2.0.2';

const between = (builder: PacketBuilder, from = CLIENT, to = SERVER) => builder.from(from).to(to);
const says = (text: string) => between(udp().payload(text));
const forward = (...rules: readonly string[]) => rules.map((rule) => `-A FORWARD ${rule}`);

/** Chunks with a body of one word. */
const chunk = (type: number, flags = 0) => ({ type, flags, body: Uint8Array.of(1, 2, 3, 4) });

/** A DCCP header: type, whether numbers are long, data offset in words, and what follows. */
function dccp(type: number, x: 0 | 1, words: number, rest: readonly number[]) {
  const header = [0x03, 0xe8, 0x07, 0xd0, words, 0, 0, 0, (type << 1) | x, 0, 0, 1];
  return between(rawIp(33).payload(Uint8Array.of(...header, ...rest)));
}

const HOURS = Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0'));
const NOW = new Date();
const stamp = (shiftS: number) =>
  new Date(NOW.getTime() + shiftS * 1000).toISOString().slice(0, 19);

const CASES: readonly StatefulCase[] = [
  {
    name: 'u32 reads and reckons',
    rules: forward(
      '-m u32 --u32 "6&0xFF=17"',
      '-m u32 ! --u32 "6&0xFF=17,6"',
      '-m u32 --u32 "0>>22&0x3C@0>>16=1000"',
      '-m u32 --u32 "0>>22&0x3C@0&0xFFFF=80,2000:2001"',
      '-m u32 --u32 "6&0xFF=6&&0>>22&0x3C@12>>26&0x3C@0=0:0xffffffff"',
      '-m u32 --u32 "100=0:0xffffffff"',
      '-m u32 ! --u32 "44=0"',
      '-m u32 --u32 "16<<8>>8=0:0xffffff"',
      '-m u32 --u32 "12@0=0"',
    ),
    steps: [
      {
        send: [
          udp().from(CLIENT, 1000).to(SERVER, 2000).payload(20),
          tcp().from(CLIENT, 5).to(SERVER, 80).syn().payload(9),
          tcp().from(CLIENT, 5).to(SERVER, 80).syn(),
          icmpEcho().from(CLIENT).to(SERVER),
          between(rawIp(47).payload(0)),
        ],
      },
    ],
  },
  {
    name: 'string looks between two places',
    rules: forward(
      ...['bm', 'kmp'].flatMap((algo) => [
        `-m string --string "needle" --algo ${algo}`,
        `-m string ! --string "needle" --algo ${algo}`,
        `-m string --string "NEEDLE" --icase --algo ${algo}`,
        `-m string --string "needle" --algo ${algo} --from 29`,
        `-m string --string "needle" --algo ${algo} --from 28 --to 33`,
        `-m string --string "needle" --algo ${algo} --from 28 --to 34`,
        `-m string --string "needle" --algo ${algo} --to 38`,
        `-m string --hex-string "|0a0100020a020002|" --algo ${algo} --to 20`,
        `-m string --string "e" --algo ${algo} --from 500`,
      ]),
    ),
    steps: [
      {
        send: [
          says('needle'),
          says('Needle in a haystack'),
          says('1234needle'),
          says('a neeneedle'),
          says('nothing'),
          says(''),
        ],
      },
    ],
  },
  {
    name: 'SCTP chunks by type and flag',
    rules: forward(
      ...[
        'any INIT',
        'any DATA:Ue',
        'all DATA,SACK',
        'all DATA:B,SACK',
        'only DATA',
        'only DATA,SACK,INIT',
        'only ABORT:T',
        'any ABORT:t',
        'any ALL',
        'all ALL',
        'any NONE',
        'only NONE',
        'all NONE',
      ].flatMap((want) => [
        `-p sctp -m sctp --chunk-types ${want}`,
        `-p sctp -m sctp --dport 5000 ! --chunk-types ${want}`,
      ]),
    ),
    steps: [
      {
        send: [
          between(sctp().chunks(sctpInit(7))),
          between(sctp().chunks(chunk(0, 4))),
          between(sctp().chunks(chunk(0, 5))),
          between(sctp().chunks(chunk(0, 2), chunk(3))),
          between(sctp().chunks(chunk(3), chunk(0))),
          between(sctp().chunks(chunk(6, 1))),
          between(sctp().chunks(chunk(6, 0))),
          between(sctp().chunks(chunk(200), chunk(0))),
        ],
      },
    ],
  },
  {
    name: 'SCTP without a chunk is dropped by a rule that asks for one',
    rules: forward('-p sctp -m sctp --chunk-types any DATA', '-p sctp'),
    steps: [{ send: [between(sctp()), between(sctp().chunks(chunk(0)))] }],
  },
  {
    name: 'DCCP types and options',
    rules: forward(
      '-p dccp -m dccp --dccp-types REQUEST,DATA',
      '-p dccp -m dccp ! --dccp-types REQUEST,DATA',
      '-p dccp -m dccp --dccp-types INVALID',
      '-p dccp -m dccp --dccp-option 5',
      '-p dccp -m dccp --sport 1000 ! --dccp-option 5',
      '-p dccp -m dccp --dport 2001',
    ),
    steps: [
      {
        send: [
          dccp(0, 1, 5, [0, 0, 0, 1, 0, 0, 0, 9]),
          dccp(0, 1, 6, [0, 0, 0, 1, 0, 0, 0, 9, 5, 2, 0, 0]),
          dccp(2, 0, 4, [1, 5, 2, 0]),
          dccp(2, 0, 4, [7, 3, 5, 0]),
          dccp(1, 1, 7, [0, 0, 0, 1, ...Array<number>(12).fill(0)]),
          dccp(10, 1, 7, Array<number>(16).fill(0)),
          dccp(3, 1, 3, [0, 0, 0, 1]),
          dccp(0, 1, 9, [0, 0, 0, 1]),
        ],
      },
    ],
  },
  {
    name: 'masks with holes',
    rules: forward(
      '-s 10.0.0.2/255.0.0.255',
      '! -s 10.0.0.2/255.0.0.255',
      '-d 0.2.0.0/0.255.0.0',
      '-s 0.0.0.3/0.0.0.3 -d 0.0.0.2/0.0.0.3',
    ),
    steps: [{ send: [between(udp()), between(udp(), OTHER), between(udp(), CLIENT, '10.2.0.3')] }],
  },
  {
    name: 'no packet is of IPsec',
    rules: forward(
      '-m policy --dir in --pol none',
      '-m policy --dir out --pol none',
      '-m policy --dir in --pol ipsec',
      '-m policy --dir out --pol ipsec --proto esp',
    ),
    steps: [{ send: [between(udp())] }],
  },
  {
    name: 'packets that pass have no socket',
    rules: [
      'mangle -A POSTROUTING -m owner --uid-owner 0',
      'mangle -A POSTROUTING -m owner ! --uid-owner 0',
      'mangle -A POSTROUTING -m owner ! --uid-owner 0 ! --gid-owner 1-7',
      'mangle -A POSTROUTING -m owner ! --uid-owner 0 --gid-owner 1',
      'mangle -A POSTROUTING -m owner --socket-exists',
      'mangle -A POSTROUTING -m owner ! --socket-exists',
      'mangle -A POSTROUTING -m owner ! --gid-owner 0 --suppl-groups',
      'mangle -A POSTROUTING -m cgroup --cgroup 5',
      'mangle -A POSTROUTING -m cgroup ! --cgroup 5',
      'mangle -A PREROUTING -p icmp -m socket',
      'mangle -A PREROUTING -p gre -m socket',
    ],
    steps: [{ send: [between(udp()), between(rawIp(47).payload(20))] }],
  },
  {
    name: 'the time of day, the date and the days',
    rules: forward(
      ...HOURS.map((hour) => `-m time --timestart ${hour}:00 --timestop ${hour}:59:59`),
      ...HOURS.map((hour) => `-m time --timestart ${hour}:30 --timestop ${hour}:00`),
      ...HOURS.slice(0, 23).map(
        (hour) => `-m time --timestart 23:59 --timestop ${hour}:30 --contiguous --weekdays 1,3,5,6`,
      ),
      ...[1, 2, 3, 4, 5, 6, 7].map((day) => `-m time --weekdays ${day}`),
      ...Array.from({ length: 31 }, (_, i) => `-m time --monthdays ${i + 1}`),
      `-m time --datestart ${stamp(-60)} --datestop ${stamp(60)}`,
      `-m time --datestart ${stamp(3600)}`,
      `-m time --datestop ${stamp(-3600)}`,
    ),
    steps: [{ send: [between(udp())] }],
  },
  {
    name: 'marks of connections are shifted',
    rules: [
      'mangle -A PREROUTING -j MARK --set-mark 0xf1',
      'mangle -A PREROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xffff --left-shift-mark 4',
      'mangle -A PREROUTING -m connmark --mark 0xf10',
      'mangle -A FORWARD -j CONNMARK --set-xmark 0x3/0x0 --right-shift-mark 4',
      'mangle -A FORWARD -m connmark --mark 0xf1',
      'mangle -A FORWARD -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xf0 --right-shift-mark 3',
      'mangle -A FORWARD -m mark --mark 0x1e',
      'mangle -A FORWARD -j CONNMARK --set-mark 0x80000001 --left-shift-mark 1',
      'mangle -A FORWARD -m connmark --mark 0x2',
    ],
    steps: [{ send: [between(udp())] }],
  },
  {
    name: 'zones do not know of each other',
    rules: [
      'raw -A PREROUTING -s 10.1.0.3 -j CT --zone 7',
      'raw -A PREROUTING -s 10.1.0.3 -j CT --zone 8',
      'raw -A PREROUTING -s 10.1.0.3 -j CT --notrack',
      'raw -A PREROUTING -m conntrack --ctstate NEW',
      'raw -A PREROUTING -m conntrack --ctstate INVALID',
      'raw -A PREROUTING -i eth1 -d 10.1.0.3 -p udp --sport 53 -j CT --zone 7',
      ...['NEW', 'ESTABLISHED', 'UNTRACKED', 'RELATED'].map(
        (state) => `-A FORWARD -m conntrack --ctstate ${state}`,
      ),
      '-A FORWARD -m conntrack --ctdir REPLY',
    ],
    steps: [
      { send: [between(udp()), between(udp(), OTHER), between(udp(), OTHER)] },
      {
        back: true,
        send: [
          between(udp(), OTHER).reversed(),
          udp().from(SERVER, 54).to(OTHER, 40000),
          between(udp()).reversed(),
        ],
      },
      { send: [between(udp(), OTHER), between(udp())] },
    ],
  },
  {
    name: 'a zone of one direction only, and a zone by mark',
    rules: [
      'raw -A PREROUTING -i eth0 -s 10.1.0.2 -j CT --zone-orig 3',
      'raw -A PREROUTING -i eth0 -s 10.1.0.3 -j MARK --set-mark 0x10009',
      'raw -A PREROUTING -i eth0 -s 10.1.0.3 -j CT --zone mark',
      'raw -A PREROUTING -i eth1 -d 10.1.0.3 -j CT --zone 9',
      ...['NEW', 'ESTABLISHED'].map((state) => `-A FORWARD -m conntrack --ctstate ${state}`),
      '-A FORWARD -m conntrack --ctdir REPLY',
    ],
    steps: [
      { send: [between(udp()), between(udp(), OTHER)] },
      { back: true, send: [between(udp()).reversed(), between(udp(), OTHER).reversed()] },
      { send: [between(udp()), between(udp(), OTHER)] },
    ],
  },
  {
    name: 'TCPMSS makes room for the option, and drops what it can not read',
    rules: [
      'mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -d 10.2.0.2 -j TCPMSS --set-mss 400',
      'mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -d 10.2.0.3 -j TCPMSS --clamp-mss-to-pmtu',
    ],
    steps: [
      {
        send: ['10.2.0.2', '10.2.0.3'].flatMap((to) =>
          [
            tcp().syn(),
            tcp().syn().payload(5),
            tcp()
              .syn()
              .tcpOptions(Uint8Array.of(1, 1, 1, 1)),
            tcp()
              .syn()
              .tcpOptions(Uint8Array.of(2, 4, 5, 180)),
            tcp()
              .syn()
              .tcpOptions(Uint8Array.of(1, 2, 4, 35, 40, 1, 1, 1)),
            tcp()
              .syn()
              .tcpOptions(Uint8Array.of(2, 4, 0, 100)),
            tcp().syn().tcpOptions(new Uint8Array(40).fill(1)),
            tcp().syn().offloaded(),
          ]
            .slice(0, 7)
            .map((builder) => builder.from(CLIENT, 1000).to(to, 80)),
        ),
      },
    ],
  },
];

t.setTimeout(300_000);

const skip = kernelMissing(['iptables-legacy', 'iptables-nft', 'ipset', 'conntrack']) ?? false;

t.test('further matches hold as the kernel’s do', { skip }, async (t) => {
  const lab = new Laboratory(t);
  const only = process.env['STATE_CASE'];
  for (const test of CASES.filter(({ name }) => only === undefined || name.includes(only))) {
    await compareCase(t, lab, test, 'legacy');
  }
});
