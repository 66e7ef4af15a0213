/**
 * Captures of real clusters, replayed on clusters rebuilt from what is known of them: what their
 * kube-proxy translated must equal, byte for byte, what ours does.
 *
 * Calico and canal pods see their Services' answers; flannel's node shows a node port's requests
 * and, inside VXLAN, the same packets translated. That tunnel is opened here, because no Azure
 * network has it, and flannel's own address stands for its node's (`--map`).
 * @module
 */
import t from 'tap';
import { openCaptures } from '../../src/capture/reader.ts';
import { type Inputs, parseInputs } from '../../src/policy/inputs.ts';
import { u16 } from '../../src/wire/bytes.ts';
import * as ipv4 from '../../src/wire/header/ipv4.ts';
import { type Ran, replayFrames, type SeenFrame } from '../support/replays.ts';
import { sharedPath } from '../support/shared.ts';

const STACK = 'azure-transparent+calico';
const ETHERNET = 14;

function node(name: string, address: string): string {
  return `apiVersion: v1
kind: Node
metadata: { name: ${name} }
status: { addresses: [{ type: InternalIP, address: ${address} }] }
`;
}

function pod(name: string, onNode: string, address: string, port: number): string {
  return `apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec: { nodeName: ${onNode}, containers: [{ name: main, ports: [{ containerPort: ${port} }] }] }
status: { phase: Running, podIP: ${address} }
`;
}

function service(name: string, clusterIp: string, ports: string, more = ''): string {
  return `apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { clusterIP: ${clusterIp}, selector: { app: ${name} }, ports: [${ports}]${more} }
`;
}

