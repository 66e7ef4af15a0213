/**
 * What was collected is printed back: every rule set of real hosts, line by line within its tables.
 *
 * Comments and blank lines may differ, and protocols whose names iptables itself has changed.
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { readDumpFolder } from '../../src/dump/file/dump-file.ts';
import { readDump } from '../../src/dump/read-dump.ts';
import { lower } from '../../src/lowering/link.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { files, lines } from '../support/dumps.ts';
import { sharedPath } from '../support/shared.ts';

const clusters = sharedPath('data/clusters');
const suite = sharedPath('suites/iptables-semantics/thy');
const skip = clusters === null || suite === null ? 'needs ../shared' : false;

/** The lines that say something. ICMPv6 is `ipv6-icmp` since iptables 1.8.9. */
function content(text: string): readonly string[] {
  return text
    .replaceAll('-p icmpv6 ', '-p ipv6-icmp ')
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

const FOLDERS = [
  ['aks-azure-npm-v1-2021', 4],
  ['aks-azure-npm-v2-2022', 4],
  ['aks-kubenet-calico-2023', 4],
  ['calico-vxlan-host-2025', 4],
  ['company-firewall-600', 4],
  ['docker-topos-2016', 4],
  ['kubeadm-flannel-docker-2024', 4],
  ['shorewall-404', 4],
  ['synology-ds414', 6],
] as const;

t.test('no dump of a real node is refused, and each is printed back', { skip }, async (t) => {
  const names = readdirSync(clusters ?? '').filter((name) =>
    readdirSync(join(clusters ?? '', name)).some((file) => /^ip6?tables-save/.test(file)),
  );
  t.strictSame(
    names,
    FOLDERS.map(([name]) => name),
    'no dump is left out',
  );
  for (const [name, family] of FOLDERS) {
    const folder = join(clusters ?? '', name);
    const { plan } = readDump(name, readDumpFolder(folder));
    const file = family === 4 ? 'iptables-save.txt' : 'ip6tables-save.txt';
    const text = readFileSync(join(folder, file), 'utf8');
    const printed = printIptables(plan, family, { keepOrder: true });
    t.strictSame(content(printed), content(text), name);
    t.ok(lower(plan), `${name} is what a kernel would load`);
  }
});

t.test('counters are printed back where they were collected', async (t) => {
  const text = lines(
    '*filter',
    ':INPUT ACCEPT [1:60]',
    ':FORWARD DROP [2:120]',
    ':OUTPUT ACCEPT [0:0]',
    ':ZOO - [0:0]',
    ':ANT - [0:0]',
    '[7:420] -A FORWARD -p tcp -m tcp --dport 80 -j ZOO',
    '[0:0] -A ZOO -j RETURN',
    'COMMIT',
  );
  const { plan } = readDump('n', files({ 'iptables-save.txt': text }));
  t.equal(printIptables(plan, 4, { keepOrder: true, counters: true }), text);
});

/** Files of the suite that are rule sets, not closures or notes. */
function ruleSets(folder: string): readonly string[] {
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .flatMap((path) => (statSync(path).isDirectory() ? ruleSets(path) : [path]))
    .filter((path) => /^\*(filter|nat|mangle|raw)$/m.test(readFileSync(path, 'utf8')))
    .toSorted();
}

/**
 * What of Iptables_Semantics' rule sets is refused, and how often: options of iptables 1.3, and what
 * that project's parser tests made up. iptables 1.8 refuses all of it, too
 * (test/differential/kernel/dump-packets.test.ts).
 */
const REFUSED: Readonly<Record<string, number>> = {
  '--days': 4,
  'string: --algo is missing': 1,
  '--something-else': 1,
  'icmp6 is for IPv6 only': 2,
};

t.test('of the rule sets of Iptables_Semantics next to nothing is refused', { skip }, async (t) => {
  const refused: Record<string, number> = {};
  let rules = 0;
  for (const path of ruleSets(suite ?? '')) {
    const text = readFileSync(path, 'utf8');
    const read = content(text).filter((line) => /^(\[\d+:\d+\] )?-[AI] /.test(line));
    rules += read.length;
    const name = path.includes('ip6tables') ? 'ip6tables-save' : 'iptables-save';
    try {
      readDump(relative(suite ?? '', path), files({ [name]: text }));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      for (const { found = '', message } of error.diagnostics) {
        const what = found === '' ? message : found;
        refused[what] = (refused[what] ?? 0) + 1;
      }
    }
  }
  t.comment(`${rules} rules; refused: ${JSON.stringify(refused)}`);
  t.ok(rules > 19_000, 'rules of the suite');
  const times = Object.values(refused).reduce((sum, n) => sum + n, 0);
  t.ok(times <= rules * 0.02, `${times} of ${rules} are refused`);
  t.strictSame(refused, REFUSED, 'by match and option');
});
