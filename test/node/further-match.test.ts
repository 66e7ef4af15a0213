import t from 'tap';
import { newConnection } from '../../src/conntrack/connection.ts';
import { ConntrackTable } from '../../src/conntrack/table.ts';
import type { Match } from '../../src/netfilter/match.ts';
import type { WalkContext } from '../../src/node/hook/walk-context.ts';
import { ask } from '../../src/node/match/match.ts';
import type { Packet } from '../../src/packet/packet.ts';
import { parseIptables } from '../../src/plan/rule/iptables-text.ts';
import { icmpEcho, rawIp, sctp, sctpInit, tcp, udp } from '../support/packets.ts';
import { routerPlan, walkContext } from '../support/walks.ts';

/** The rule's context; its matches are asked in order, as `iptables` writes them. */
function contextFor(rule: string, family: 4 | 6 = 4) {
  const plan = routerPlan().build();
  const tables = parseIptables(`*mangle\n-A FORWARD ${rule}\nCOMMIT\n`, 'rule', family);
  return walkContext({ ...plan, tables });
}

/** What the rule's last match answers. */
function answerOf(ctx: WalkContext, packet: Packet): string {
  const [rule] = ctx.image.program.rules;
  return ask(ctx, { rule: rule!, index: rule!.matches.length - 1 }, packet);
}

const DGRAM = udp().from('10.1.0.2', 1000).to('10.2.0.2', 2000);
const PASSING = { inDevice: 'eth0', outDevice: 'eth1' };

/** The packet as far as a capture with this snaplen has it. */
function cut(packet: Packet, bytes: number): Packet {
  return { ...packet, bytes: packet.bytes.slice(0, packet.l3 + bytes) };
}

t.test('matches on bytes and chunks: yes, no, and what the capture cut off', async (t) => {
  const data = { type: 0, flags: 0, body: Uint8Array.of(1, 2, 3, 4) };
  const chunks = sctp().from('10.1.0.2', 1).to('10.2.0.2', 2).chunks(sctpInit(1), data).parsed();
  const text = DGRAM.payload('a needle').parsed();
  const sctpIs = (want: string) => `-p sctp -m sctp --chunk-types ${want}`;
  for (const [rule, packet, want] of [
    ['-m u32 --u32 "6&0xFF=17"', DGRAM.parsed(), 'hit'],
    ['-m u32 ! --u32 "6&0xFF=17"', DGRAM.parsed(), 'miss'],
    ['-m u32 --u32 "25=0:0xffffffff"', DGRAM.parsed(), 'miss'],
    ['-m u32 ! --u32 "25=0"', DGRAM.parsed(), 'hit'],
    ['-m u32 --u32 "0>>22&0x3C@4=0:0xffffffff"', cut(DGRAM.parsed(), 24), 'cut'],
    ['-m string --algo bm --string needle', text, 'hit'],
    ['-m string --algo bm --string needle', cut(text, 33), 'cut'],
    ['-m string --algo bm --string dlene', text, 'miss'],
    ['-m string --algo kmp --string NEEDLE --icase', cut(text, 36), 'hit'],
    [sctpIs('any DATA'), chunks, 'hit'],
    [sctpIs('any DATA'), cut(chunks, 40), 'cut'],
    [sctpIs('any INIT'), cut(chunks, 40), 'hit'],
    [sctpIs('only DATA'), cut(chunks, 40), 'miss'],
    [sctpIs('all DATA,INIT'), chunks, 'hit'],
    [sctpIs('any DATA'), sctp().parsed(), 'hotdrop'],
  ] as const) {
    t.equal(answerOf(contextFor(rule), packet), want, rule);
  }
});

t.test('what sockets would say: no for packets that pass, nobody knows for others', async (t) => {
  const passing = Object.assign(DGRAM.parsed(), PASSING);
  const own = Object.assign(DGRAM.parsed(), { outDevice: 'eth1' });
  const gre = Object.assign(rawIp(47).from('10.1.0.2').to('10.2.0.2').parsed(), PASSING);
  const asked = (match: Match, packet: Packet) => {
    const builder = routerPlan();
    const hook = match.kind === 'socket' ? 'PREROUTING' : 'POSTROUTING';
    builder.append(4, 'mangle', hook, { matches: [match] });
    return answerOf(walkContext(builder.build()), packet);
  };
  const uid = { value: { low: 0, high: 0 }, negate: true };
  const socket = { kind: 'socket', transparent: false, nowildcard: false, restoreMark: false };
  for (const [name, match, packet, want] of [
    ['no owner', { kind: 'owner', uid }, passing, 'hit'],
    ['groups', { kind: 'owner', gid: uid, supplementaryGroups: true }, passing, 'miss'],
    ['own', { kind: 'owner', uid }, own, 'unanswerable'],
    ['cgroup', { kind: 'cgroup', group: { classId: 1 }, negate: true }, passing, 'miss'],
    ['own cgroup', { kind: 'cgroup', group: { classId: 1 }, negate: true }, own, 'unanswerable'],
    ['socket', socket, passing, 'unanswerable'],
    ['socket of GRE', socket, gre, 'miss'],
  ] as [string, Match, Packet, string][]) {
    t.equal(asked(match, packet), want, name);
  }
});

