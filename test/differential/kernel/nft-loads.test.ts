/**
 * nft takes the tables that we render for kube-proxy's test cases, and lists them as we print them:
 * line by line, but for the order of elements and chains, and the size that nft gives to dynamic
 * sets. What it lists is read and printed back letter by letter. Needs root and ../shared.
 */
import t from 'tap';
import { renderKubeProxy } from '../../../src/dataplane/kube-proxy/render.ts';
import { PlanBuilder } from '../../../src/plan/builder.ts';
import { parseNft } from '../../../src/plan/nft/parse/ruleset-parser.ts';
import { printNft } from '../../../src/plan/nft/text/ruleset-text.ts';
import { needsSuite, proxyInput, readCases, renderCase } from '../../suites/kube-proxy-cases.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';

const skip = kernelMissing(['nft']) ?? needsSuite.skip;

/** Words of the text, sorted: nft lists elements in the order of its own tables. */
function wordsOf(text: string): readonly string[] {
  const plain = text.replaceAll(/\t\tsize 65535\n/g, '').replaceAll(/[,{}]/g, ' ');
  return plain.split(/\s+/).toSorted();
}

t.test('rendered tables load, and are listed as they are printed', { skip }, async (t) => {
  const lab = new Laboratory(t);
  for (const c of readCases()) {
    const input = proxyInput(c);
    const builder = new PlanBuilder(c.node.name, 'node');
    builder.interfaces.push(...renderCase(c).interfaces);
    renderKubeProxy(builder, { ...input, settings: { ...input.settings, mode: 'nftables' } });
    const printed = printNft(builder.build());
    await lab.empty();
    await lab.run(['nft', '-f', '-'], printed);
    const listed = await lab.run(['nft', 'list', 'ruleset']);
    t.strictSame(wordsOf(listed), wordsOf(printed), c.id);
    t.equal(printNft({ nft: parseNft(listed, c.id) }), listed, `${c.id}: read back`);
  }
});
