/**
 * Who sees a packet first where several things hang on one hook at one priority, and which rules of
 * nft make the kernel track connections: looked up in the kernel, and held against the engine.
 *
 * Each chain or table adds its own digit to the mark (`mark = mark * 4 + digit`), so the mark at
 * postrouting says the order. Needs root.
 */
import t from 'tap';
import { ReferenceEngine } from '../../../src/engine/reference.ts';
import { lower } from '../../../src/lowering/link.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { parseNft } from '../../../src/plan/nft/parse/ruleset-parser.ts';
import { parseIptables } from '../../../src/plan/rule/iptables-text.ts';
import { tcp } from '../../support/packets.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import { ROUTER_MAC } from './router.ts';
import { bareRouter } from './stateful-lab.ts';

const skip = kernelMissing(['nft', 'iptables-legacy', 'iptables-nft', 'conntrack']) ?? false;

const SYN = tcp().from('10.1.0.2', 4000).to('10.2.0.2', 80).syn();
const FRAME = { device: 'eth0', frame: SYN.frame({ dstMac: ROUTER_MAC }) };

/** A chain at forward's filter place that writes its digit. */
function chain(name: string, digit: number): string {
  const rules = ['meta mark set meta mark << 2', `meta mark set meta mark | 0x${digit}`];
  const base = 'type filter hook forward priority filter; policy accept;';
  return [
    '',
    `\tchain ${name} {`,
    ...[base, ...rules].map((line) => `\t\t${line}`),
    '\t}',
    '',
  ].join('\n');
}

const table = (name: string, ...chains: readonly string[]) =>
  `table ip ${name} {${chains.join('')}}\n`;

/** iptables has no shift: it writes its digit where the mark is still empty, else above. */
const WRITER = `*filter
:A - [0:0]
-A FORWARD -j A
-A A -m mark --mark 0x1 -j MARK --set-xmark 0x7/0xffffffff
-A A -m mark --mark 0x2 -j MARK --set-xmark 0xb/0xffffffff
-A A -m mark --mark 0x0 -j MARK --set-xmark 0x3/0xffffffff
COMMIT
`;
const WRITES_2 = WRITER.replaceAll('0x7/', '0x6/')
  .replaceAll('0xb/', '0xa/')
  .replace('0x3/', '0x2/');
const WRITES_1 = WRITES_2.replace(
  '-m mark --mark 0x0 -j MARK --set-xmark 0x2/',
  '-m mark --mark 0x0 -j MARK --set-xmark 0x1/',
).replaceAll('--mark 0x2 -j MARK --set-xmark 0xa/', '--mark 0x2 -j MARK --set-xmark 0x9/');

/** What is read last: counts the marks that arrive at postrouting. */
const MARKS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const READER = `table ip reader {
	chain last {
		type filter hook postrouting priority 300; policy accept;
${MARKS.map((mark) => `		meta mark ${mark} counter comment "mark ${mark}"`).join('\n')}
	}
}
`;

/** The mark of the one packet, from the counters of the reader. */
function markOf(counts: (index: number) => number): number {
  const seen = MARKS.filter((_, i) => counts(i) === 1);
  return seen.length === 1 ? (seen[0] ?? 0) : -1;
}

async function kernelMark(
  lab: Laboratory,
  steps: readonly (readonly [argv: readonly string[], text: string])[],
): Promise<number> {
  await lab.build(bareRouter(), 'nft');
  for (const [argv, text] of steps) await lab.run(argv, text);
  await lab.run(['nft', '-f', '-'], READER);
  await lab.send([FRAME]);
  const text = await lab.run(['nft', 'list', 'table', 'ip', 'reader']);
  const counts = [...text.matchAll(/counter packets (\d+) /g)].map((m) => Number(m[1]));
  return markOf((i) => counts[i] ?? 0);
}

function engineMark(plan: Plan): number {
  const image = lower(plan);
  const edges = ['eth0', 'eth1'].map((device) => ({ host: plan.host, device }));
  const engine = new ReferenceEngine({ hosts: () => image, links: [], edges });
  engine.inject({
    as: 'frame',
    host: plan.host,
    device: 'eth0',
    frameBytes: FRAME.frame,
    frame: 1,
    nowNs: 0,
  });
  const counters = engine.counters(plan.host);
  return markOf((i) => counters.get(`ip reader/last rule ${i + 1}`)?.packets ?? 0);
}

