/**
 * What Azure refuses about numbers and about the nodes' own ranges: held against a wiring document,
 * as the rest of azure-rules.ts.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { containsPrefix, formatPrefix, overlaps } from '../../wire/address/address.ts';
import { hasNetwork } from '../address/address-plan.ts';
import { hasPodRanges } from '../infer-wiring.ts';
import type { Node, Pod, Wiring } from '../model.ts';
import { formatSource } from '../model.ts';
import { MOST_PODS, mostNodes } from './capacity.ts';

/** Too many nodes, too many pods on one, ranges of nodes that can not be. */
export function growthProblems(
  wiring: Wiring,
  nodes: readonly Node[],
  pods: readonly Pod[],
): readonly Diagnostic[] {
  return [
    ...tooManyNodes(wiring, nodes),
    ...tooManyPods(nodes, pods),
    ...(hasPodRanges(wiring) ? nodeRangeProblems(wiring, nodes) : []),
  ];
}

function about(node: Node) {
  return { ...node.source, object: `Node/${node.name}` };
}

function tooManyNodes(wiring: Wiring, nodes: readonly Node[]): readonly Diagnostic[] {
  const most = mostNodes(wiring);
  const [over] = nodes.slice(most);
  if (!over) return [];
  const network = wiring.networkPlugin === 'kubenet' ? 'kubenet' : 'Azure CNI';
  const why = network === 'kubenet' ? ': a route table has 400 routes' : '';
  return [
    {
      code: 'AZURE_NODES',
      ...about(over),
      message: `a cluster with ${network} has at most ${most} nodes${why}`,
      found: `${nodes.length} nodes`,
      accepted: `${most}`,
    },
  ];
}

function tooManyPods(nodes: readonly Node[], pods: readonly Pod[]): readonly Diagnostic[] {
  const byNode = new Map<string, number>();
  for (const pod of pods) {
    if (hasNetwork(pod)) byNode.set(pod.node, (byNode.get(pod.node) ?? 0) + 1);
  }
  return nodes.flatMap((node) => {
    const count = byNode.get(node.name) ?? 0;
    if (count <= MOST_PODS) return [];
    const message = `a node has at most ${MOST_PODS} pods`;
    return [{ code: 'AZURE_MAX_PODS', ...about(node), message, found: `${count} pods` }];
  });
}

/** A /24 a node, inside the pod range, nobody else's. */
function nodeRangeProblems(wiring: Wiring, nodes: readonly Node[]): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const field = 'spec.podCIDRs';
  const all = nodes.flatMap((node) => node.podCidrs.map((range) => ({ node, range })));
  const sorted = all.toSorted(
    (a, b) =>
      a.range.address.family - b.range.address.family ||
      a.range.address.w0 - b.range.address.w0 ||
      a.range.address.w1 - b.range.address.w1 ||
      a.range.address.w2 - b.range.address.w2 ||
      a.range.address.w3 - b.range.address.w3 ||
      a.range.length - b.range.length,
  );
  sorted.forEach(({ node, range }, i) => {
    const shown = formatPrefix(range);
    const place = { code: 'AZURE_NODE_RANGE', ...about(node), field, found: shown };
    if (!wiring.podCidrs.some((p) => containsPrefix(p, range))) {
      const accepted = wiring.podCidrs.map(formatPrefix).join(', ');
      problems.push({ ...place, message: 'is not inside the pod range', accepted });
    }
    // A pod range without a single /24 is refused as a whole.
    const [whole] = wiring.podCidrs.filter((p) => p.address.family === 4 && p.length > 24);
    if (!whole && range.address.family === 4 && range.length !== 24) {
      problems.push({ ...place, message: 'a node has a /24 of the pod range', accepted: '/24' });
    }
    const before = sorted[i - 1];
    if (before && before.node !== node && overlaps(before.range, range)) {
      const other = `Node/${before.node.name} (${formatSource(before.node.source)})`;
      problems.push({ ...place, message: `overlaps the range of ${other}` });
    }
  });
  return problems;
}
