/**
 * Command lines with several mistakes in their options: all are told at once, none twice, and what
 * only looks like a mistake is taken.
 * @module
 */
import { Command } from 'commander';
import t from 'tap';
import { CommandLine } from '../../src/cli/command-line.ts';
import { withCluster } from '../../src/cli/options.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { CASE, caseFolder, forEachRow, NPM, wiretrial } from '../support/command.ts';

t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;

t.test('all that is wrong with a command line is told at once', async (t) => {
  const rows: readonly (readonly [args: readonly string[], says: readonly (string | RegExp)[]])[] =
    [
      [
        [
          ...['replay', ...CASE, '--stak', 'a', '--bogus', '--checksums', 'bad', '-o', 'foo'],
          ...['--stack', 'zzz', '-c', 'x', '--since', 'yy', '--fail-on', 'droped', '-Q'],
        ],
        [
          /^error: 9 problems:\n/,
          "unknown option '--stak' (accepted: did you mean --stack?)",
          "unknown option '--bogus' (accepted: wiretrial help replay has all)",
          "unknown option '-Q'",
          '--checksums <mode>: no such choice (found bad; accepted: auto, strict, ignore)',
          '-c, --count <n>: is not accepted (found x',
          '-o: unknown output format (found foo',
          /--since: .*"yy"/,
          /--stack: a stack is .*found zzz/,
          /--fail-on: .*did you mean dropped/,
        ],
      ],
      [
        ['bench', '--bogus', '--stack', 'foo', '--threshold', 'x', '--base', 'nope', '-o', 'bar'],
        [
          /^error: 5 problems:\n/,
          '--bogus',
          '--base: there is no such base',
          /--stack: .*found foo/,
        ],
      ],
      [
        ['explain', ...CASE, '--frame', 'abc', '--wriet', 'x', '--protocol', 'gre'],
        [/^error: 3 problems:\n/, '--frame <n>', "'--wriet'", /--protocol <name>: .*TCP, UDP/],
      ],
      [
        ['plan', '-f', 'cluster.yaml', '--fabrik', '-o', 'nftt', '--pod', 'a/b', '--node', 'a'],
        [/^error: 3 problems:\n/, 'did you mean --fabric?', 'nftt', 'one host at a time'],
      ],
      [
        ['doctor', '--colect', '-o', 'xml'],
        [/^error: 2 problems:\n/, 'did you mean --collect?'],
      ],
    ];
  await forEachRow(rows, async ([args, says]) => {
    const { status, stdout, stderr } = await wiretrial(args, { cwd });
    const name = args.join(' ');
    t.equal(status, 2, name);
    t.equal(stdout, '', name);
    for (const text of says) {
      t.ok(
        typeof text === 'string' ? stderr.includes(text) : text.test(stderr),
        `${text}: ${stderr}`,
      );
    }
  });
});

t.test('one mistake is one sentence, and nothing is said to be missing', async (t) => {
  const rows: readonly (readonly [args: readonly string[], says: string])[] = [
    [['replay', '--fiel', 'a.yaml', ...CASE.slice(4)], "unknown option '--fiel'"],
    [['replay', ...CASE.slice(0, 4), '--raed', 'x.pcap', 'tcp', 'prt'], 'did you mean --read?'],
    [['replay', ...CASE, '--stack'], '--stack <stack>: needs a value (found nothing)'],
    [['replay', ...CASE, '--stack', '-q'], 'needs a value (found -q, which is an option)'],
    [['replay', ...CASE, '--open-loop=yes'], '--open-loop: takes no value (found yes)'],
    [['replay', ...CASE, '-qRx'], "unknown option '-x'"],
    [['explain', ...CASE, '--frame', 'abc'], '--frame <n>: is not accepted (found abc'],
    [['probe', ...CASE.slice(0, 4), '--all-pairs', '--port', '80', 'tcp'], 'found tcp'],
  ];
  await forEachRow(rows, async ([args, says]) => {
    const { status, stderr } = await wiretrial(args, { cwd });
    t.equal(status, 2, args.join(' '));
    t.match(stderr, /^error: [^\n]*\n$/, `${args.join(' ')}: one line`);
    t.ok(stderr.includes(says), `${says}: ${stderr}`);
  });
});

t.test(
  'nothing is read where the options are wrong: standard input may be a terminal',
  async (t) => {
    const { status, stderr } = await wiretrial(['doctor', '-f', '-', '--bogus'], {
      input: ': : :',
    });
    t.equal(status, 2);
    t.match(stderr, /^error: unknown option '--bogus'.*\n$/);
  },
);

t.test('help is given in spite of wrong options', async (t) => {
  const { status, stdout } = await wiretrial(['replay', '--bogus', '--help']);
  t.equal(status, 0);
  t.match(stdout, /^Usage: wiretrial replay /);
});

t.test('every form of an option that getopt takes is taken', async (t) => {
  const rows: readonly (readonly [readonly string[], packets: number])[] = [
    [['-qc3'], 3],
    [['-q', '--count=3'], 3],
    [['-Rqc', '3'], 3],
    [['udp', '-q'], 2],
    [['-q', '--', 'udp'], 2],
    [['udp', 'and', 'len', '>', '-1'], 0],
  ];
  await forEachRow(rows, async ([args, packets]) => {
    const ran = await wiretrial(['replay', ...CASE, ...NPM, '-o', 'json', ...args], { cwd });
    t.equal(ran.status, 0, `${args.join(' ')}: ${ran.stderr}`);
    const { counts } = JSON.parse(ran.stdout) as { counts: { packets: number } };
    t.equal(counts.packets, packets, args.join(' '));
  });
});

t.test('a verb that runs without a look at its options is a fault of ours', async (t) => {
  const line = new CommandLine();
  const verb = withCluster(new Command('verb'));
  t.strictSame(line.sift(verb, ['-f', 'x', '--bogus', 'y']), ['-f', 'x']);
  t.throws(() => line.assertTold(), { name: 'InternalError' });
  t.throws(() => line.check(() => 1), UserError);
  line.assertTold();
});

t.test('what speaks of a capture is refused where none is read', async (t) => {
  const flow = ['--from', 'pod/shop/web', '--to', 'pod/shop/db', '--port', '5432'];
  const unused = ['--since', '3s', '--vantage', 'x=edge', '--map', 'auto', '-c', '3'];
  const { status, stderr } = await wiretrial(['explain', ...CASE.slice(0, 4), ...flow, ...unused], {
    cwd,
  });
  t.equal(status, 2);
  for (const option of ['--since', '--vantage', '--map', '-c']) {
    t.ok(stderr.includes(`\n${option}: says nothing without a capture`), option);
  }
});
