/**
 * Captures that are none, are not there, or were cut: the command says what the file is instead, and
 * what was read of it counts.
 * @module
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { NPM, wiretrial } from '../../support/command.ts';
import { refusalFolder } from '../../support/refusals.ts';

const { path: cwd, file, refuses } = await refusalFolder();

t.test('captures: exit 3, and what the file is instead', async (t) => {
  mkdirSync(join(cwd, 'no-captures'));
  file('no-captures/notes.txt', 'nothing here\n');
  const replay = (path: string) => ['replay', '-f', 'cluster.yaml', '-r', path];
  const garbage = Uint8Array.from({ length: 300 }, (_, i) => (i * 31 + 7) & 255);
  await refuses(t, [
    {
      what: 'garbage',
      args: replay(file('garbage.pcap', garbage)),
      status: 3,
      says: ['garbage.pcap: is not a capture', 'accepted: pcap or pcapng'],
    },
    {
      what: 'an empty file',
      args: replay(file('empty.pcap', '')),
      status: 3,
      says: ['empty.pcap', 'CAPTURE_EMPTY'],
    },
    {
      what: 'a folder without captures',
      args: replay('no-captures'),
      status: 3,
      says: ['no-captures: holds no capture', 'accepted: pcap or pcapng'],
    },
    {
      what: 'a file that is not there',
      args: replay('absent.pcap'),
      status: 3,
      says: ['absent.pcap: no such file or directory'],
    },
    {
      what: 'several captures that are wrong',
      args: ['replay', '-f', 'cluster.yaml', '-r', 'garbage.pcap', '-r', 'empty.pcap'],
      status: 3,
      says: ['garbage.pcap', 'empty.pcap', '2 problems'],
    },
  ]);
});

t.test('a capture that was cut: what is whole counts, exit 3, marked incomplete', async (t) => {
  const whole = readFileSync(join(cwd, 'case.pcap'));
  file('cut.pcap', whole.subarray(0, whole.length - 5));
  const args = ['replay', '-f', 'cluster.yaml', '-f', 'policies.yaml', '-r', 'cut.pcap', ...NPM];
  const json = await wiretrial([...args, '-o', 'json', '-o', 'jsonl=rows', '-w', 'cut.pcapng'], {
    cwd,
  });
  t.equal(json.status, 3);
  t.match(json.stderr, /cut\.pcap: .*offset \d+; 11 whole packets were read/);
  const result = JSON.parse(json.stdout) as {
    incomplete: boolean;
    counts: { packets: number };
    inputs: { packets: number; truncated: { offset: number; message: string } }[];
  };
  t.equal(result.incomplete, true);
  t.equal(result.counts.packets, 11);
  t.equal(result.inputs[0]?.packets, 11);
  t.type(result.inputs[0]?.truncated.offset, 'number');
  t.equal(readFileSync(join(cwd, 'rows'), 'utf8').trim().split('\n').length, 11);
  const again = await wiretrial(
    ['replay', '-f', 'cluster.yaml', '-r', 'cut.pcapng', '-o', 'json'],
    {
      cwd,
    },
  );
  t.equal(again.status, 0, 'the annotated capture is whole');
  const table = await wiretrial(args, { cwd });
  t.match(table.stdout, /incomplete input/);
  const gated = await wiretrial([...args, '--fail-on', 'denied'], { cwd });
  t.equal(gated.status, 3, 'of a failed gate and a cut input the highest applies');
});
