/**
 * The same traffic captured at two places by clocks an hour apart: read on one clock, every packet
 * judged once.
 * @module
 */
import { join } from 'node:path';
import t from 'tap';
import { CASE, caseFolder, NPM, wiretrial, writeCapture } from '../support/command.ts';
import { udp } from '../support/packets.ts';

t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);

t.test(
  'copies from a clock that is an hour off are recognised, and the note says so',
  async (t) => {
    const start = 1_700_000_000_000_000_000n;
    const asked = Array.from({ length: 8 }, (_, i) =>
      udp()
        .from('10.240.0.5', 5000 + i)
        .to('10.240.0.37', 53)
        .payload(i)
        .id(i + 1),
    );
    await writeCapture(join(folder.path, 'sender.pcap'), asked, start);
    const later = asked.map((p) => p.ttl(62));
    await writeCapture(join(folder.path, 'receiver.pcap'), later, start + 3_600_000_000_000n);
    const both = ['-r', 'sender.pcap', '-r', 'receiver.pcap'];
    const words = ['replay', ...CASE.slice(0, 4), ...both, ...NPM, '-o', 'json'];
    const ran = await wiretrial(words, { cwd: folder.path });
    t.equal(ran.status, 0);
    t.match(ran.stderr, /receiver\.pcap: 8 packets also in sender\.pcap .* corrected by -3600s/);
    t.match(JSON.parse(ran.stdout), { counts: { packets: 16, delivered: 8, observed: 8 } });
    const told = await wiretrial([...words, '--clock-offset', 'receiver.pcap=+0s'], {
      cwd: folder.path,
    });
    t.notMatch(told.stderr, /corrected/, 'what the user says of a clock is the last word');
    t.match(JSON.parse(told.stdout), { counts: { observed: 0 } });
  },
);

t.test('an offset is for a file by its path, or by its name alone', async (t) => {
  const start = 1_700_000_000_000_000_000n;
  const packets = [udp().from('10.240.0.5', 5000).to('10.240.0.37', 53).payload('x')];
  await writeCapture(join(folder.path, 'one.pcap'), packets, start);
  const words = ['replay', ...CASE.slice(0, 4), '-r', './one.pcap', ...NPM, '-o', 'jsonl'];
  const run = (name: string) =>
    wiretrial([...words, '--clock-offset', `${name}=-20s`], { cwd: folder.path });
  for (const name of ['one.pcap', './one.pcap']) {
    const { stdout, stderr } = await run(name);
    t.equal(stderr, '', name);
    t.match(JSON.parse(stdout), { time: '2023-11-14T22:13:00.000000000Z' }, name);
  }
  const { status, stderr } = await run('two.pcap');
  t.equal(status, 2);
  t.match(stderr, /--clock-offset: names a file .*found two\.pcap; accepted: \.\/one\.pcap/);
});
