/**
 * Connection tracking against the running kernel, packet by packet: the router writes the state that
 * its rules see into each packet's TOS, and the packet must come out with the state that we give it;
 * afterwards both tables must list the same connections in the same states.
 * @module
 */
import t, { type Test } from 'tap';
import { conntrackSettings } from '../../../src/conntrack/protocol/timeouts.ts';
import { formatConnection, snapshot } from '../../../src/conntrack/snapshot.ts';
import { ConntrackTable } from '../../../src/conntrack/table.ts';
import { setU16, u16 } from '../../../src/wire/bytes.ts';
import { printIp } from '../../../src/wire/print.ts';
import { parsedIp } from '../../support/packets.ts';
import { conntrackTraffic, TRAFFIC_ADDRESSES } from './conntrack-traffic.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import { farSide, intoRouter, ROUTER_MAC, routerIn } from './router.ts';

const skip = kernelMissing(['iptables', 'ip6tables', 'conntrack', 'sysctl']) ?? false;
const PACKETS = 4000;
const STEP_NS = 1e5;

/** TOS values by state; low bits are left alone because ECN is not the target's to set. */
const STATES = [
  ['INVALID', 0x10],
  ['NEW', 0x20],
  ['RELATED', 0x30],
  ['ESTABLISHED', 0x40],
  ['UNTRACKED', 0x50],
] as const;

/** States that end within seconds are made to last, so that the run's own pace does not show. */
const LONG_LIVED = Object.fromEntries(
  [
    'tcp_timeout_close',
    'sctp_timeout_closed',
    'sctp_timeout_cookie_wait',
    'sctp_timeout_cookie_echoed',
    'sctp_timeout_shutdown_sent',
    'sctp_timeout_shutdown_recd',
    'sctp_timeout_shutdown_ack_sent',
  ].map((key) => [`net.netfilter.nf_conntrack_${key}`, '300']),
);

const RULES = `*mangle\n${STATES.map(
  ([state, tos]) =>
    `-A PREROUTING -m conntrack --ctstate ${state} -j TOS --set-tos 0x${tos.toString(16)}/0xff`,
).join('\n')}\nCOMMIT\n`;

/** Number the packet where the router leaves it: IPv4 identification, IPv6 flow label. */
function numbered(ip: Uint8Array, number: number): Uint8Array {
  const copy = ip.slice();
  if (copy[0]! >>> 4 === 6) {
    setU16(copy, 2, number);
    return copy;
  }
  // Identification is part of the header checksum.
  const sum = u16(copy, 10);
  setU16(copy, 4, number);
  setU16(copy, 10, addOnes(sum, ~number & 0xffff));
  return copy;
}

function addOnes(a: number, b: number): number {
  const sum = a + b;
  return (sum & 0xffff) + (sum >>> 16);
}

function framed(ip: Uint8Array): Uint8Array {
  const mac = (text: string) => text.split(':').map((part) => Number.parseInt(part, 16));
  const etherType = ip[0]! >>> 4 === 6 ? [0x86, 0xdd] : [0x08, 0x00];
  return Uint8Array.of(...mac(ROUTER_MAC), ...mac('02:00:00:00:00:cc'), ...etherType, ...ip);
}

/** The packet's number and the state that the kernel's rules saw. */
function stateOf(frame: Uint8Array): [number, string] {
  const v6 = frame[14]! >>> 4 === 6;
  const tos = v6 ? ((frame[14]! & 0x0f) << 4) | (frame[15]! >>> 4) : frame[15]!;
  const state = STATES.find(([, value]) => value === tos)?.[0] ?? `tos ${tos}`;
  return [u16(frame, v6 ? 16 : 18), state];
}

/** Timeouts depend on the second the kernel was asked in, use counts on nothing of ours. */
function comparable(line: string): string {
  return (
    line
      .replace(/^(\S+\s+\d+) \d+/, '$1')
      // Whether two seconds have passed meanwhile is a matter of luck.
      .replace(/^(udp .*) \[ASSURED\]/, '$1')
      .replace(/ use=\d+\s*$/, '')
      .replace(/\s+/g, ' ')
      .trim()
  );
}

async function trackingRouter(t: Test, neighbors: readonly string[]): Promise<Laboratory> {
  const lab = new Laboratory(t);
  await lab.build(routerIn(neighbors), 'nft');
  await lab.run(['iptables-restore'], RULES);
  await lab.run(['ip6tables-restore'], RULES);
  return lab;
}

for (const seed of [1, 20, 300, 4000]) {
  t.test(
    `every packet of random traffic gets the kernel’s state (seed ${seed})`,
    { skip },
    async (t) => {
      const lab = await trackingRouter(t, TRAFFIC_ADDRESSES);
      const settings = Object.entries(LONG_LIVED).map(([key, value]) => `${key}=${value}`);
      await lab.run(['sysctl', '-qw', ...settings]);

      const packets = conntrackTraffic(seed, PACKETS).map((p, i) => numbered(p.packet(), i + 1));
      const table = new ConntrackTable(conntrackSettings(LONG_LIVED));
      const ours = packets.map((ip, i) => {
        const packet = parsedIp(ip);
        table.track(packet, i * STEP_NS, 'prerouting');
        table.confirm(packet, i * STEP_NS);
        return packet.ctState.toUpperCase();
      });

      const heard = await lab.send(packets.map((ip) => intoRouter(framed(ip))));
      const kernel = new Map(farSide(heard).map(stateOf));
      const wrong = packets.flatMap((ip, i) => {
        const theirs = kernel.get(i + 1) ?? 'lost';
        const text = printIp(ip, 0, ip.length);
        return theirs === ours[i] ? [] : [`${i + 1} ${text}: kernel ${theirs}, ours ${ours[i]}`];
      });
      t.same(wrong.slice(0, 10), [], `${PACKETS} packets agree`);
      const seen = new Set(kernel.values());
      for (const state of ['NEW', 'ESTABLISHED', 'RELATED', 'INVALID']) {
        t.ok(seen.has(state), `the traffic shows ${state}`);
      }

      const lists = [
        await lab.run(['conntrack', '-L', '-f', 'ipv4']),
        await lab.run(['conntrack', '-L', '-f', 'ipv6']),
      ];
      const list = lists.flatMap((text) => text.split('\n')).filter((line) => line !== '');
      const want = list.map(comparable).sort();
      // conntrack(8) prints ports for DCCP that the kernel no longer tracks.
      const lasting = (line: string) => !/^dccp|^unknown 33 /.test(line);
      const got = snapshot(table, packets.length * STEP_NS).map((l) =>
        comparable(formatConnection(l)),
      );
      t.same(got.filter(lasting).sort(), want.filter(lasting), 'the tables agree');
      t.ok(want.filter(lasting).length > 20, 'and hold enough to compare');
    },
  );
}

t.test('our default timeouts are the kernel’s sysctls', { skip }, async (t) => {
  const lab = await trackingRouter(t, []);
  const text = await lab.run(['sysctl', '-a', '-r', 'nf_conntrack_|ipfrag_time']);
  const sysctls = Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const [key, value] = line.split(' = ');
      return key !== undefined && value !== undefined ? [[key, value]] : [];
    }),
  );
  const { max: _max, ...kernel } = conntrackSettings(sysctls);
  const { max: _ours, ...ours } = conntrackSettings({});
  t.ok(Object.keys(sysctls).length > 30, 'the kernel has them');
  t.same(ours, kernel);
});
