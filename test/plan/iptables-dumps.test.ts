/**
 * Files of real nodes: what we read we print back line by line; what we cannot read we name.
 * @module
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { Table } from '../../src/netfilter/rule.ts';
import { parseIptables, printTable } from '../../src/plan/rule/iptables-text.ts';
import { sharedPath } from '../support/shared.ts';

/**
 * Every dump of data/clusters, and how many of its lines are tables, chains, rules and COMMITs.
 */
const DUMPS = [
  ['aks-azure-npm-v1-2021', 105],
  ['aks-azure-npm-v2-2022', 403],
  ['aks-kubenet-calico-2023', 244],
  ['calico-vxlan-host-2025', 105],
  ['company-firewall-600', 629],
  ['docker-topos-2016', 49],
  ['kubeadm-flannel-docker-2024', 160],
  ['shorewall-404', 494],
] as const;

function contentOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

const clusters = sharedPath('data/clusters');
const noClusters = clusters === null ? 'needs ../shared' : false;

t.test('every dump is printed back line by line', { skip: noClusters }, async (t) => {
  const found = readdirSync(clusters ?? '').filter((name) => {
    return existsSync(`${clusters}/${name}/iptables-save.txt`);
  });
  t.same(
    found,
    DUMPS.map(([name]) => name),
    'no dump is left out',
  );
  for (const [name, count] of DUMPS) {
    const text = readFileSync(`${clusters}/${name}/iptables-save.txt`, 'utf8');
    const printed = parseIptables(text, name, 4)
      .map((table) => printTable(table))
      .join('');
    t.same(contentOf(printed), contentOf(text), name);
    t.equal(contentOf(text).length, count, `${name} is as long as it was`);
  }
});

const cases = sharedPath('suites/kube-proxy-iptables/cases');
const noCases = cases === null ? 'needs ../shared' : false;

/**
 * kube-proxy's files are restore input: chains unsorted, options in its own order. No rule may be
 * lost, and none may come out as another; the kernel test compares with iptables itself.
 */
t.test("kube-proxy's restore files are read whole", { skip: noCases }, async (t) => {
  const names = readdirSync(cases ?? '');
  t.equal(names.length, 42, 'all cases are there');
  for (const name of names) {
    const family = name.includes('ipv6') ? 6 : 4;
    const text = readFileSync(`${cases}/${name}/rules.iptables-save`, 'utf8');
    const tables = parseIptables(text, name, family);
    const printed = tables.map((table) => printTable(table)).join('');
    t.equal(contentOf(printed).length, contentOf(text).length, `${name}: as many lines`);
    t.same(places(parseIptables(printed, name, family)), places(tables), `${name}: reads back`);
    t.same(comments(printed), comments(text), `${name}: every comment is there`);
  }
});

function places(tables: readonly Table[]) {
  return tables.map(({ name, chains }) => [
    name,
    chains
      .map((chain) => ({ ...chain, rules: chain.rules.map(({ place: _, ...rule }) => rule) }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  ]);
}

function comments(text: string): string[] {
  return [...text.matchAll(/--comment ("[^"]*"|\S+)/g)]
    .map((m) => (m[1] ?? '').replaceAll('"', ''))
    .toSorted();
}
