/**
 * The printed plan against the real tools: what we print loads, and what they then print is what we
 * printed. This is what proves the printers; the readers are proved by the laws in test/plan.
 *
 * Left out of the comparison: counters, the order of members in hash sets, `bucketsize` and
 * `initval` of sets, and comment lines.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { TABLES, type TableName } from '../../../src/netfilter/hook.ts';
import type { Rule, Table } from '../../../src/netfilter/rule.ts';
import { printBridge } from '../../../src/plan/bridge-text.ts';
import { PlanBuilder } from '../../../src/plan/builder.ts';
import { parseEbtables, printEbtables } from '../../../src/plan/ebtables/text.ts';
import { printIp } from '../../../src/plan/ip-text.ts';
import { parseIpsets, printIpsets } from '../../../src/plan/ipset/text.ts';
import { parseIptables, printTable } from '../../../src/plan/rule/iptables-text.ts';
import type { Family } from '../../../src/wire/address/address.ts';
import { iface, prefix } from '../../support/hosts.ts';
import { address } from '../../support/packets.ts';
import { ebTables } from '../../support/plan-ebtables.ts';
import { ruleFor } from '../../support/plan-rules.ts';
import { setsOf } from '../../support/plan-sets.ts';
import { JUMP_CHAIN } from '../../support/plan-targets.ts';
import { LOADABLE_SETS } from '../../support/plan-values.ts';
import { sharedPath } from '../../support/shared.ts';

const isRoot = process.getuid?.() === 0;
const RULES = 250;

/** Run `work` with a way to run commands in a fresh network namespace, which is removed after. */
function inNamespace(work: (run: (args: readonly string[], input?: string) => string) => void) {
  const name = `wt${process.pid}-loads`;
  execFileSync('ip', ['netns', 'add', name]);
  try {
    work((args, input = '') => {
      const options = { input, encoding: 'utf8', stdio: 'pipe' } as const;
      return execFileSync('ip', ['netns', 'exec', name, ...args], options);
    });
  } finally {
    execFileSync('ip', ['netns', 'del', name]);
  }
}

/** Lines without comments, counters, and the warning of other backends. */
function lines(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.replace(/\[\d+:\d+\]$/, '[0:0]').trimEnd());
}

function sampleRules(family: Family, table: TableName): readonly Rule[] {
  return fc.sample(ruleFor({ family, table, loadable: true }), { seed: 7, numRuns: RULES });
}

const BINARY = { 4: 'iptables', 6: 'ip6tables' } as const;

for (const family of [4, 6] as const) {
  for (const backend of ['legacy', 'nft'] as const) {
    const tool = `${BINARY[family]}-${backend}`;
    for (const name of TABLES) {
      t.test(`${tool} takes and prints back table ${name}`, { skip: needsRoot() }, async (t) => {
        const rules = sampleRules(family, name).filter((rule) => isKnownTo(backend, rule));
        inNamespace((run) => {
          run(['ipset', 'create', LOADABLE_SETS[4], 'hash:ip']);
          run(['ipset', 'create', LOADABLE_SETS[6], 'hash:ip', 'family', 'inet6']);
          const chains = [
            { name: 'A', rules },
            { name: JUMP_CHAIN, rules: [] },
          ];
          const text = printTable({ family, name, chains });
          run([`${tool}-restore`], text);
          const saved = lines(run([`${tool}-save`, '-t', name]));
          const want = lines(text).filter((line) => line.startsWith('-A'));
          t.same(
            saved.filter((line) => line.startsWith('-A')),
            want,
          );
          t.equal(want.length, rules.length);
        });
      });
    }
  }
}

function needsRoot(): false | string {
  return isRoot ? false : 'needs root: loads tables into a private network namespace';
}

/** TRACE of the legacy backend needs a logger module that few kernels have. */
function isKnownTo(backend: 'legacy' | 'nft', rule: Rule): boolean {
  return backend === 'nft' || rule.target.kind !== 'trace';
}

t.test('ipset takes and prints back sets of every type', { skip: needsRoot() }, async (t) => {
  const sets = fc.sample(setsOf(), { seed: 7, numRuns: 25 });
  for (const ipsets of sets) {
    inNamespace((run) => {
      const plan = Object.assign(new PlanBuilder('node-a', 'node').build(), { ipsets });
      const text = printIpsets(plan);
      run(['ipset', 'restore'], text);
      const saved = run(['ipset', 'save']).replace(/ bucketsize \d+ initval \S+/g, '');
      t.same(lines(saved).toSorted(), lines(text).toSorted());
      const read = parseIpsets(saved, 'ipset save');
      t.same(
        lines(printIpsets({ ...plan, ipsets: read })).toSorted(),
        lines(text).toSorted(),
        'and what it printed reads back',
      );
      const listed = parseIpsets(run(['ipset', 'list']), 'ipset list');
      const again = printIpsets({ ...plan, ipsets: listed }).replaceAll(/hashsize \d+/g, '');
      const want = text.replaceAll(/hashsize \d+/g, '');
      t.same(lines(again).toSorted(), lines(want).toSorted(), 'and what it lists, too');
    });
  }
});

