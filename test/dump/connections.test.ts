/**
 * Dumps with a list of connections: packets of what was open run as the node ran them.
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatAddress } from '../../src/wire/address/address.ts';
import { wiretrial, writeCapture } from '../support/command.ts';
import { device, LO, lines, oneNode, PLAIN, send, type Texts } from '../support/dumps.ts';
import { parsedIp, tcp, udp } from '../support/packets.ts';

/** New connections to the service's address go to another backend than the open one's. */
const NODE: Texts = {
  ...PLAIN,
  'iptables-save.txt': lines(
    '*nat',
    '-A PREROUTING -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.0.9:8080',
    'COMMIT',
    '*filter',
    ':FORWARD DROP [0:0]',
    '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'COMMIT',
  ),
  'ip-addr.txt': lines(
    LO,
    device(2, 'eth0', ['10.1.0.4/16']),
    device(3, 'cali1', [], { peer: 'if2' }),
    device(4, 'cali2', [], { peer: 'if2' }),
  ),
  'ip-route.txt': lines(
    'default via 10.1.0.1 dev eth0 ',
    '10.1.0.0/16 dev eth0 proto kernel scope link src 10.1.0.4 ',
    '10.244.0.2 dev cali1 scope link ',
    '10.244.0.3 dev cali2 scope link ',
  ),
};

const OPEN = lines(
  'ipv4     2 tcp      6 431999 ESTABLISHED src=10.244.0.2 dst=10.0.0.10 sport=40000 dport=80 src=10.244.0.3 dst=10.244.0.2 sport=8080 dport=40000 [ASSURED] mark=0 use=1',
  'ipv4     2 udp      17 20 src=10.244.0.3 dst=10.244.0.2 sport=5000 dport=6000 [UNREPLIED] src=10.244.0.2 dst=10.244.0.3 sport=6000 dport=5000 mark=0 use=1',
);
const LISTED: Texts = { ...NODE, 'conntrack.txt': OPEN };

const data = tcp().from('10.244.0.2', 40_000).to('10.0.0.10', 80).seq(5000).ack(7000).psh();
const answer = tcp().from('10.244.0.3', 8080).to('10.244.0.2', 40_000).seq(7000).ack(5001);

t.test('the open connection keeps its backend, and is established', async (t) => {
  const world = oneNode(LISTED);
  const journey = send(world, data.payload(1).packet(), '10.244.0.2');
  t.match(journey, { outcome: 'exited', end: { device: 'cali2' } });
  const packet = parsedIp(journey.packet ?? new Uint8Array(0));
  t.equal(formatAddress(packet.dst), '10.244.0.3', 'not where the rules send new ones');
  const back = send(world, answer.packet(), '10.244.0.3');
  t.match(back, { outcome: 'exited', end: { device: 'cali1' } });
  t.equal(formatAddress(parsedIp(back.packet ?? new Uint8Array(0)).src), '10.0.0.10');
});

t.test('without the list the same packet begins a connection, and is dropped', async (t) => {
  const journey = send(oneNode(NODE), data.payload(1).packet(), '10.244.0.2');
  t.match(journey, { outcome: 'dropped', reason: 'chainPolicy' });
});

t.test('a listed connection ends when its time is over', async (t) => {
  const late = udp().from('10.244.0.2', 6000).to('10.244.0.3', 5000).packet();
  const seconds = (s: number) => send(oneNode(LISTED), late, '10.244.0.2', s);
  t.equal(seconds(19).outcome, 'exited', 'its answer within the 20 seconds listed');
  t.equal(seconds(21).outcome, 'dropped', 'and after them');
});

const folder = mkdtempSync(join(tmpdir(), 'wiretrial-listed-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

function dumpOf(name: string, texts: Texts): string {
  mkdirSync(join(folder, name));
  for (const [file, text] of Object.entries(texts)) writeFileSync(join(folder, name, file), text);
  return join(folder, name);
}

t.test('replay says that a connection was listed, and who opened it', async (t) => {
  const path = join(folder, 'flow.pcap');
  // Only the server's side is captured, in the middle.
  await writeCapture(path, [
    answer.payload(3),
    udp().from('10.244.0.2', 6000).to('10.244.0.3', 5000),
  ]);
  const dump = dumpOf('node-a', LISTED);
  const ran = await wiretrial(['replay', '--dump', dump, '-r', path, '-o', 'json']);
  t.equal(ran.status, 0, ran.stderr);
  t.notMatch(ran.stderr, /conntrack/);
  t.match(JSON.parse(ran.stdout), {
    counts: { packets: 2, exited: 2 },
    connections: [
      { opening: 'listed', from: 'node/node-a/cali1', to: 'node/node-a/cali2', verdict: 'allowed' },
      { opening: 'listed', src: '10.244.0.3', sport: 5000, dst: '10.244.0.2', verdict: 'allowed' },
    ],
  });
  const midstream = await wiretrial([
    ...['replay', '--dump', dump, '-r', path, '-o', 'json', '--midstream', 'unknown'],
  ]);
  t.match(JSON.parse(midstream.stdout), { counts: { exited: 2 } }, 'whatever --midstream says');
});

t.test('plan prints the list back', async (t) => {
  const dump = dumpOf('node-b', LISTED);
  const { stdout } = await wiretrial(['plan', '--dump', dump, '-o', 'conntrack']);
  t.equal(stdout, OPEN);
});

t.test('a line that is none refuses the dump, with file, line and text', async (t) => {
  const dump = dumpOf('bad', { ...LISTED, 'conntrack.txt': `${OPEN}ipv4     2 tcp oops\n` });
  const { status, stderr } = await wiretrial([
    'replay',
    '--dump',
    dump,
    '-r',
    join(folder, 'flow.pcap'),
  ]);
  t.equal(status, 2);
  t.match(stderr, /conntrack\.txt:3: not a line of conntrack -L.*ipv4 {5}2 tcp oops/s);
});
