import fc from 'fast-check';
import t from 'tap';
import {
  type CompiledSet,
  compileSet,
  PORT_CUT,
  type SetView,
} from '../../src/image/set/ip-set.ts';
import type { IpSet, SetMember } from '../../src/netfilter/ip-set.ts';
import {
  type Address,
  contains,
  equalAddress,
  ipv4,
  ipv6,
} from '../../src/wire/address/address.ts';
import { address } from '../support/packets.ts';
import { prefix } from '../support/walks.ts';

interface Ends {
  readonly src: Address;
  readonly dst: Address;
  readonly protocol: number;
  readonly sport: number;
  readonly dport: number;
}

function view({ src, dst, protocol, sport, dport }: Ends): SetView {
  const setPort = (side: 'src' | 'dst') => (side === 'src' ? sport : dport);
  return { family: src.family, src, dst, protocol, setPort };
}

function compile(type: IpSet['type'], members: readonly SetMember[], family: 4 | 6 = 4) {
  const set = { name: 's', type, family, maxElements: 65536, members };
  return compileSet(set, () => t.fail('no list here') as never);
}

const PACKET = view({
  src: address('10.0.0.1'),
  dst: address('10.0.0.2'),
  protocol: 6,
  sport: 40000,
  dport: 80,
});

t.test('a hash:net entry marked nomatch cuts a hole that a longer entry fills again', async (t) => {
  const set = compile('hash:net', [
    { kind: 'net', net: prefix('10.0.0.0/8'), nomatch: false },
    { kind: 'net', net: prefix('10.1.0.0/16'), nomatch: true },
    { kind: 'net', net: prefix('10.1.2.0/24'), nomatch: false },
  ]);
  for (const [text, want] of [
    ['10.9.9.9', true],
    ['10.1.9.9', false],
    ['10.1.2.3', true],
    ['11.0.0.1', false],
  ] as const) {
    const packet = { ...PACKET, src: address(text) };
    t.equal(set.test(packet, ['src']), want, text);
  }
});

t.test(
  'a port dimension knows its protocol, and a packet without ports never matches',
  async (t) => {
    const member = {
      kind: 'ip,port',
      address: address('10.0.0.2'),
      protocol: 6,
      port: 80,
    } as const;
    const set = compile('hash:ip,port', [member]);
    const other = (change: Partial<SetView>) => Object.assign({}, PACKET, change);
    t.equal(set.test(PACKET, ['dst', 'dst']), true, 'tcp 80');
    t.equal(set.test(PACKET, ['dst', 'src']), false, 'source port');
    t.equal(set.test(other({ protocol: 17 }), ['dst', 'dst']), false, 'udp 80');
    t.equal(set.test(other({ setPort: () => -1 }), ['dst', 'dst']), false, 'a later fragment');
    t.equal(
      set.test(other({ setPort: () => PORT_CUT }), ['dst', 'dst']),
      'cut',
      'cut by the capture',
    );
    t.equal(set.test(PACKET, ['dst']), false, 'a rule with too few dimensions never matches');
  },
);

t.test('members without ports are held with port 0, as the kernel holds them', async (t) => {
  const gre = { kind: 'ip,port', address: address('10.0.0.2'), protocol: 47, port: 99 } as const;
  const packet = Object.assign({}, PACKET, { protocol: 47, setPort: () => 0 });
  t.equal(compile('hash:ip,port', [gre]).test(packet, ['dst', 'dst']), true);
});

t.test('a set of one family never matches a packet of the other', async (t) => {
  const set = compile('hash:ip', [{ kind: 'ip', address: address('fd00::1') }], 6);
  t.equal(set.test(PACKET, ['src']), false);
  const mapped = Object.assign({}, PACKET, { src: address('::ffff:10.0.0.1'), family: 6 as const });
  const four = compile('hash:ip', [{ kind: 'ip', address: address('10.0.0.1') }]);
  t.equal(four.test(mapped, ['src']), false, 'nor by its mapped form');
});