t.test('ebtables takes and prints back its tables', { skip: needsRoot() }, async (t) => {
  for (const ebtables of fc.sample(ebTables({ loadable: true }), { seed: 7, numRuns: 25 })) {
    inNamespace((run) => {
      const plan = Object.assign(new PlanBuilder('node-a', 'node').build(), { ebtables });
      const text = printEbtables(plan);
      run(['ebtables-nft-restore'], text);
      const saved = run(['ebtables-nft-save']);
      t.same(lines(saved), lines(text));
      const tables = ebtables.map((table) => ({ ...table, backend: 'nft' }));
      t.same(parseEbtables(saved, 'ebtables-save'), tables, 'and what it printed reads back');
    });
  }
});

t.test('ip and bridge build the host that the plan describes', { skip: needsRoot() }, async (t) => {
  const plan = smallHost();
  inNamespace((run) => {
    // As a user would: the text is a script.
    run(['sh', '-e'], printIp(plan));
    run(['sh', '-e'], printBridge(plan));
    const json = (args: string[]) => JSON.parse(run(args)) as Record<string, unknown>[];
    const addresses = json(['ip', '-j', 'addr', 'show', 'dev', 'azure0']);
    t.match(
      addresses,
      [
        {
          address: '00:0d:3a:00:00:01',
          mtu: 1400,
          flags: ['UP'],
          addr_info: [{ local: '10.0.0.4' }, { local: 'fd00::4' }],
        },
      ].map(({ flags: _, ...rest }) => rest),
    );
    t.match(json(['ip', '-j', '-d', 'link', 'show', 'dev', 'azv1']), [
      { master: 'azure0', linkinfo: { info_slave_data: { hairpin: true } } },
    ]);
    t.match(json(['ip', '-j', 'route', 'show', 'table', '100']), [
      { dst: 'default', gateway: '10.0.0.1', dev: 'azure0', metric: 7 },
    ]);
    t.match(
      json(['ip', '-j', 'route', 'show', 'table', 'main']),
      [
        { type: 'blackhole', dst: '192.0.2.0/24' },
        { dst: '10.0.0.0/24', dev: 'azure0', scope: 'link', prefsrc: '10.0.0.4' },
      ].toSorted((a, b) => (a.dst < b.dst ? -1 : 1)),
    );
    t.match(json(['ip', '-6', '-j', 'route', 'show', 'table', 'main']), [
      { dst: 'fd00::/64', dev: 'azure0', metric: 256 },
    ]);
    const rules6 = json(['ip', '-6', '-j', 'rule']).filter((rule) => rule['priority'] === 200);
    t.match(rules6, [{ src: 'all', table: '100' }], 'a rule without addresses keeps its family');
    const rules = json(['ip', '-j', 'rule']).filter((rule) => rule['priority'] === 100);
    t.match(rules, [
      { not: null, src: '10.1.0.0', srclen: 16, fwmark: '0x1', fwmask: '0xf', table: '100' },
    ]);
    t.match(json(['ip', '-j', 'neigh']), [
      { dst: '10.0.0.5', lladdr: '00:0d:3a:00:00:05', state: ['PERMANENT'] },
    ]);
    const fdb = json(['bridge', '-j', 'fdb', 'show', 'br', 'azure0']);
    t.match(
      fdb.filter((entry) => entry['mac'] === '00:0d:3a:00:00:05'),
      [{ ifname: 'azv1', master: 'azure0', state: 'static' }],
    );
    t.notOk(
      json(['ip', '-j', 'addr']).some((device) =>
        (device['addr_info'] as { local: string }[]).some((a) => a.local.startsWith('fe80')),
      ),
      'no address that the plan does not have',
    );
  });
});

