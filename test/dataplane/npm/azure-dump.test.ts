/**
 * NPM's rules and sets for the objects of a real AKS cluster equal what that cluster's node held.
 *
 * The dump is of Azure/azure-container-networking `npm/pkg/dataplane/testdata/iptablesave-v2` and
 * `npmcachev2.json` (MIT); the node ran NPM 1.4.23 or older (marks of before PR 1313).
 * @module
 */
import t from 'tap';
import { azureTransparent } from '../../../src/dataplane/azure-transparent/render.ts';
import { npm } from '../../../src/dataplane/npm/render.ts';
import type { IpSet, SetMember } from '../../../src/netfilter/ip-set.ts';
import { PlanBuilder } from '../../../src/plan/builder.ts';
import { findTable, type Plan } from '../../../src/plan/model.ts';
import { formatRule } from '../../../src/plan/rule/rule-text.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import { protocolName } from '../../../src/wire/protocol.ts';
import { renderBareProxy } from '../../support/bare-proxy.ts';
import { sharedPath } from '../../support/shared.ts';
import { input } from '../objects.ts';
import { type AzureFixture, readAzureFixture } from './azure-fixture.ts';

const folder = sharedPath('data/clusters/aks-azure-npm-v2-2022');
const needs = { skip: folder === null && 'needs ../shared' };

function readFixture(): AzureFixture {
  return readAzureFixture(folder ?? '');
}

function nodePlan(fixture: AzureFixture, options: string): Plan {
  const request = input(fixture.cluster, `azure-transparent+npm${options}`, fixture.policies);
  const builder = new PlanBuilder('node', 'node');
  renderBareProxy(builder);
  const [node] = fixture.cluster.nodes;
  if (node === undefined) throw new Error('the fixture has a node');
  npm.node(request, node, azureTransparent, builder);
  return builder.build();
}

/** NPM's lines of the filter table, `-A` lines in each chain's order. */
function npmLines(plan: Plan): string[] {
  const chains = findTable(plan, 4, 'filter')?.chains ?? [];
  return chains.flatMap((chain) =>
    chain.rules.map((rule) => formatRule(rule, chain.name)).filter(isNpm),
  );
}

function isNpm(line: string): boolean {
  return (
    line.startsWith('-A AZURE-NPM') || line === '-A FORWARD -m conntrack --ctstate NEW -j AZURE-NPM'
  );
}

function member(m: SetMember): string {
  switch (m.kind) {
    case 'net':
      return formatAddress(m.net.address);
    case 'ip,port':
      return `${formatAddress(m.address)},${protocolName(m.protocol)}:${m.port}`;
    case 'set':
      return m.set;
    default:
      throw new Error(`not a member of NPM's pod sets: ${m.kind}`);
  }
}

function setLines(set: IpSet): string[] {
  const adds = set.members.map((m) => `add ${set.name} ${member(m)}`);
  return [`create ${set.name} ${set.type}`, ...adds];
}

t.test('every NPM rule of the real node is rendered, and no other', needs, async (t) => {
  const fixture = readFixture();
  const got = npmLines(nodePlan(fixture, ',version=1.4.23,place-first=true'));
  const want = fixture.filter.filter(isNpm);
  t.equal(want.length, 25, 'the dump holds 25 NPM rules');
  t.strictSame(got.toSorted(), want.toSorted());
});

t.test('order within every chain is the node’s, policy jumps apart', needs, async (t) => {
  const fixture = readFixture();
  const got = npmLines(nodePlan(fixture, ',version=1.4.23,place-first=true'));
  const want = fixture.filter.filter(isNpm);
  // Jumps to policies stand in the order in which policies came to the node, newest batch first.
  const isJump = (line: string) => line.includes('-POLICY-');
  const chains = new Set(want.map((line) => line.split(' ')[1] ?? ''));
  for (const chain of chains) {
    const of = (lines: string[]) =>
      lines.filter((line) => line.startsWith(`-A ${chain} `) && !isJump(line));
    t.strictSame(of(got), of(want), chain);
  }
  const firstPlain = got.findIndex((l) => l.startsWith('-A AZURE-NPM-INGRESS ') && !isJump(l));
  const lastJump = got.findLastIndex((l) => l.startsWith('-A AZURE-NPM-INGRESS ') && isJump(l));
  t.ok(lastJump < firstPlain, 'jumps to policies stand before the drop');
});

t.test('the sets have the node’s names, types and members', needs, async (t) => {
  const fixture = readFixture();
  const { ipsets } = nodePlan(fixture, ',version=1.4.23');
  t.strictSame(ipsets.map((set) => set.name).toSorted(), Object.keys(fixture.setMap).toSorted());
  // The derived file writes list sizes; NPM creates lists with ipset's default.
  const want = fixture.ipsets.map((line) => line.replace(/ size \d+$/, ''));
  t.strictSame(ipsets.flatMap(setLines).toSorted(), want.toSorted());
});

t.test('the same objects under newer versions differ only in names and marks', needs, async (t) => {
  const fixture = readFixture();
  const old = npmLines(nodePlan(fixture, ',version=1.4.23'));
  const masked = npmLines(nodePlan(fixture, ',version=1.4.24'));
  const remark = (line: string) =>
    line.replaceAll(/(0x2000|0x4000|0x5000)(\/0xffffffff)?/g, (_, value: string) => {
      return { '0x2000': '0x200/0x200', '0x4000': '0x400/0x400', '0x5000': '0x800/0x800' }[
        value
      ] as string;
    });
  const cleared = (line: string) => line.includes('CLEAR-AZURE-NPM-MARKS');
  // Comments with a slash are quoted.
  const plain = (line: string) => line.replaceAll('"', '');
  t.strictSame(
    masked.map(plain),
    old.filter((line) => !cleared(line)).map((line) => plain(remark(line))),
  );
  const named = npmLines(nodePlan(fixture, ',version=1.4.27')).join('\n');
  t.match(named, 'nestedlabel-y/base-pod:b:c');
  const wide = npmLines(nodePlan(fixture, ',version=1.6.46')).join('\n');
  t.match(wide, 'nestedlabel-y/base:pod:b:c');
  t.match(wide, '-j AZURE-NPM-EGRESS-7oj1cz9mmz');
  t.match(wide, '--match-set azure-npm-1v9x7852rtqpowgz9i00 src');
});

t.test(
  'without place-first the jump stands right after the one to KUBE-SERVICES',
  needs,
  async (t) => {
    const fixture = readFixture();
    const plan = nodePlan(fixture, '');
    const forward = findTable(plan, 4, 'filter')?.chains.find((chain) => chain.name === 'FORWARD');
    t.strictSame(
      forward?.rules.map(({ target }) => (target.kind === 'jump' ? target.chain : target.kind)),
      [
        'KUBE-PROXY-FIREWALL',
        'KUBE-FORWARD',
        'KUBE-SERVICES',
        'AZURE-NPM',
        'KUBE-EXTERNAL-SERVICES',
      ],
    );
  },
);