t.test('of equal priority the youngest comes first', { skip }, async (t) => {
  const lab = new Laboratory(t);
  const nft = ['nft', '-f', '-'] as const;
  const legacy = ['iptables-legacy-restore'] as const;
  const newer = ['iptables-nft-restore'] as const;
  const bare = bareRouter();
  const own = (text: string) => parseNft(text + READER, 'test');
  const filter = (text: string) => parseIptables(text, 'test', 4);
  const ROWS: readonly (readonly [
    what: string,
    steps: Parameters<typeof kernelMark>[1],
    plan: Partial<Plan>,
    mark: number,
  ])[] = [
    [
      'chains of one table: the last one first',
      [[nft, table('t', chain('a', 1), chain('b', 2))]],
      { nft: own(table('t', chain('a', 1), chain('b', 2))) },
      0b1001,
    ],
    [
      'two tables: the later one first',
      [
        [nft, table('t', chain('a', 1))],
        [nft, table('u', chain('a', 2))],
      ],
      { nft: own(table('t', chain('a', 1)) + table('u', chain('a', 2))) },
      0b1001,
    ],
    [
      'iptables-legacy, then nft: nft first',
      [
        [legacy, WRITES_2],
        [nft, table('t', chain('a', 1))],
      ],
      { tables: filter(WRITES_2), nft: own(table('t', chain('a', 1))) },
      0b0110,
    ],
    [
      'iptables-nft, then nft: nft first',
      [
        [newer, WRITES_2],
        [nft, table('t', chain('a', 1))],
      ],
      { tables: filter(WRITES_2), nft: own(table('t', chain('a', 1))) },
      0b0110,
    ],
    [
      'nft, then iptables-nft: iptables first',
      [
        [nft, table('t', chain('a', 1))],
        [newer, WRITES_2],
      ],
      {
        tables: filter(WRITES_2),
        nft: {
          ...own(table('t', chain('a', 1))),
          iptables: [{ family: 4, name: 'filter', after: 1 }],
        },
      },
      0b1001,
    ],
    [
      'iptables-legacy, then iptables-nft: iptables-nft first',
      [
        [legacy, WRITES_2],
        [newer, WRITES_1],
      ],
      {
        tables: [
          ...filter(WRITES_1),
          ...filter(WRITES_2).map((one) => ({ ...one, legacy: true as const })),
        ],
        nft: own(''),
      },
      0b0110,
    ],
  ];
  for (const [what, steps, plan, mark] of ROWS) {
    t.equal(await kernelMark(lab, steps), mark, `kernel: ${what}`);
    t.equal(engineMark({ ...bare, ...plan }), mark, `engine: ${what}`);
  }
  // What no dump tells: the other way round. Then the legacy table is the younger one.
  const swapped = await kernelMark(lab, [
    [newer, WRITES_1],
    [legacy, WRITES_2],
  ]);
  t.equal(swapped, 0b1001, 'kernel: iptables-nft, then iptables-legacy: legacy first');
});

t.test(
  'rules that ask for connections, or translate, make the kernel track',
  { skip },
  async (t) => {
    const lab = new Laboratory(t);
    const rules = (family: string, ...lines: readonly string[]) =>
      `table ${family} t {\n\tchain a {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n}\n`;
    const nat = (hook: string) => `type nat hook ${hook} priority 0; policy accept;`;
    for (const [text, tracks] of [
      [rules('ip', nat('prerouting')), false],
      [rules('ip', 'type filter hook prerouting priority raw; policy accept;', 'notrack'), false],
      [rules('ip', 'ct state new accept'), true],
      [rules('ip6', 'ct state new accept'), false],
      [rules('inet', 'ct state new accept'), true],
      [rules('ip', 'ct mark set 0x1'), true],
      [rules('ip', nat('postrouting'), 'oifname "none" masquerade'), true],
      [rules('inet', nat('prerouting'), 'tcp dport 9 dnat ip6 to fd00::1'), false],
      [rules('inet', nat('prerouting'), 'tcp dport 9 dnat ip to 10.0.0.1'), true],
      [rules('inet', nat('prerouting'), 'tcp dport 9 redirect'), true],
      [rules('ip', 'ct original ip saddr 10.0.0.1'), true],
      [rules('ip', 'meta mark set ct mark'), true],
      [`table ip t {\n\tflags dormant\n\tchain a {\n\t\tct state new\n\t}\n}\n`, true],
    ] as const) {
      await lab.build(bareRouter(), 'nft');
      await lab.run(['nft', '-f', '-'], text);
      await lab.send([FRAME]);
      const list = await lab.run(['conntrack', '-L', '-f', 'ipv4']);
      t.equal(list.includes('src=10.1.0.2'), tracks, `kernel: ${text}`);
      const image = lower({ ...bareRouter(), nft: parseNft(text, 'test') });
      t.equal(image.conntrackActive(4), tracks, `engine: ${text}`);
    }
  },
);
