/**
 * Lists of connections: what conntrack(8) and the kernel print is read, and printed again; what is
 * none is named.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import type { ListedConnection, ListedTuple } from '../../src/netfilter/listed-connection.ts';
import { formatListed, parseConnections, printConnections } from '../../src/plan/conntrack-text.ts';
import { ipv4 } from '../../src/wire/address/address.ts';
import { routerPlan } from '../support/walks.ts';

/** As Linux 6.18 and conntrack 1.4.7 print them. */
const EXTENDED = [
  'ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=80 src=10.0.0.9 dst=10.0.0.1 sport=8080 dport=1000 [ASSURED] mark=5',
  'ipv4     2 tcp      6 499 SYN_SENT2 src=10.0.0.1 dst=10.0.0.2 sport=1001 dport=80 zone-orig=3 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=80 dport=1001 mark=0',
  'ipv4     2 tcp      6 9 CLOSE src=10.0.0.3 dst=10.0.0.2 sport=1001 dport=80 packets=2 bytes=100 src=10.0.0.2 dst=10.0.0.3 sport=80 dport=1001 zone-reply=4 packets=1 bytes=40 mark=0',
  'ipv4     2 udplite  136 21 src=10.0.0.1 dst=10.0.0.2 sport=5 dport=6 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=6 dport=5 mark=0 zone=12',
  'ipv4     2 dccp     33 599 src=127.0.0.1 dst=127.0.0.1 sport=0 dport=0 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=0 dport=0 mark=0',
  'ipv6     10 udp      17 29 src=fd00::1 dst=fd00::2 sport=1000 dport=53 [UNREPLIED] src=fd00::2 dst=fd00::1 sport=53 dport=1000 mark=0',
  'ipv6     10 icmpv6   58 29 src=fd00::1 dst=fd00::2 type=128 code=0 id=7 src=fd00::2 dst=fd00::1 type=129 code=0 id=7 mark=0',
  'ipv4     2 unknown  99 599 src=127.0.0.1 dst=127.0.0.1 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 mark=0',
  'ipv4     2 gre      47 29 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x2a src=10.0.0.2 dst=10.0.0.1 srckey=0x2a dstkey=0x0 [ASSURED] mark=0',
  'ipv4     2 icmp     1 32 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0',
  'ipv4     2 sctp     132 209 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=5 dport=6 src=10.0.0.2 dst=10.0.0.1 sport=6 dport=5 [ASSURED] mark=4294967295',
].map((line) => `${line} use=1`);

function reprinted(text: string): readonly string[] {
  const connections = parseConnections(text, 'conntrack.txt');
  return printConnections({ ...routerPlan().build(), connections })
    .split('\n')
    .filter((line) => line !== '');
}

t.test('what conntrack lists is read and printed back', async (t) => {
  t.strictSame(reprinted(EXTENDED.join('\n')), EXTENDED);
});

t.test('use counts, identifiers, time stamps and the closing line are read over', async (t) => {
  const stamps = '[start=Sat Nov 21 06:57:36 2026] [stop=Sat Nov 21 06:57:40 2026]';
  const ends = [
    ...['use=1', 'secctx=system_u:object_r:x use=2', 'use=1 id=3197805568'],
    `delta-time=13 ${stamps} use=1`,
  ];
  const dressed = EXTENDED.map((line, i) => line.replace('use=1', ends[i % 4] ?? ''));
  const closing = 'conntrack v1.4.7 (conntrack-tools): 11 flow entries have been shown.';
  t.strictSame(reprinted([...dressed, closing, ''].join('\r\n')), EXTENDED);
});

t.test('the short form and the kernel’s own file say the same', async (t) => {
  t.strictSame(
    reprinted(
      EXTENDED.map((line) => line.slice(9 + 2))
        .join('\n')
        .replaceAll(/^ +/gm, ''),
    ),
    EXTENDED,
  );
  const kernel = [
    'ipv6     10 udp      17 29 src=fd00:0000:0000:0000:0000:0000:0000:0001 dst=fd00:0000:0000:0000:0000:0000:0000:0002 sport=1000 dport=53 [UNREPLIED] src=fd00:0000:0000:0000:0000:0000:0000:0002 dst=fd00:0000:0000:0000:0000:0000:0000:0001 sport=53 dport=1000 mark=0 zone=0 use=2',
    'ipv4     2 gre      47 29 timeout=30, stream_timeout=180 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x2a src=10.0.0.2 dst=10.0.0.1 srckey=0x2a dstkey=0x0 [ASSURED] mark=0 zone=0 use=2',
  ];
  t.strictSame(reprinted(kernel.join('\n')), [EXTENDED[5], EXTENDED[8]]);
});

const FIRST = EXTENDED[0] ?? '';

