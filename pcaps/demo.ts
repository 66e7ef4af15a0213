/**
 * `npm run demo`: the shipped recording of a shop, judged by its policies on two stacks.
 *
 * Every command is shown as it can be typed from the project's root, then run, in a process of its
 * own. Needs neither root nor network nor a compiler.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const TOOL = relative('.', fileURLToPath(new URL('../src/cli/main.js', import.meta.url)));
const CLUSTER = ['-f', 'pcaps/shop/cluster.yaml', '-f', 'pcaps/shop/policies.yaml'];
const CAPTURE = ['-r', 'pcaps/shop.pcapng'];
const BRIDGE_NPM = 'azure-bridge+npm';
const TRANSPARENT_CALICO = 'azure-transparent+calico';

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Show a command and run it; a command that fails ends the demo with its exit code. */
function run(...args: readonly string[]): void {
  say(`$ node ${TOOL} ${args.join(' ')}`);
  const done = spawnSync(process.execPath, [TOOL, ...args], { stdio: 'inherit' });
  if (done.error !== undefined) throw done.error;
  if (done.status !== 0) process.exit(done.status ?? 70);
  say('');
}

/** The part of `compare -o json` (CLI contract) that is read here. */
interface Compared {
  readonly differences: readonly { readonly connection: { readonly firstFrame: number } }[];
}

function firstDifference(path: string): number {
  const { differences } = JSON.parse(readFileSync(path, 'utf8')) as Compared;
  const [first] = differences;
  if (first === undefined) throw new Error('the two stacks do not differ on the shipped capture');
  return first.connection.firstFrame;
}

const folder = mkdtempSync(join(tmpdir(), 'wiretrial-demo-'));
const verdicts = join(folder, 'verdicts.pcapng');
const differences = join(folder, 'differences.json');

say('A three-tier shop on two AKS nodes, recorded from real programs while it had no policies.');
say('What would pcaps/shop/policies.yaml have done to it? (`contradicted`: the recording shows an');
say('answer and the policies deny it, which is what a what-if is for.)\n');

say('1. What is dropped, and by which rule, with Azure NPM at the Linux bridge?\n');
run('replay', ...CLUSTER, ...CAPTURE, '--stack', BRIDGE_NPM, '-w', verdicts);

say('2. Where does Calico at the pods’ interfaces decide otherwise?\n');
const stacks = ['--stack', BRIDGE_NPM, '--stack', TRANSPARENT_CALICO];
const outputs = ['-o', 'table', '-o', `json=${differences}`];
run('compare', ...CLUSTER, ...CAPTURE, ...stacks, ...outputs);

const frame = firstDifference(differences);
say(`3. Why? Frame ${frame}, the first packet on which they differ, step by step on Calico.\n`);
const which = ['--frame', String(frame), '--stack', TRANSPARENT_CALICO];
run('explain', ...CLUSTER, ...CAPTURE, ...which);

say('4. Every packet with its verdict, for Wireshark (or tshark, if it is installed):\n');
say(`$ tshark -r ${verdicts} -Y 'frame.verdict.ebpf_tc == 2' \\`);
say('    -T fields -e frame.number -e frame.interface_name -e frame.comment');