function smallHost() {
  const builder = new PlanBuilder('node-a', 'node');
  builder.interfaces.push(
    iface('lo', '00:00:00:00:00:00', { kind: 'loopback', mtu: 65536, addresses: ['127.0.0.1/8'] }),
    iface('azv1', '00:0d:3a:00:00:02', { mtu: 1400, master: 'azure0', hairpin: true }),
    iface('azure0', '00:0d:3a:00:00:01', {
      kind: 'bridge',
      mtu: 1400,
      addresses: ['10.0.0.4/24', 'fd00::4/64'],
    }),
  );
  const unicast = { type: 'unicast', scope: 'link', metric: 0, family: 4 } as const;
  builder.routes.push(
    {
      ...unicast,
      destination: prefix('0.0.0.0/0'),
      via: address('10.0.0.1'),
      device: 'azure0',
      table: 100,
      metric: 7,
      scope: 'global',
    },
    {
      ...unicast,
      destination: prefix('10.0.0.0/24'),
      device: 'azure0',
      source: address('10.0.0.4'),
      table: 254,
    },
    {
      ...unicast,
      type: 'blackhole',
      destination: prefix('192.0.2.0/24'),
      table: 254,
      scope: 'global',
    },
    {
      ...unicast,
      family: 6,
      destination: prefix('fd00::/64'),
      device: 'azure0',
      metric: 256,
      table: 254,
    },
  );
  builder.routingRules.push(
    { family: 4, preference: 0, table: 255 },
    {
      family: 4,
      preference: 100,
      table: 100,
      from: prefix('10.1.0.0/16'),
      fwmark: { value: 1, mask: 15 },
      negate: true,
    },
    { family: 6, preference: 200, table: 100 },
  );
  const peer = { device: 'azure0', mac: '00:0d:3a:00:00:05' };
  builder.neighbors.push({ ...peer, address: address('10.0.0.5'), state: 'permanent' });
  builder.fdb.push({ mac: peer.mac, bridge: 'azure0', port: 'azv1', kind: 'static' });
  return builder.build();
}

/** kube-proxy writes restore files, not save files; the kernel's own print judges our reading. */
const CASES = sharedPath('suites/kube-proxy-iptables/cases');
const noCases = CASES === null ? 'needs ../shared' : needsRoot();

t.test(
  'files for iptables-restore are read as the tool reads them',
  { skip: noCases },
  async (t) => {
    for (const name of readdirSync(CASES ?? '')) {
      const family = name.includes('ipv6') ? 6 : 4;
      const text = readFileSync(`${CASES}/${name}/rules.iptables-save`, 'utf8');
      const tables = parseIptables(text, name, family);
      inNamespace((run) => {
        run([`${BINARY[family]}-legacy-restore`], text);
        for (const table of tables) {
          const saved = lines(run([`${BINARY[family]}-legacy-save`, '-t', table.name]));
          t.same(lines(printTable(table)).filter(isContent), saved.filter(isContent), name);
        }
      });
    }
  },
);

function isContent(line: string): boolean {
  return !line.startsWith('*');
}

t.test(
  'every spelling of a rule is read as iptables reads it',
  { skip: needsRoot() },
  async (t) => {
    const text = [
      '*mangle',
      ':B - [0:0]',
      ':A - [0:0]',
      ...SPELLINGS.map((r) => `-A A ${r}`),
      'COMMIT',
    ];
    inNamespace((run) => {
      const file = `${text.join('\n')}\n`;
      run(['iptables-legacy-restore'], file);
      const saved = lines(run(['iptables-legacy-save', '-t', 'mangle']));
      const [table] = parseIptables(file, 'spellings', 4) as [Table];
      t.same(lines(printTable(table)), saved);
    });
  },
);

