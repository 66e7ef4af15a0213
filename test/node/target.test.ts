import t from 'tap';
import { newConnection } from '../../src/conntrack/connection.ts';
import type { Provenance } from '../../src/netfilter/rule.ts';
import type { Target } from '../../src/netfilter/target.ts';
import { applyClass, applyMss, applyTtl } from '../../src/node/target/header.ts';
import { applyConnmark, applyMark, originsOfMark } from '../../src/node/target/target.ts';
import type { Packet } from '../../src/packet/packet.ts';
import { icmpEcho, parsed, tcp, udp } from '../support/packets.ts';
import { routerPlan, walkContext } from '../support/walks.ts';

const WHO: Provenance = { object: 'shop/NetworkPolicy/web', effect: 'allow' };

t.test('MARK clears the mask and turns the value', async (t) => {
  for (const [before, value, mask, after] of [
    [0x0, 0x1, 0x1, 0x1],
    [0xf0, 0x0, 0x10, 0xe0],
    [0x4000, 0x4000, 0x0, 0x0],
    [0xffffffff, 0x80000000, 0xffffffff, 0x80000000],
  ] as const) {
    const packet = Object.assign(udp().parsed(), { mark: before });
    applyMark({ value, mask }, packet, []);
    t.equal(packet.mark, after, `${before} with ${value}/${mask}`);
  }
});

t.test('CONNMARK moves marks, and who set them, between packet and connection', async (t) => {
  const ctx = walkContext(routerPlan().build());
  const connection = newConnection({ original: {} as never, reply: {} as never, nowNs: 0 });
  const make = () => Object.assign(udp().parsed(), { ctState: 'new' as const, connection });
  const target = { kind: 'connmark', value: 0, mask: 0xffffffff, nfmask: 0xffffffff } as const;
  const first = make();
  applyMark({ value: 6, mask: 6 }, first, [WHO]);
  applyConnmark(ctx, { ...target, operation: 'save', nfmask: 4 }, first);
  t.equal(connection.mark, 4);
  const second = Object.assign(make(), { mark: 3 });
  applyConnmark(ctx, { ...target, operation: 'restore', nfmask: 0xffffffff }, second);
  t.equal(second.mark, 4);
  t.same(originsOfMark(second, 4), [WHO]);
  applyConnmark(ctx, { ...target, operation: 'set', value: 1, mask: 4 }, second);
  t.equal(connection.mark, 1);
  const none: Packet = { ...make(), connection: null, mark: 9 };
  applyConnmark(ctx, { ...target, operation: 'restore' }, none);
  t.equal(none.mark, 9, 'a packet without a connection passes untouched');
});

/** The header that a builder would have made with the new value. */
function sameBytes(
  t: { equal(got: string, want: string, name: string): unknown },
  packet: Packet,
  want: Uint8Array,
  name: string,
): void {
  t.equal(Buffer.from(packet.bytes).toString('hex'), Buffer.from(want).toString('hex'), name);
}

t.test('TTL, TOS and DSCP change the header and its checksum, never shared bytes', async (t) => {
  const frame = udp().ttl(64).tos(0x11).frame();
  const shared = parsed(frame);
  const before = frame.slice();
  const ttl = (operation: 'set' | 'inc' | 'dec', value: number): Target & { kind: 'ttl' } => ({
    kind: 'ttl',
    operation,
    value,
  });
  for (const [name, target, want] of [
    ['set', ttl('set', 1), 1],
    ['inc', ttl('inc', 5), 69],
    ['inc past the end', ttl('inc', 250), 255],
    ['dec', ttl('dec', 63), 1],
    ['dec past the end', ttl('dec', 99), 0],
  ] as const) {
    const packet = { ...shared };
    applyTtl(target, packet);
    sameBytes(t, packet, udp().ttl(want).tos(0x11).frame(), name);
  }
  const tos = { ...shared };
  applyClass({ kind: 'tos', value: 0x08, mask: 0xfc }, tos);
  sameBytes(t, tos, udp().ttl(64).tos(0x09).frame(), 'tos');
  const dscp = { ...shared };
  applyClass({ kind: 'dscp', value: 46 }, dscp);
  sameBytes(t, dscp, udp().ttl(64).tos(0xb9).frame(), 'dscp keeps ECN');
  const six = udp().from('fd00::1', 1).to('fd00::2', 2);
  const packet6 = six.tos(0x11).parsed();
  applyClass({ kind: 'dscp', value: 46 }, packet6);
  applyTtl(ttl('set', 9), packet6);
  sameBytes(t, packet6, six.tos(0xb9).ttl(9).frame(), 'IPv6');
  t.same(frame, before, 'the frame others share is as it was');
});

t.test('TCPMSS lowers the MSS of a SYN and its checksum, and never raises it', async (t) => {
  const ctx = walkContext(routerPlan().build());
  const syn = (mss: number, pad: readonly number[] = []) => {
    const options = Uint8Array.of(
      ...pad,
      2,
      4,
      mss >>> 8,
      mss & 0xff,
      ...(pad.length ? [1, 1, 1] : []),
    );
    return tcp().from('10.1.0.2', 1).to('10.2.0.2', 2).syn().tcpOptions(options);
  };
  const clamp = (mss: number | 'pmtu', packet: Packet) =>
    applyMss(ctx, { kind: 'tcpmss', mss }, packet);
  for (const [name, builder, mss, want] of [
    ['lower', syn(1460), 1200, syn(1200)],
    ['never raised', syn(900), 1200, syn(900)],
    ['not a SYN', syn(1460).flags(0x10), 1200, syn(1460).flags(0x10)],
    ['to the path', syn(9000), 'pmtu', syn(1460)],
  ] as const) {
    const packet = Object.assign(builder.parsed(), { outDevice: 'eth1' });
    t.equal(clamp(mss, packet), true);
    sameBytes(t, packet, want.frame(), name);
  }
  const bare = tcp().syn().parsed();
  t.equal(clamp(1200, bare), true);
  const least = tcp()
    .syn()
    .tcpOptions(Uint8Array.of(2, 4, 536 >>> 8, 536 & 255));
  sameBytes(t, bare, least.frame(), 'no option to lower: one is added');
  t.equal(clamp(1200, icmpEcho().parsed()), true, 'not TCP');
});
