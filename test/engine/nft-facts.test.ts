/**
 * What steps of nft rules look at: facts that the compiled engine's keys hold, or what none holds.
 * @module
 */
import t from 'tap';
import { operationLooksAt, type Seen } from '../../src/engine/compiled/decision/nft-facts.ts';
import { OPAQUE } from '../../src/engine/compiled/decision/rule-facts.ts';
import { By } from '../../src/engine/compiled/layout.ts';
import { LookupSet } from '../../src/image/nft/lookup-set.ts';
import type { NftLoad, NftOperation, PayloadLoad } from '../../src/image/nft/program.ts';
import { Protocol } from '../../src/wire/protocol.ts';

const TCP4: Seen = { family: 4, protocol: Protocol.tcp };
const TCP6: Seen = { family: 6, protocol: Protocol.tcp };
const UDP4: Seen = { family: 4, protocol: Protocol.udp };
const PING4: Seen = { family: 4, protocol: Protocol.icmp };
const ADDRESSES = By.source | By.destination;

function payload(
  base: 'nh' | 'th',
  offset: number,
  length: number,
  bits = length * 8,
): PayloadLoad {
  return { kind: 'payload', base, offset, length, shift: length * 8 - bits, bits, isFast: true };
}

function asks(...loads: readonly NftLoad[]): NftOperation {
  const tests = loads.map(() => ({ kind: 'bounds', low: 1n, high: 1n }) as const);
  return { kind: 'test', loads, tests, negate: false };
}

function ct(key: Extract<NftLoad, { kind: 'ct' }>['key']): NftLoad {
  return { kind: 'ct', key, direction: null, family: null };
}

const ROWS: readonly (readonly [string, NftOperation, Seen, number])[] = [
  ['ip saddr', asks(payload('nh', 12, 4)), TCP4, By.source],
  ['ip daddr', asks(payload('nh', 16, 4)), TCP4, By.destination],
  ['both', asks(payload('nh', 12, 4), payload('nh', 16, 4)), TCP4, ADDRESSES],
  ['ip saddr and daddr in one', asks(payload('nh', 12, 8)), TCP4, ADDRESSES],
  ['ip dscp', asks(payload('nh', 1, 1, 6)), TCP4, 0],
  ['ip protocol', asks(payload('nh', 9, 1)), TCP4, 0],
  ['ip ttl', asks(payload('nh', 8, 1)), TCP4, OPAQUE],
  ['ip length', asks(payload('nh', 2, 2)), TCP4, OPAQUE],
  ['ip6 saddr', asks(payload('nh', 8, 16)), TCP6, By.source],
  ['ip6 daddr', asks(payload('nh', 24, 16)), TCP6, By.destination],
  ['ip6 flow label', asks(payload('nh', 1, 3)), TCP6, OPAQUE],
  ['ip6 daddr of an IPv4 packet', asks(payload('nh', 24, 16)), TCP4, OPAQUE],
  ['tcp sport', asks(payload('th', 0, 2)), TCP4, By.sourcePort],
  ['udp dport', asks(payload('th', 2, 2)), UDP4, By.destinationPort],
  ['tcp flags', asks(payload('th', 13, 1)), TCP4, By.flags],
  ['that byte of a datagram', asks(payload('th', 13, 1)), UDP4, OPAQUE],
  ['tcp sequence', asks(payload('th', 4, 4)), TCP4, OPAQUE],
  ['icmp type', asks(payload('th', 0, 1)), PING4, 0],
  ['icmp id', asks(payload('th', 4, 2)), PING4, OPAQUE],
  ['meta mark', asks({ kind: 'meta', key: 'mark' }), TCP4, 0],
  ['meta length', asks({ kind: 'meta', key: 'length' }), TCP4, OPAQUE],
  ['ct state', asks(ct('state')), TCP4, 0],
  ['ct daddr', asks(ct('daddr')), TCP4, ADDRESSES],
  ['ct bytes', asks(ct('bytes')), TCP4, OPAQUE],
  ['ct status as a whole', asks(ct('status')), TCP4, OPAQUE],
  ['ct status dnat', statusAny(32n), TCP4, 0],
  ['ct status assured', statusAny(4n), TCP4, OPAQUE],
  [
    'a draw',
    asks({ ...{ kind: 'numgen', mode: 'random', modulus: 2 }, offset: 0, id: 0 }),
    TCP4,
    OPAQUE,
  ],
  ['a set', lookup(false), TCP4, By.destination],
  ['a set that rules change', lookup(true), TCP4, OPAQUE],
];

function statusAny(bits: bigint): NftOperation {
  return { kind: 'test', loads: [ct('status')], tests: [{ kind: 'any', bits }], negate: false };
}

function lookup(changes: boolean): NftOperation {
  const parts = { id: 's', isMap: false, size: null, timeoutMs: null, meters: [] };
  const set = new LookupSet({ ...parts, changes });
  set.fill([]);
  return { kind: 'lookup', loads: [payload('nh', 16, 4)], set, negate: false };
}

t.test(
  'a step of an nft rule depends on what it reads, and on nothing that no key holds',
  async (t) => {
    for (const [name, operation, packet, bits] of ROWS) {
      t.equal(operationLooksAt(operation, packet), bits, name);
    }
  },
);

t.test('elements that end or measure make a set one that changes', async (t) => {
  const element = { key: [[1n, 1n]], data: null, verdict: null, timeoutMs: null } as const;
  const rows = [
    [{ ...element, untilNs: null, meters: [] }, true],
    [{ ...element, untilNs: 5, meters: [] }, false],
  ] as const;
  for (const [one, isSteady] of rows) {
    const set = new LookupSet({
      ...{ id: 's', isMap: false, changes: false },
      ...{ size: null, timeoutMs: null, meters: [] },
    });
    set.fill([one]);
    t.equal(set.isSteady, isSteady);
  }
});
