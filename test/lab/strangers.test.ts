/**
 * Conversations that native code follows from their opening on, against the same packets joined by
 * JavaScript: how many there are, which of them end, when, and in which order.
 * @module
 */
import t from 'tap';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { addressPlan } from '../../src/cluster/address/address-plan.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { Identities } from '../../src/lab/identity.ts';
import { findWalker } from '../../src/lab/lane/columns.ts';
import { NativeStrangers } from '../../src/lab/lane/native-strangers.ts';
import { NativeSightings } from '../../src/lab/lane/sightings.ts';
import { MIDSTREAM, type Midstream } from '../../src/lab/traffic/conversation.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import type { StrangerTuple } from '../../src/lab/traffic/strangers.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import { type Ended, Traffic, type TrafficOptions } from '../../src/lab/traffic/traffic.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { CROWD_CLUSTER, crowd } from '../support/crowd.ts';
import { icmpError, sctp, sctpInit, tcp } from '../support/packets.ts';

// Ten thousand packets, each nine times.
t.setTimeout(300_000);
const skip = findNative().addon === null ? 'needs the addon' : false;
const { cluster } = parseInputs('crowd.yaml', CROWD_CLUSTER);
const identities = new Identities(cluster, addressPlan(cluster));
const SECOND = 1_000_000_000n;
/** The lower, and the higher end of some conversations of the crowd. */
const [A, B] = ['10.240.0.10', '10.240.1.11'] as const;
const PORTS = [40_000, 8080] as const;

function optionsOf(records: readonly PacketRecord[], midstream: Midstream): TrafficOptions {
  const survey = new Survey();
  for (const record of records) survey.add(record);
  return {
    identities,
    map: new AddressMap([]),
    checksums: 'auto',
    survey: survey.checksums,
    midstream,
    vantages: new Vantages([]),
    entryIsGiven: false,
  };
}

/** What was said of conversations: numbers of those that ended, by frame. */
interface Said {
  readonly ended: readonly (readonly [number, number])[];
  readonly began: number;
  readonly passed: number;
}

/** All conversations joined in JavaScript. */
function joined(records: readonly PacketRecord[], midstream: Midstream): Said {
  const traffic = new Traffic(optionsOf(records, midstream));
  const ended: [number, number][] = [];
  const note = (frame: number, { conversations }: Ended) => {
    for (const { id } of conversations) ended.push([frame, id]);
  };
  let began = 0;
  for (const record of records) {
    const { membership } = traffic.take(record);
    began = Math.max(began, membership?.conversation.id ?? 0);
    note(record.frame, { conversations: traffic.replaced(), strangers: new Float64Array() });
    note(record.frame, traffic.expired());
  }
  note(0, traffic.end());
  return { ended, began, passed: 0 };
}

/** Those of which `isOwn` does not say so followed by native code. */
function followed(
  records: readonly PacketRecord[],
  midstream: Midstream,
  isOwn: (tuple: StrangerTuple) => boolean,
): Said {
  const walker = findWalker();
  if (walker === null) throw new Error('needs the addon');
  const translated = [{ protocol: 6, address: identityOf(B), port: PORTS[1] }];
  const synAckAnswers = midstream === 'assume';
  const strangers = new NativeStrangers({ walker, isOwn, translated, views: [], synAckAnswers });
  const options = optionsOf(records, midstream);
  const traffic = new Traffic(options, new NativeSightings(walker.native), strangers);
  const ended: [number, number][] = [];
  const note = (frame: number, { conversations, strangers: others }: Ended) => {
    const ids = [...conversations.map(({ id }) => id), ...others];
    for (const id of ids.sort((a, b) => a - b)) ended.push([frame, id]);
  };
  let passed = 0;
  for (const record of records) {
    const before = strangers.closed;
    const taken = traffic.takeShare(record, () => true);
    if (taken.kind === 'followed') passed++;
    // Whose it was that another one replaced native code does not say.
    if (strangers.closed > before) ended.push([record.frame, Number.NaN]);
    note(record.frame, { conversations: traffic.replaced(), strangers: new Float64Array() });
    note(record.frame, traffic.expired());
  }
  note(0, traffic.end());
  return { ended, began: strangers.takeId() - 1, passed };
}

function identityOf(text: string) {
  const found = cluster.pods.flatMap(({ addresses }) => addresses);
  const wanted = found.find(
    ({ w3 }) => text === [24, 16, 8, 0].map((s) => (w3 >>> s) & 255).join('.'),
  );
  if (wanted === undefined) throw new Error(`no pod has ${text}`);
  return wanted;
}