t.test('time: only who says when it is gets an answer', async (t) => {
  const at = (text: string) => Date.parse(`${text}Z`) / 1000;
  for (const [rule, when, want] of [
    ['--timestart 22:00 --timestop 03:00', '2024-03-01T23:00:00', 'hit'],
    ['--timestart 22:00 --timestop 03:00', '2024-03-01T12:00:00', 'miss'],
    ['--timestart 22:00 --timestop 03:00 --weekdays Fri', '2024-03-02T01:00:00', 'miss'],
    [
      '--timestart 22:00 --timestop 03:00 --weekdays Fri --contiguous',
      '2024-03-02T01:00:00',
      'hit',
    ],
    ['--monthdays 29', '2024-02-29T00:00:00', 'hit'],
    ['--weekdays 7', '2024-03-03T23:59:59', 'hit'],
    ['--datestart 2024-03-01', '2024-02-29T23:59:59', 'miss'],
    ['--datestop 2024-03-01', '2024-03-01T00:00:00', 'hit'],
    ['--weekdays 7 --kerneltz', '2024-03-03T23:59:59', 'unanswerable'],
  ] as const) {
    const ctx = contextFor(`-m time ${rule}`);
    t.equal(answerOf({ ...ctx, utcSeconds: at(when) }, DGRAM.parsed()), want, `${rule} ${when}`);
    t.equal(answerOf(ctx, DGRAM.parsed()), 'unanswerable', 'nobody knows the time');
  }
});

t.test('hashlimit has no answer while only the collector knows', async (t) => {
  const rule = '-m hashlimit --hashlimit-upto 1/min --hashlimit-burst 1 --hashlimit-name a';
  const ctx = contextFor(`${rule} --hashlimit-htable-expire 5000`);
  const answers = [0, 1, 4, 9.5, 30].map((s) =>
    answerOf({ ...ctx, nowNs: s * 1e9 }, DGRAM.parsed()),
  );
  t.same(answers, ['hit', 'miss', 'miss', 'unanswerable', 'hit']);
});

t.test('hashlimit reads ports where the table tells them apart', async (t) => {
  const rule = '-m hashlimit --hashlimit-upto 1/min --hashlimit-burst 1 --hashlimit-name p';
  const ctx = contextFor(`${rule} --hashlimit-mode dstport`);
  const short = rawIp(17).from('10.1.0.2').to('10.2.0.2').payload(2);
  t.equal(answerOf(ctx, short.parsed()), 'hotdrop', 'no ports where ports are');
  t.equal(answerOf(ctx, cut(DGRAM.parsed(), 22)), 'cut');
  t.equal(answerOf(ctx, icmpEcho().from('10.1.0.2').to('10.2.0.2').parsed()), 'hit', 'port 0');
  t.equal(
    answerOf(ctx, rawIp(47).from('10.1.0.2').to('10.2.0.2').parsed()),
    'miss',
    'port 0 again',
  );
});

t.test('limit has no answer where the back ends of iptables differ', async (t) => {
  const ctx = contextFor('-m limit --limit 1/hour --limit-burst 50');
  const answers = Array.from({ length: 60 }, () => answerOf(ctx, DGRAM.parsed()));
  const count = (want: string) => answers.filter((answer) => answer === want).length;
  t.same([count('hit'), count('unanswerable'), count('miss')], [12, 38, 10]);
});

t.test('connlimit counts what is open, and sweeps as far as it looks', async (t) => {
  const table = new ConntrackTable();
  const ctx = { ...contextFor('-p tcp -m connlimit --connlimit-above 1'), table };
  const send = (sport: number, keep = true) => {
    const packet = tcp().from('10.1.0.2', sport).to('10.2.0.2', 80).syn().parsed();
    table.track(packet, ctx.nowNs, 'prerouting');
    const answer = answerOf(ctx, packet);
    if (keep) table.confirm(packet, ctx.nowNs);
    return answer;
  };
  t.equal(send(1), 'miss', 'one');
  t.equal(send(2, false), 'hit', 'two');
  t.equal(send(1), 'hit', 'the one that was dropped stands behind it');
  t.equal(send(3), 'hit', 'swept, but this is the second');
  table.flush();
  t.equal(send(3), 'miss');
  const alone = contextFor('-p tcp -m connlimit --connlimit-above 1');
  t.equal(answerOf(alone, tcp().syn().parsed()), 'unanswerable', 'no table to look into');
});

t.test('connbytes knows only connections that it saw from the start', async (t) => {
  const rule = '-m connbytes --connbytes 2 --connbytes-dir both --connbytes-mode packets';
  const ctx = contextFor(rule);
  const connection = newConnection({ original: {} as never, reply: {} as never, nowNs: 0 });
  const packet = Object.assign(DGRAM.parsed(), { ctState: 'established' as const, connection });
  t.equal(answerOf(ctx, packet), 'miss');
  connection.traffic = { original: { packets: 1, bytes: 1 }, reply: { packets: 1, bytes: 1 } };
  t.equal(answerOf(ctx, packet), 'hit');
  connection.traffic = null;
  t.equal(answerOf(ctx, packet), 'unanswerable');
  t.equal(answerOf(ctx, DGRAM.parsed()), 'miss', 'no connection');
});
