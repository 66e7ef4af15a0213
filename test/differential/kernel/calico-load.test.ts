/**
 * Calico's rendered tables loaded into a real kernel: both iptables backends take every rule and
 * every set, and print them back as the plan writes them.
 * @module
 */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import type { IpSet } from '../../../src/netfilter/ip-set.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { printTable } from '../../../src/plan/rule/iptables-text.ts';
import { formatAddress, formatPrefix } from '../../../src/wire/address/address.ts';
import {
  cluster,
  from,
  labels,
  pod,
  policy,
  port,
  render,
  rule,
} from '../../dataplane/calico/cluster.ts';

const isRoot = process.getuid?.() === 0;

function example(version: string): Plan {
  const http = { name: 'http', protocol: 'TCP', containerPort: 8080, init: false } as const;
  const pods = Array.from({ length: 12 }, (_, i) =>
    pod('shop', `p${i}`, {
      labels: { app: 'web' },
      ip: `10.224.0.${i + 9},fd00::${i}`,
      ports: [http],
    }),
  );
  const block = from({ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] });
  return render({
    cluster: cluster(pods),
    policies: [
      policy('shop', 'a', { ingress: [rule([block], [port('http'), port(80, { endPort: 90 })])] }),
      policy('shop', 'b', {
        ingress: [
          rule([from({ pods: labels({ app: 'web' }) })], [port(null, { protocol: 'SCTP' })]),
        ],
        egress: [rule([from({ cidr: '::/0' }), from({ cidr: '0.0.0.0/0' })])],
        policyTypes: ['Ingress', 'Egress'],
      }),
    ],
    options: { version },
  });
}

function setText(set: IpSet): string {
  const family = set.family === 6 ? 'inet6' : 'inet';
  const head = `create ${set.name} ${set.type} family ${family} maxelem ${set.maxElements}`;
  const members = set.members.map((m) => {
    if (m.kind === 'net') return formatPrefix(m.net);
    if (m.kind === 'ip,port') return `${formatAddress(m.address)},${m.protocol}:${m.port}`;
    return m.kind === 'ip' ? formatAddress(m.address) : '';
  });
  return [head, ...members.map((text) => `add ${set.name} ${text}`)].join('\n');
}

t.test(
  'a kernel loads the rendered plan and prints it back',
  { skip: isRoot ? false : 'needs root' },
  async (t) => {
    for (const version of ['3.26', '3.30', '3.32']) {
      const plan = example(version);
      for (const backend of ['legacy', 'nft']) {
        const space = `wt${process.pid}-calico`;
        const run = (command: string, args: string[], input = '') =>
          execFileSync('ip', ['netns', 'exec', space, command, ...args], {
            input,
            encoding: 'utf8',
          });
        execFileSync('ip', ['netns', 'add', space]);
        try {
          run('ipset', ['restore'], `${plan.ipsets.map(setText).join('\n')}\n`);
          for (const family of [4, 6] as const) {
            const tool = family === 4 ? 'iptables' : 'ip6tables';
            for (const table of plan.tables.filter((one) => one.family === family)) {
              const text = printTable(table);
              run(`${tool}-${backend}-restore`, [], text.endsWith('\n') ? text : `${text}\n`);
              const back = run(`${tool}-${backend}-save`, ['-t', table.name]);
              t.same(rules(back), rules(text), `${version} ${backend} IPv${family} ${table.name}`);
            }
          }
        } finally {
          execFileSync('ip', ['netns', 'del', space]);
        }
      }
    }
  },
);

/** Rules chain by chain: the backends print chains in different order. */
function rules(text: string): string[] {
  const lines = text.split('\n').filter((line) => line.startsWith('-A'));
  const chains = [...new Set(lines.map((line) => line.split(' ')[1]))].sort();
  return chains.flatMap((chain) => lines.filter((line) => line.split(' ')[1] === chain));
}
