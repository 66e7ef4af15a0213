/**
 * `--dump [NODE=]DIR`: real nodes' dumps in place of rendered ones.
 * @module
 */
import { statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Cluster } from '../../cluster/model.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { readDumpFolder } from '../../dump/file/dump-file.ts';
import { type DumpNode, readDump } from '../../dump/read-dump.ts';
import { type DumpCluster, dumpCluster } from '../../lab/dump-world.ts';

interface Asked {
  readonly node: string;
  readonly folder: string;
}

/** Read all dumps; the mistakes of every one are reported together. */
export function loadDumps(options: readonly string[], given: Cluster | null): DumpCluster {
  const faults: Diagnostic[] = [];
  let input = false;
  const nodes = options.flatMap((text): DumpNode[] => {
    try {
      const { node, folder } = asked(text, options.length === 1 ? given : null);
      return [readDump(node, readDumpFolder(folder))];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      faults.push(...error.diagnostics);
      input ||= error.fault === 'input';
      return [];
    }
  });
  const seen = new Set<string>();
  for (const { plan } of nodes) {
    if (seen.has(plan.host)) {
      const message = 'two dumps of one node';
      const accepted = '--dump NODE=DIR with a name for each';
      faults.push({ code: 'DUMP_TWICE', field: '--dump', message, found: plan.host, accepted });
    }
    seen.add(plan.host);
  }
  if (faults.length > 0) throw new UserError(faults, input ? 'input' : 'usage');
  return dumpCluster(nodes, given);
}

/**
 * `NODE=DIR`, or `DIR` of the node that the folder is named for; of the cluster's only node, when
 * objects are given and there is one.
 */
function asked(text: string, given: Cluster | null): Asked {
  const m = /^([^=/]+)=(.+)$/.exec(text);
  if (m?.[1] && m[2] && !isFolder(text)) return { node: m[1], folder: m[2] };
  const [only, second] = given?.nodes ?? [];
  const node = only && !second ? only.name : basename(resolve(text));
  return { node, folder: text };
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
