/**
 * Names of ends and numbers of frames that are not there: what was meant is offered, and what is
 * there but left out is said to be; what comes through a pipe is called as it was given.
 * @module
 */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import {
  CALICO,
  CASE,
  COMMAND,
  caseFolder,
  forEachRow,
  NPM,
  wiretrial,
} from '../support/command.ts';

t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;

t.test('an end that is not there: the one that was meant is offered', async (t) => {
  const rows: readonly (readonly [end: string, says: string])[] = [
    ['pod/shop/dbb', 'did you mean pod/shop/db?'],
    ['shop/db', 'did you mean pod/shop/db?'],
    ['db', 'did you mean pod/shop/db?'],
    ['node-b', 'did you mean node/node-b?'],
    // More than a name has parts is no name, whatever stands before it.
    ['pod/shop/db/main', 'did you mean pod/shop/db?'],
    ['node/node-a/eth0', 'found node/node-a/eth0'],
    ['svc/shop', 'accepted: pod/NAMESPACE/NAME'],
  ];
  await forEachRow(rows, async ([end, says]) => {
    const args = ['probe', ...CASE.slice(0, 4), ...NPM, '--from', 'pod/shop/web', '--port', '80'];
    const { status, stdout, stderr } = await wiretrial([...args, '--to', end], { cwd });
    t.equal(status, 2, end);
    t.equal(stdout, '', end);
    t.ok(stderr.includes('no such end in the cluster') && stderr.includes(says), stderr);
  });
});

t.test('a frame that is not there, and one that is left out', async (t) => {
  const rows: readonly (readonly [args: readonly string[], says: string])[] = [
    [['--frame', '13'], 'the capture has no such frame (found 13; accepted: 1 to 12)'],
    [['--frame', '1', 'udp'], 'the filter, --since or --until leave this frame out (found 1'],
  ];
  await forEachRow(rows, async ([args, says]) => {
    const { status, stderr } = await wiretrial(['explain', ...CASE, ...NPM, ...args], { cwd });
    t.equal(status, 2, args.join(' '));
    t.ok(stderr.includes(says), stderr);
  });
});

t.test('what comes through a pipe is called as it was given, not as it is kept', async (t) => {
  for (const verb of [
    ['replay', ...NPM],
    ['compare', ...NPM, ...CALICO],
    ['explain', ...NPM, '--frame', '1'],
  ]) {
    const words = [...verb, ...CASE.slice(0, 4)].join(' ');
    const script = `"$0" "$1" ${words} -r <(echo this is no capture)`;
    const options = { cwd, encoding: 'utf8' } as const;
    const { status, stderr } = spawnSync(
      'bash',
      ['-c', script, process.execPath, COMMAND],
      options,
    );
    t.equal(status, 3, words);
    t.match(stderr, /^error: \/dev\/fd\/\d+: is not a capture/m, words);
  }
});