function cluster(
  serviceCidr: string,
  ranges: readonly string[],
  objects: readonly string[],
): Inputs {
  const subnets = ranges.map((range, i) => `{ name: s${i}, addressPrefix: ${range} }`).join(', ');
  const wiring = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
serviceCidr: ${serviceCidr}
dnsServiceIP: ${serviceCidr.replace(/\.0\.0\/\d+$/, '.0.10')}
virtualNetworks:
  - { name: v, addressPrefixes: [${ranges.join(', ')}], subnets: [${subnets}] }
`;
  return parseInputs('rebuilt.yaml', [wiring, ...objects].join('---\n'));
}

async function framesOf(path: string): Promise<readonly Uint8Array[]> {
  const frames: Uint8Array[] = [];
  for await (const batch of openCaptures([path])) {
    for (const record of batch) frames.push(record.data.slice());
  }
  return frames;
}

/** An IP packet in hexadecimal; without its checksum where the capture has an unfilled one. */
function hex(packet: Uint8Array, hasChecksum: boolean): string {
  const copy = packet.slice(0, ipv4.totalLength(packet, 0));
  const l4 = ipv4.headerLength(copy, 0);
  const field = l4 + (ipv4.protocol(copy, 0) === 6 ? 16 : 6);
  if (!hasChecksum) copy.fill(0, field, field + 2);
  return Buffer.from(copy).toString('hex');
}

/** Frames that came out of the emulation beside the packets they were captured as. */
function pairs(ran: Ran, frames: readonly Uint8Array[], from: string) {
  return ran.frames.flatMap((row) => {
    if (row.frame === null || row.src !== from) return [];
    const captured = frames[row.frame - 1]?.subarray(ETHERNET);
    const packet = row.journey?.packet;
    if (captured === undefined || packet == null) return [];
    return [
      { frame: row.frame, captured, packet, offloaded: row.notes.includes('checksumOffloaded') },
    ];
  });
}

const CAPTURES = sharedPath('data/captures');
const SKIPPED = CAPTURES === null ? { skip: 'needs ../shared/data/captures' } : {};

function capture(name: string): Promise<readonly Uint8Array[]> {
  return framesOf(`${CAPTURES ?? ''}/${name}`);
}

t.test('a Calico pod that publishes by MQTT to a Service on another node', SKIPPED, async (t) => {
  const frames = await capture('k8s-calico-pod-veth-clusterip-mqtt.pcap');
  const inputs = cluster(
    '10.233.0.0/18',
    ['10.233.64.0/18'],
    [
      node('one', '10.233.64.4'),
      node('two', '10.233.64.5'),
      pod('publisher', 'one', '10.233.73.12', 80),
      pod('broker', 'two', '10.233.101.7', 1883),
      service('broker', '10.233.24.219', '{ port: 1883 }'),
    ],
  );
  const ran = await replayFrames(inputs, STACK, frames);
  t.match(ran.connections, [
    {
      from: 'pod/default/publisher',
      to: 'svc/default/broker',
      verdict: 'allowed',
      translated: { dst: '10.233.101.7', dport: 1883 },
    },
  ]);
  t.strictSame(ran.summary.counts.outcomes.delivered, 16);
  const answers = pairs(ran, frames, '10.233.24.219');
  t.equal(answers.length, 6);
  for (const { frame, captured, packet, offloaded } of answers) {
    t.equal(hex(packet, !offloaded), hex(captured, !offloaded), `frame ${frame}, TTL and all`);
  }
});

t.test(
  'a canal pod that asks DNS and MySQL by their Services on its own node',
  SKIPPED,
  async (t) => {
    const frames = await capture('k8s-rke2-canal-http-mysql-dns.pcap');
    const inputs = cluster(
      '10.43.0.0/16',
      ['10.1.1.0/24', '10.42.0.0/16'],
      [
        node('rke2', '10.1.1.241'),
        pod('http', 'rke2', '10.42.0.29', 80),
        pod('sql', 'rke2', '10.42.0.30', 3306),
        pod('dns', 'rke2', '10.42.0.31', 53),
        service('sql', '10.43.117.113', '{ port: 3306 }'),
        service('dns', '10.43.0.10', '{ port: 53, protocol: UDP }'),
      ],
    );
    const ran = await replayFrames(inputs, STACK, frames);
    t.equal(ran.summary.counts.connections.total, ran.summary.counts.connections.allowed + 1);
    t.match(
      ran.connections.filter((c) => c.verdict !== 'allowed'),
      [{ verdict: 'unknown', dport: 5353 }],
      'one multicast packet beside them',
    );
    for (const [vip, backend, count] of [
      ['10.43.117.113', '10.42.0.30', 18],
      ['10.43.0.10', '10.42.0.31', 4],
    ] as const) {
      const answers = pairs(ran, frames, vip);
      t.equal(answers.length, count, `answers of ${vip}`);
      for (const { frame, captured, packet, offloaded } of answers) {
        t.equal(hex(packet, !offloaded), hex(captured, !offloaded), `frame ${frame}, TTL and all`);
      }
      const asked = ran.connections.filter((c) => c.dst === vip);
      t.ok(asked.length > 0 && asked.every((c) => c.translated?.dst === backend));
    }
  },
);

t.test('clients outside that reach canal pods by their addresses', SKIPPED, async (t) => {
  for (const [name, address] of [
    ['k8s-rke2-canal-extclient-http.pcap', '10.42.0.93'],
    ['k8s-rke2-canal-extclient-ssh.pcap', '10.42.0.95'],
  ] as const) {
    const frames = await capture(name);
    const inputs = cluster(
      '10.43.0.0/16',
      ['10.1.1.0/24', '10.42.0.0/16'],
      [node('rke2', '10.1.1.241'), pod('server', 'rke2', address, 80)],
    );
    const ran = await replayFrames(inputs, STACK, frames);
    t.match(ran.connections, [{ verdict: 'allowed', from: null, translated: null }]);
  }
});

/** Frames as the node's device shows them: what is inside VXLAN as if seen at the tunnel. */
function opened(frames: readonly Uint8Array[]): readonly SeenFrame[] {
  const VXLAN_PORT = 8472;
  const OUTER = ETHERNET + 20 + 8 + 8;
  return frames.map((data) => {
    const isVxlan = data[ETHERNET + 9] === 17 && u16(data, ETHERNET + 22) === VXLAN_PORT;
    return isVxlan ? { data: data.subarray(OUTER), iface: 1 } : { data, iface: 0 };
  });
}

t.test(
  'a node port of flannel: requests, and the same packets translated in the tunnel',
  SKIPPED,
  async (t) => {
    const seen = opened(await capture('k8s-flannel-vxlan-nodeport.pcap'));
    const inputs = cluster(
      '10.96.0.0/16',
      ['192.168.2.96/28', '10.244.0.0/16'],
      [
        node('master', '192.168.2.100'),
        node('worker-1', '192.168.2.101'),
        node('worker-2', '192.168.2.102'),
        pod('web', 'worker-1', '10.244.1.25', 80),
        pod('other-web', 'worker-2', '10.244.2.7', 80),
        pod('metrics', 'worker-2', '10.244.2.5', 443),
        service('web', '10.96.0.99', '{ port: 80, nodePort: 32150 }', ', type: NodePort'),
        // A second backend, so that there is something to choose.
        pod('web-too', 'worker-2', '10.244.2.8', 80).replace('app: web-too', 'app: web'),
      ],
    );
    const map = [['10.244.0.0', '192.168.2.100']] as const;
    const ran = await replayFrames(inputs, STACK, seen, { map });
    const clients = ran.connections.filter((c) => c.dport === 32150);
    t.equal(clients.length, 3, 'each connection once, though seen on both sides');
    for (const [i, port] of [21_718, 47_260, 49_975].entries()) {
      t.match(
        clients.find((c) => c.sport === [61_738, 61_838, 61_839][i]),
        {
          verdict: 'allowed',
          to: 'node/master',
          translated: { src: '192.168.2.100', sport: port, dst: '10.244.1.25', dport: 80 },
          choice: { of: 2, by: 'captured' },
        },
      );
    }
    t.strictSame(ran.summary.counts.notes['translationDiffers'], undefined);

    // Requests leave the node as the tunnel shows them; the far node then forwards them once more.
    const inner = seen.map(({ data, iface }) => (iface === 1 ? data.subarray(ETHERNET) : null));
    const identified = (packet: Uint8Array) => {
      const l4 = ipv4.headerLength(packet, 0);
      return `${ipv4.id(packet, 0)} ${u16(packet, l4)} ${u16(packet, l4 + 2)}`;
    };
    let requests = 0;
    for (const row of ran.frames) {
      const packet = row.journey?.packet;
      if (row.dport !== 32150 || packet == null || row.outcome !== 'delivered') continue;
      const same = inner.find((p) => p !== null && identified(p) === identified(packet));
      if (same == null) continue;
      const expected = same.slice();
      ipv4.setTtl(expected, 0, ipv4.ttl(same, 0) - 1);
      requests++;
      // Flannel's address is the node's here, so both checksums differ by it and nothing else.
      t.equal(plain(packet), plain(expected), `frame ${row.frame}`);
    }
    t.equal(requests, 9);

    // Answers enter at the pod and must come out as the client saw them, byte for byte.
    const outside = seen.flatMap(({ data, iface }) =>
      iface === 0 ? [data.subarray(ETHERNET)] : [],
    );
    const toClient = outside.filter((p) => u16(p, ipv4.headerLength(p, 0)) === 32_150);
    const sent = ran.frames.flatMap((row) =>
      row.outcome === 'exited' && row.sport === 80 && row.journey?.packet
        ? [row.journey.packet]
        : [],
    );
    t.strictSame(sent.map((p) => hex(p, true)).sort(), toClient.map((p) => hex(p, true)).sort());
  },
);

/** A packet without its source and its checksums. */
function plain(packet: Uint8Array): string {
  const copy = packet.slice(0, ipv4.totalLength(packet, 0));
  copy.fill(0, 10, 16);
  const l4 = ipv4.headerLength(copy, 0);
  copy.fill(0, l4 + 16, l4 + 18);
  return Buffer.from(copy).toString('hex');
}