const WRONG: readonly (readonly [what: string, line: string, message: RegExp])[] = [
  ['a word', 'hello', /not a line of conntrack/],
  ['an event', `[NEW] ${FIRST}`, /not a line of conntrack/],
  ['a protocol beyond 255', FIRST.replace(' 6 ', ' 600 '), /not a line of conntrack/],
  ['no timeout', FIRST.replace('431999 ', ''), /no timeout/],
  ['a state of nobody', FIRST.replace('ESTABLISHED', 'OPEN'), /state that its protocol/],
  ['TCP without a state', FIRST.replace('ESTABLISHED ', ''), /state that its protocol/],
  ['a state of UDP', (EXTENDED[5] ?? '').replace('29 ', '29 ESTABLISHED '), /state that its/],
  ['one tuple', FIRST.replace(/ src=10\.0\.0\.9.*/, ''), /two tuples/],
  ['three tuples', `${FIRST} src=1.2.3.4`, /dst is no address/],
  ['no address', FIRST.replace('dst=10.0.0.2', 'dst=10.0.0.300'), /dst is no address/],
  ['two families', FIRST.replace('src=10.0.0.9', 'src=fd00::9'), /two families/],
  ['another family than it says', FIRST.replace('ipv4     2', 'ipv6     10'), /two families/],
  ['a port too high', FIRST.replace('sport=1000', 'sport=70000'), /sport is no number/],
  ['no port', FIRST.replace('sport=1000 ', ''), /has sport/],
  ['a word twice', FIRST.replace('sport=1000', 'sport=1000 sport=1000'), /twice/],
  ['a word that nobody knows', `${FIRST} colour=red`, /not known.*colour=red/],
  ['a flag that nobody knows', `${FIRST} [SHINY]`, /not known.*SHINY/],
  ['two zones', `${EXTENDED[1]} zone=9`, /two zones/],
  ['a mark beyond 32 bits', FIRST.replace('mark=5', 'mark=4294967296'), /mark is no number/],
  ['a line that was cut', FIRST.slice(0, -6), /ends before its use count/],
  ['a helper', `${FIRST} helper=ftp`, /helper/],
  [
    'a flow table',
    FIRST.replace('431999 ESTABLISHED ', '').replace('ASSURED', 'OFFLOAD'),
    /flow table/,
  ],
  ['DCCP of older kernels', (EXTENDED[4] ?? '').replaceAll('sport=0', 'sport=9'), /DCCP/],
];

t.test('each line that is none is named with its place and text', async (t) => {
  for (const [what, line, message] of WRONG) {
    try {
      parseConnections(`${EXTENDED[7]}\n${line}\n`, 'conntrack.txt');
      t.fail(what);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const place = { code: 'PLAN_CONNTRACK', file: 'conntrack.txt', line: 2, found: line };
      t.match(error.diagnostics, [{ ...place, message }], what);
    }
  }
});

t.test('of lines that share a tuple the last counts', async (t) => {
  const later = FIRST.replace('431999', '431998');
  t.strictSame(reprinted(`${FIRST}\n${later}`), [later], 'one connection, seen twice');
  const next = FIRST.replace('sport=8080', 'sport=8081');
  const seen = [FIRST, EXTENDED[5], next].join('\n');
  t.strictSame(reprinted(seen), [EXTENDED[5], next], 'and its next');
});

const port = fc.nat(0xffff);
const address = fc.nat(0xffffffff).map(ipv4);
const tuple = (protocol: number): fc.Arbitrary<ListedTuple> =>
  fc.record(
    {
      protocol: fc.constant(protocol),
      src: address,
      dst: address,
      sport: [6, 17, 47, 1].includes(protocol) ? port : fc.constant(0),
      dport: [6, 17, 47, 1].includes(protocol) ? port : fc.constant(0),
    },
    { noNullPrototype: true },
  );
const connection: fc.Arbitrary<ListedConnection> = fc.constantFrom(6, 17, 47, 1, 99).chain((p) =>
  fc.record(
    {
      original: tuple(p),
      reply: tuple(p),
      state: fc.constant(p === 6 ? 'TIME_WAIT' : ''),
      timeoutS: fc.nat(432_000),
      seenReply: fc.boolean(),
      assured: fc.boolean(),
      mark: fc.nat(0xffffffff),
      zone: fc.record(
        {
          id: fc.integer({ min: 1, max: 0xffff }),
          direction: fc.constantFrom('both' as const, 'original' as const, 'reply' as const),
        },
        { noNullPrototype: true },
      ),
    },
    {
      requiredKeys: ['original', 'reply', 'state', 'timeoutS', 'seenReply', 'assured', 'mark'],
      noNullPrototype: true,
    },
  ),
);

t.test('law: what is printed is read back as it was', async (t) => {
  fc.assert(
    fc.property(connection, (one) => {
      t.strictSame(parseConnections(formatListed(one), 'f'), [one]);
    }),
    { numRuns: 300, seed: 20261121 },
  );
});

t.test('law: whatever stands in the file, it is read or refused with messages', async (t) => {
  const words = fc.constantFrom(
    ...EXTENDED.join(' ').split(' '),
    'zone=',
    '=',
    '[]',
    'src=::',
    '\n',
  );
  fc.assert(
    fc.property(fc.array(words, { maxLength: 24 }), fc.nat(10), (some, at) => {
      const line = (EXTENDED[at] ?? '').split(' ');
      line.splice(some.length, some.length % 5, ...some.slice(0, some.length % 7));
      try {
        parseConnections(`${line.join(' ')}\n${some.join(' ')}`, 'f');
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        return error.diagnostics.every((d) => d.line !== undefined && d.message !== '');
      }
      return true;
    }),
    { numRuns: 3000, seed: 20261122 },
  );
  t.pass();
});
