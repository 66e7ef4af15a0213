/**
 * Two stacks on one cluster, a few openings, and where the stacks differ.
 * @module
 */
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Comparison, type Difference } from '../../src/lab/compare/compare.ts';
import { replay } from '../../src/lab/replay.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { tcp } from './packets.ts';

export type Opening = readonly [from: string, to: string, dport: number];

/** The differences of some TCP openings between stacks. */
export async function differencesOf(
  documents: readonly string[],
  stacks: readonly string[],
  openings: readonly Opening[],
): Promise<readonly Difference[]> {
  const inputs = parseInputs('shop.yaml', documents.join('---\n'));
  const worlds = stacks.map((stack) => new World({ ...inputs, stack: parseStack(stack) }));
  const [first] = worlds;
  if (first === undefined) throw new Error('two worlds');
  const iface = { id: 0, file: 'x.pcap', linkType: LinkType.ethernet, snapLength: 65535 };
  const records = openings.map(([from, to, dport], i): PacketRecord => {
    const data = tcp()
      .from(from, 40_000 + i)
      .to(to, dport)
      .syn()
      .seq(i)
      .frame();
    return { frame: i + 1, iface, timeNs: BigInt(i), data, wireLength: data.length };
  });
  const survey = new Survey();
  for (const record of records) survey.add(record);
  const found: Difference[] = [];
  const comparison = new Comparison(worlds, (difference) => found.push(difference));
  async function* batches() {
    yield records;
  }
  await replay({
    records: batches(),
    traffic: {
      identities: first.identities,
      map: new AddressMap([]),
      checksums: 'auto',
      survey: survey.checksums,
      translations: survey.translations,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
    },
    stacks: worlds.map((world, i) => ({ world, sink: comparison.sink(i, () => {}) })),
    options: { openLoop: false },
    onClosed: (conversation, place) => comparison.closed(conversation, place),
  });
  return found;
}