/** The same where nobody says which conversation was replaced. */
function withoutReplaced({ ended }: Said, other: Said): readonly (readonly [number, number])[] {
  return ended.map(([frame, id], i) => [
    frame,
    Number.isNaN(other.ended[i]?.[1]) ? Number.NaN : id,
  ]);
}

function recordsOf(frames: readonly (readonly [number, Uint8Array])[]): readonly PacketRecord[] {
  const iface = { id: 0, file: 'a.pcap', linkType: LinkType.ethernet, snapLength: 65_535 };
  return frames.map(([atS, data], i) => ({
    frame: i + 1,
    iface,
    timeNs: 1_700_000_000n * SECOND + BigInt(Math.round(atS * 1e9)),
    data,
    wireLength: data.length,
  }));
}

/** Crowds with long silences, so that conversations end by themselves and begin anew. */
function withSilences(records: readonly PacketRecord[], every: number): readonly PacketRecord[] {
  return records.map((record, i) => {
    const silences = BigInt(Math.floor(i / every));
    return { ...record, timeNs: record.timeNs + silences * 125n * SECOND };
  });
}

const ask = tcp().from(A, PORTS[0]).to(B, PORTS[1]);
const answer = tcp().from(B, PORTS[1]).to(A, PORTS[0]);
const init = sctp().from(A, PORTS[0]).to(B, PORTS[1]);

const CASES: Readonly<Record<string, readonly PacketRecord[]>> = {
  crowd: crowd({ packets: 1500, seed: 71, pieces: true }),
  'crowd with silences': withSilences(crowd({ packets: 1500, seed: 72 }), 60),
  'few ends, each used again and again': withSilences(crowd({ packets: 1500, seed: 73 }), 400),
  'a port reopened after an end, and an end that was sent again': recordsOf([
    [0, ask.syn().frame()],
    [0.1, answer.syn().ack(1).frame()],
    [0.2, ask.fin().ack(1).frame()],
    [0.3, answer.fin().ack(2).frame()],
    [0.4, ask.syn().seq(900).frame()],
    [0.5, answer.rst().frame()],
    [0.6, ask.syn().seq(1900).frame()],
    [130, answer.syn().ack(1901).frame()],
  ]),
  'begun in the middle, by the server': recordsOf([
    [0, answer.ack(1).payload(8).frame()],
    [200, ask.ack(9).payload(8).frame()],
    [400, answer.syn().ack(3).frame()],
    [700, ask.ack(9).payload(8).frame()],
  ]),
  'errors that quote a packet keep its conversation, and are no answer': recordsOf([
    [0, ask.syn().frame()],
    [100, icmpError(ask.syn().packet()).from(B).to(A).frame()],
    [210, ask.ack(1).payload(3).frame()],
    [220, icmpError(answer.packet()).from('203.0.113.9').to(B).frame()],
    // An answered conversation would go on after a silence of 130 s.
    [350, ask.ack(1).payload(3).frame()],
  ]),
  'protocols with other openings': recordsOf([
    [0, init.chunks(sctpInit(5)).frame()],
    [179, init.chunks(sctpInit(5)).frame()],
    [400, init.chunks(sctpInit(6)).frame()],
  ]),
};

/** Pairs of addresses, by turns; the server's port decides at one of them. */
function every(n: number): (tuple: StrangerTuple) => boolean {
  return ({ src, dst, sport, dport, protocol }) => {
    const isPort = (address: typeof src, port: number | null) =>
      protocol === 6 && address.w3 === identityOf(B).w3 && port === PORTS[1];
    const byPort = isPort(src, sport) || isPort(dst, dport) ? 1 : 0;
    return (((src.w3 ^ dst.w3) >>> 0) + byPort) % n === 0;
  };
}

for (const [name, records] of Object.entries(CASES)) {
  t.test(
    `${name}: strangers begin and end as they do where they are judged`,
    { skip },
    async (t) => {
      for (const midstream of MIDSTREAM) {
        const want = joined(records, midstream);
        for (const [whose, isOwn] of [
          ['nobody is own', () => false],
          ['half are own', every(2)],
          ['all are own', () => true],
        ] as const) {
          const got = followed(records, midstream, isOwn);
          const what = `${midstream}, ${whose}`;
          t.equal(got.began, want.began, `${what}: begun`);
          t.strictSame(got.ended, withoutReplaced(want, got), `${what}: ended`);
          if (whose === 'nobody is own') t.ok(got.passed > 2, `${what}: ${got.passed} passed`);
          if (whose === 'all are own') t.equal(got.passed, 0, what);
        }
      }
    },
  );
}