/** What people and products write, each another way of saying it than iptables-save has. */
const SPELLINGS = [
  '-j MARK -p tcp --set-mark 0x200/0x200 --dport 80',
  '-j MARK -p TCP --dport 80:81 --set-mark 2 -m comment --comment "say \\"hi\\""',
  '--jump DROP --protocol udp --source-port 53 --destination-port :1024',
  '-p tcp ! --syn -j DROP',
  '-p tcp -m tcp --tcp-flags ALL NONE -j DROP',
  '-p icmp --icmp-type echo-request -j ACCEPT',
  '-p icmp -m icmp --icmp-type host-prohibited -j ACCEPT',
  '-p tcp -m multiport --source-ports 1,2,3:9 -j RETURN',
  '-s 10.1.2.3/255.255.0.0 -d 10.0.0.0/8,11.1.1.1 -g B',
  '! -s 10.1.2.3 ! -i eth+ -o lo',
  '--src 1.1.1.1 --dst 2.2.2.2 --in-interface eth0 --out-int eth1',
  '-f -j DROP',
  '-i + -s 0/0 -p all',
  '-m state --state established,RELATED -j ACCEPT',
  '-m conntrack --ctstate UNTRACKED,NEW,INVALID',
  '-m mark --mark 16/0xf0',
  '-m comment --comment bare-words_1',
  '-m comment --comment "" -j ACCEPT',
  '-j CONNMARK --save-mark --mask 0xff',
  '-j CONNMARK --set-mark 0x3/0xf0',
  '-j CONNMARK --and-mark 0xf',
  '-j MARK --or-mark 0x4000',
  '-j MARK --and-mark 0xff',
  '-j MARK --xor-mark 0x4000',
  '-j LOG --log-level debug --log-prefix "a b: " --log-uid',
  '-m limit',
  '-m limit --limit 120/minute --limit-burst 7',
  '-m statistic --mode random --probability .25',
  '-m recent --set',
  '-m length --length 100:',
  '-m addrtype --dst-type local,BROADCAST',
  '-m dscp --dscp-class AF21',
  '-m tos --tos Minimize-Delay',
  '-m pkttype --pkt-type host',
  '-m iprange --src-range 10.0.0.1',
  '-m connlimit --connlimit-above 5 -p tcp',
  '-j TOS --or-tos 0x10',
  '-p 4 -j ACCEPT',
  '-p vrrp -j ACCEPT',
  '-s 10.0.0.1/255.0.255.0 ! -d 0.0.0.9/0.0.0.255 -j ACCEPT',
  '-m quota ! --quota 1000',
  '-m connbytes --connbytes 100:200 --connbytes-dir both --connbytes-mode bytes',
  '-m connbytes ! --connbytes 100: --connbytes-dir original --connbytes-mode packets',
  '-m connbytes ! --connbytes 7:7 --connbytes-dir reply --connbytes-mode avgpkt',
  '-m connbytes --connbytes 7 --connbytes-dir reply --connbytes-mode avgpkt',
  '-m connbytes ! --connbytes 7:9 --connbytes-dir reply --connbytes-mode avgpkt',
  '-m u32 --u32 "0 >> 22 & 0x3C @ 12>>26&0x3C@0=0x1:0x5,7 && 6&0xFF=6"',
  '-m u32 ! --u32 4&0x1FFF=0',
  '-m time --timestart 06:59 --timestop 23:59 --weekdays Sun,Mon',
  '-m time --datestart 2024-01-02T03:04:05 --datestop 2025-01-01 --monthdays 31,1,2',
  '-m time ! --weekdays Sat,7 --kerneltz',
  '-m time ! --monthdays 3 --datestart 2024-02 --timestop 12:00',
  '-m time --timestart 22:00 --timestop 03:00:09 --contiguous --utc',
  '-m time',
  '-m policy --dir in --pol none',
  '-m policy --pol ipsec --dir out --proto esp ! --reqid 7',
  '-m policy --dir in --pol ipsec --strict --mode tunnel --tunnel-src 1.2.3.4/32 --spi 0x5',
  '-m cgroup ! --cgroup 0x5',
  '-m string --string abc --algo bm',
  '-m string --string "a \\"b" --algo bm --from 3',
  '-m string ! --hex-string "|0d 0a|ab" --algo kmp --from 20 --to 50 --icase',
  '-m string --hex-string "a\\\\|b" --algo kmp',
  '-p sctp -m sctp --chunk-types any INIT,DATA:Ube',
  '-p sctp --sport 1:2 ! --chunk-types all DATA,SACK',
  '-p sctp -m sctp --chunk-types only abort:T,SHUTDOWN_COMPLETE:t',
  '-p sctp -m sctp --dport 5 --chunk-types any ALL',
  '-p sctp -m sctp --chunk-types only NONE',
  '-p sctp -m sctp --chunk-types any ASCONF,FORWARD_TSN,ASCONF_ACK,ECN_CWR',
  '-p dccp -m dccp --dccp-types RESPONSE,REQUEST,INVALID',
  '-p dccp -m dccp --sport 5 ! --dccp-option 7',
  '-m hashlimit --hashlimit-upto 120/minute --hashlimit-name a',
  '-m hashlimit --hashlimit-above 1/hour --hashlimit-name d --hashlimit-htable-expire 10000',
  '-m hashlimit --hashlimit-above 30/day --hashlimit-name e --hashlimit-mode dstport,srcip',
  '-j CONNMARK --left-shift-mark 3 --save-mark',
  '-j CONNMARK --set-xmark 0x5/0xff --right-shift-mark 31',
  '-j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xf0 --right-shift-mark 4',
] as const;
