/**
 * The law of lowering, for sets (SEMANTICS C4): packets whose ends and ports are in the same classes
 * get the same answer of every set, of whatever type and with whatever directions.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { ClassTables } from '../../src/image/classes/class-tables.ts';
import { compileSet, SET_DIMENSION } from '../../src/image/set/ip-set.ts';
import { setCuts } from '../../src/lowering/cuts/set-cuts.ts';
import { lower } from '../../src/lowering/link.ts';
import { type IpSet, SET_TYPES, type SetMember, type SetType } from '../../src/netfilter/ip-set.ts';
import type { SetDirection } from '../../src/netfilter/match.ts';
import { type Address, ipv4, maskAddress } from '../../src/wire/address/address.ts';
import { Protocol } from '../../src/wire/protocol.ts';
import { address } from '../support/packets.ts';
import { prefix, routerPlan } from '../support/walks.ts';

const SEED = 20_261_121;
/** Addresses and ports small enough to try all of them. */
const ADDRESSES = Array.from({ length: 8 }, (_, i) => ipv4(0x0a000000 + i));
const PORTS = [0, 80, 81, 443];

const low = fc.constantFrom(...ADDRESSES);
const net = fc.record({ address: low, length: fc.constantFrom(29, 30, 31, 32) }).map((drawn) => ({
  address: maskAddress(drawn.address, drawn.length),
  length: drawn.length,
}));
const service = fc.record({
  protocol: fc.constantFrom(Protocol.tcp, Protocol.udp),
  port: fc.constantFrom(...PORTS),
});

const MEMBERS: Readonly<Record<Exclude<SetType, 'list:set'>, fc.Arbitrary<SetMember>>> = {
  'hash:ip': low.map((one) => ({ kind: 'ip', address: one })),
  'hash:net': fc
    .tuple(net, fc.boolean())
    .map(([one, nomatch]) => ({ kind: 'net', net: one, nomatch })),
  'hash:ip,port': fc
    .tuple(low, service)
    .map(([one, what]) => ({ kind: 'ip,port', address: one, ...what })),
  'hash:net,port': fc
    .tuple(net, service, fc.boolean())
    .map(([one, what, nomatch]) => ({ kind: 'net,port', net: one, nomatch, ...what })),
  'hash:ip,port,ip': fc
    .tuple(low, service, low)
    .map(([one, what, second]) => ({ kind: 'ip,port,ip', address: one, second, ...what })),
  'hash:ip,port,net': fc
    .tuple(low, service, net, fc.boolean())
    .map(([one, what, within, nomatch]) => ({
      ...{ kind: 'ip,port,net', address: one, within, nomatch, ...what },
    })),
  'bitmap:port': fc.constantFrom(...PORTS).map((port) => ({ kind: 'port', port })),
};

const direction = fc.constantFrom<SetDirection>('src', 'dst');

function memberKey(member: SetMember): string {
  return JSON.stringify({ ...member, nomatch: 0 });
}

function setOf(type: Exclude<SetType, 'list:set'>, members: readonly SetMember[]): IpSet {
  return { name: 'drawn', type, maxElements: 65_536, members, family: 4 };
}

interface End {
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number;
  readonly dport: number;
}

function everyEnd(): readonly End[] {
  const ends: End[] = [];
  for (const src of ADDRESSES) {
    for (const dst of ADDRESSES) {
      for (const sport of PORTS) for (const dport of PORTS) ends.push({ src, dst, sport, dport });
    }
  }
  return ends;
}

const EVERY = everyEnd();

for (const type of SET_TYPES) {
  if (type === 'list:set') continue;
  t.test(`${type}: what is in the same classes gets the same answer`, async () => {
    const dimension = SET_DIMENSION[type];
    const drawn = fc.tuple(
      fc.uniqueArray(MEMBERS[type], { selector: memberKey, maxLength: 8 }),
      fc.array(direction, { minLength: dimension, maxLength: dimension }),
      fc.constantFrom<'tcp' | 'udp'>('tcp', 'udp'),
    );
    fc.assert(
      fc.property(drawn, ([members, directions, protocol]) => {
        const set = setOf(type, members);
        const compiled = compileSet(set, () => compiled);
        const tables = new ClassTables();
        tables.add(setCuts(new Map([[set.name, set]]), set.name, directions));
        const { ports } = tables.fields;
        const answers = new Map<string, unknown>();
        return EVERY.every(({ src, dst, sport, dport }) => {
          const setPort = (which: SetDirection) => (which === 'src' ? sport : dport);
          const view = { family: 4 as const, src, dst, protocol: Protocol[protocol], setPort };
          const answer = compiled.test(view, directions);
          const classes = [
            tables.classOf(src, 'source'),
            tables.classOf(dst, 'destination'),
            ports[protocol].source.classOf(sport),
            ports[protocol].destination.classOf(dport),
          ].join();
          const known = answers.get(classes);
          answers.set(classes, answer);
          return known === undefined || known === answer;
        });
      }),
      { seed: SEED, numRuns: 60 },
    );
  });
}

t.test('chains that nothing leads to cut nothing', async (t) => {
  const builder = routerPlan();
  const rule = { ip: { source: { value: prefix('192.0.2.0/24'), negate: false } } };
  builder.ensureChain(4, 'filter', 'NOBODY');
  builder.append(4, 'filter', 'NOBODY', { ...rule, target: { kind: 'drop' } });
  const [one, other] = [address('192.0.2.1'), address('192.0.3.1')];
  const told = () => {
    const tables = new ClassTables();
    tables.takeIn(lower(builder.build()));
    return tables.classOf(one, 'source') !== tables.classOf(other, 'source');
  };
  t.notOk(told());
  builder.append(4, 'filter', 'FORWARD', { target: { kind: 'jump', chain: 'NOBODY' } });
  t.ok(told(), 'until something does');
});
