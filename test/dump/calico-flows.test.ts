/**
 * Two flows that were captured on two AKS nodes with Azure CNI and Calico: one answered, one whose
 * SYNs reached the server's node again and again and were never answered.
 *
 * Routes and the endpoint's chains are the nodes' own (../shared/data/clusters/
 * aks-azurecni-calico-2024: `ip route` of both nodes, `iptables-save` of the server's). What the
 * page leaves out are the chains that lead to them: these stand as Felix makes them on every node.
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { readDump } from '../../src/dump/read-dump.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { dumpWorld, files, lines, PLAIN } from '../support/dumps.ts';
import { sharedPath } from '../support/shared.ts';

const folder = sharedPath('data/clusters/aks-azurecni-calico-2024');
const skip = folder === null ? 'needs ../shared' : false;

/** The lines behind a prompt of the page, up to the next blank one or prompt. */
function printed(page: string, prompt: string): string {
  const at = page.indexOf(`${prompt}\n`);
  const rest = page.slice(at + prompt.length + 1).split('\n');
  const end = rest.findIndex((line) => line.trim() === '' || line.includes(':/#'));
  return lines(...rest.slice(0, end));
}

/** The endpoint's own chains and rules, once each, and the way to them. */
function serverRules(fragments: string): string {
  const own = [...new Set(fragments.split('\n').filter((line) => /^[:-]/.test(line)))];
  const ways = ['cali-FORWARD', 'cali-from-wl-dispatch', 'cali-to-wl-dispatch'];
  const profiles = ['kns.demo', 'ksa.demo.default'].flatMap((name) => [
    `cali-pri-${name}`,
    `cali-pro-${name}`,
  ]);
  return lines(
    '*filter',
    ':INPUT ACCEPT [0:0]',
    ':FORWARD ACCEPT [0:0]',
    ...[...ways, ...profiles].map((chain) => `:${chain} - [0:0]`),
    ...own.filter((line) => line.startsWith(':')),
    '-A FORWARD -j cali-FORWARD',
    '-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT',
    '-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000',
    '-A cali-FORWARD -i azv+ -j cali-from-wl-dispatch',
    '-A cali-FORWARD -o azv+ -j cali-to-wl-dispatch',
    ...profiles.slice(0, 2).map((chain) => `-A ${chain} -j MARK --set-xmark 0x10000/0x10000`),
    ...own.filter((line) => line.startsWith('-')),
    'COMMIT',
  );
}

t.test(
  'the flow that was answered is allowed, the one that was not is denied',
  {
    skip,
  },
  async (t) => {
    const page = readFileSync(`${folder}/calico-ingress-sample.md`, 'utf8');
    const routesAt = (node: string) => printed(page, `aks-nodepool1-49463138-${node}:/# ip route`);
    const fragments = readFileSync(`${folder}/cali-rule-fragments.txt`, 'utf8');
    const server = readDump(
      'vmss000003',
      files({
        ...PLAIN,
        'ip-route.txt': routesAt('vmss000003'),
        'iptables-save.txt': serverRules(fragments),
        'ipset-save.txt': lines(
          'create cali40s:N7qB4dD1ts0--qbzE-HjtMk hash:net family inet maxelem 1048576',
          'add cali40s:N7qB4dD1ts0--qbzE-HjtMk 10.224.0.34',
        ),
      }),
    );
    const client = readDump(
      'vmss000005',
      files({ ...PLAIN, 'ip-route.txt': routesAt('vmss000005') }, 'client'),
    );
    const prober = new Prober(dumpWorld([server, client]));
    const ask = (from: string, port: number) => {
      const found = prober.ask({ from, to: '10.224.0.81', port, protocol: 'TCP' });
      const { node, rule } = found.decidedBy ?? {};
      return `${found.verdict} ${node} ${rule}`;
    };
    t.match(ask('10.224.0.34', 80), /^allowed vmss000003 /, 'page, tcpdump at 10:10:51');
    t.match(
      ask('10.224.0.40', 80),
      /^denied vmss000003 filter\/cali-tw-azve0cf0fbcf9f rule 7$/,
      'page, tcpdump at 10:29:31: «Drop if no policies passed packet»',
    );
    t.match(ask('10.224.0.34', 81), /^denied vmss000003 /, 'the policy is for port 80');
  },
);