t.test('a list:set asks its members with the same dimensions', async (t) => {
  const ip = compile('hash:ip', [{ kind: 'ip', address: address('10.0.0.1') }]);
  const service = { kind: 'ip,port', address: address('10.0.0.2'), protocol: 6, port: 80 } as const;
  const sets = new Map<string, CompiledSet>([
    ['ip', ip],
    ['service', compile('hash:ip,port', [service])],
  ]);
  const members = [
    { kind: 'set', set: 'service' },
    { kind: 'set', set: 'ip' },
  ] as const;
  const list = compileSet({ name: 'l', type: 'list:set', maxElements: 8, members }, (name) => {
    const found = sets.get(name);
    if (!found) throw new Error(name);
    return found;
  });
  t.equal(list.test(PACKET, ['src']), true, 'by the member of one dimension');
  t.equal(list.test(PACKET, ['dst']), false, 'the two-dimensional member is not asked');
  t.equal(list.test(PACKET, ['dst', 'dst']), true, 'by the member of two');
  const cut = Object.assign({}, PACKET, { setPort: () => PORT_CUT });
  t.equal(list.test(cut, ['src', 'dst']), true, 'a sure yes outweighs a cut');
  t.equal(list.test(cut, ['dst', 'dst']), 'cut');
});

const SEED = { seed: 20261121, numRuns: 200 };
const word = fc.constantFrom(0, 1, 0x80000000, 0xff000000, 0xfffffffe, 0xffffffff);
const anyIpv4 = word.map(ipv4);
const anyIpv6 = fc.tuple(word, word, word, word).map(([a, b, c, d]) => ipv6(a, b, c, d));

t.test('law: a compiled set answers as a scan of its members, longest net first', async (t) => {
  for (const [family, addresses] of [
    [4, anyIpv4],
    [6, anyIpv6],
  ] as const) {
    const length =
      family === 4 ? fc.constantFrom(1, 8, 31, 32) : fc.constantFrom(1, 33, 64, 127, 128);
    const net = fc.record({
      kind: fc.constant('net,port' as const),
      net: fc.record({ address: addresses, length }),
      protocol: fc.constantFrom(6, 17),
      port: fc.constantFrom(0, 80),
      nomatch: fc.boolean(),
    });
    const packet = fc.record({
      src: addresses,
      dst: addresses,
      protocol: fc.constantFrom(6, 17),
      sport: fc.constantFrom(0, 80),
      dport: fc.constantFrom(0, 80),
    });
    fc.assert(
      fc.property(fc.array(net, { maxLength: 12 }), packet, (members, ends) => {
        const set = compile('hash:net,port', members, family);
        const hits = members.filter(
          (m) => m.protocol === ends.protocol && m.port === ends.dport && contains(m.net, ends.src),
        );
        const longest = Math.max(-1, ...hits.map((m) => m.net.length));
        const last = hits.filter((m) => m.net.length === longest).at(-1);
        return set.test(view(ends), ['src', 'dst']) === (last !== undefined && !last.nomatch);
      }),
      SEED,
    );
    fc.assert(
      fc.property(fc.array(addresses), packet, (members, ends) => {
        const set = compile(
          'hash:ip',
          members.map((a) => ({ kind: 'ip', address: a })),
          family,
        );
        return set.test(view(ends), ['dst']) === members.some((a) => equalAddress(a, ends.dst));
      }),
      SEED,
    );
  }
  t.pass('held');
});

t.test('two hundred thousand members are found, and their neighbours are not', async (t) => {
  const members = Array.from({ length: 200_000 }, (_, i) => ({
    kind: 'ip' as const,
    address: ipv4(0x0a000000 + i * 2),
  }));
  const set = compile('hash:ip', members);
  let wrong = 0;
  for (let i = 0; i < 200_000; i += 7) {
    const at = (value: number) => set.test({ ...PACKET, src: ipv4(value) }, ['src']);
    if (at(0x0a000000 + i * 2) !== true || at(0x0a000001 + i * 2) !== false) wrong += 1;
  }
  t.equal(wrong, 0);
});
