/**
 * Drawn traffic of a crowd: pods, nodes and the outside world that reach each other and Services of
 * every kind, by few ports, so that connections are in each other's way.
 * @module
 */
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { icmpEcho, icmpEchoReply, type PacketBuilder, tcp, udp } from './packets.ts';

const PODS = 6;

function pods(node: string, subnet: number): string {
  return Array.from({ length: PODS }, (_, i) => {
    const role = ['web', 'api', 'db'][i % 3];
    return `apiVersion: v1
kind: Pod
metadata: {name: ${role}-${node}-${i}, namespace: shop, labels: {app: shop, tier: ${role}}}
spec: {nodeName: ${node}, containers: [{name: main, ports: [{containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.240.${subnet}.${10 + i}}
`;
  }).join('---\n');
}

function service(name: string, ip: string, more: string, port = 80): string {
  return `apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec:
  clusterIP: ${ip}
  selector: {tier: ${name.split('-')[0]}}
  ports: [{name: a, port: ${port}, targetPort: 8080}, {name: b, protocol: UDP, port: ${port}, targetPort: 8080}]
  ${more}
`;
}

/** Two nodes, twelve pods, Services within the cluster and from outside, policies. */
export const CROWD_CLUSTER = [
  ...['node-a', 'node-b'].map(
    (name, i) => `apiVersion: v1
kind: Node
metadata: {name: ${name}}
status: {addresses: [{type: InternalIP, address: 10.240.${i}.4}]}
`,
  ),
  'apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n',
  pods('node-a', 0),
  pods('node-b', 1),
  service('web', '10.0.0.10', ''),
  service('web-again', '10.0.0.11', '', 8080),
  service('db-out', '10.0.0.20', 'type: NodePort'),
  service('api', '10.0.0.30', ''),
  `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-from-web, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: api}}
  ingress: [{from: [{podSelector: {matchLabels: {tier: web}}}]}]
`,
].join('---\n');

const INSIDE = [0, 1].flatMap((node) =>
  Array.from({ length: PODS }, (_, i) => `10.240.${node}.${10 + i}`),
);
const OTHERS = ['10.240.0.4', '10.240.1.4', '203.0.113.9', '198.51.100.7'];
/** Of every kind: known ports of Services, one that no Service has. */
const SERVICES = [
  ...(['10.0.0.10', '10.0.0.20', '10.0.0.30'] as const).map((ip) => [ip, 80] as const),
  ['10.0.0.11', 8080],
  ['10.0.0.10', 81],
] as const;
const MICROSECOND = 1000n;

interface Talk {
  readonly client: string;
  readonly sport: number;
  readonly server: string;
  readonly dport: number;
  readonly kind: 'tcp' | 'udp' | 'echo';
  readonly startsMidway: boolean;
  step: number;
}

export interface CrowdOptions {
  readonly packets: number;
  readonly seed: number;
  /** Of the packets, how many are of a pod and another pod or a Service within; of 1. */
  readonly inside?: number;
  /** Most payload bytes. */
  readonly payload?: number;
  /** Now and then a packet comes in pieces. */
  readonly pieces?: boolean;
}

/** Draw packets of a crowd. */
export function crowd(options: CrowdOptions): PacketRecord[] {
  const { packets, seed, inside = 0.7, payload = 40, pieces = false } = options;
  const random = xorshift(seed);
  const pick = <T>(list: readonly T[]): T => {
    const found = list[random(list.length)];
    if (found === undefined) throw new RangeError('a list to pick from has members');
    return found;
  };
  const talks: Talk[] = [];
  const open = (): Talk => {
    const isInside = random(1000) < inside * 1000;
    const client = isInside ? pick(INSIDE) : pick([...INSIDE, ...OTHERS]);
    const [server, dport] = pick<readonly [string, number]>([
      [pick(INSIDE), pick([8080, 8080, 9000])],
      pick(isInside ? SERVICES.filter(([ip]) => ip !== '10.0.0.20') : SERVICES),
      ...(isInside ? [] : [[pick(OTHERS), pick([443, 31080])] as const]),
    ]);
    if (server === client) return open();
    const kind = pick(['tcp', 'tcp', 'tcp', 'udp', 'echo'] as const);
    const sport = 40_000 + random(6);
    return { client, sport, server, dport, kind, startsMidway: random(20) === 0, step: 0 };
  };
  const records: PacketRecord[] = [];
  const iface = { id: 0, file: 'crowd.pcap', linkType: LinkType.ethernet, snapLength: 65_535 };
  let timeNs = 1_700_000_000_000_000_000n;
  while (records.length < packets) {
    if (talks.length < 12) talks.push(open());
    const index = random(talks.length);
    const talk = talks[index];
    if (talk === undefined) continue;
    const packet = next(talk, random, payload);
    if (packet === null || random(40) === 0) talks.splice(index, 1);
    if (packet === null) continue;
    timeNs += MICROSECOND * BigInt(1 + random(random(50) === 0 ? 60_000_000 : 4000));
    const whole = packet.id(records.length + 1);
    for (const data of pieces ? inPieces(whole, random) : [whole.frame()]) {
      const frame = records.length + 1;
      records.push({ frame, iface, timeNs, data, wireLength: data.length });
    }
  }
  return records.slice(0, packets);
}

/** A packet as it is sent: now and then in pieces. */
function inPieces(packet: PacketBuilder, random: (below: number) => number): Uint8Array[] {
  if (random(60) > 0) return [packet.frame()];
  const pieces = [packet.fragment(0, true, 16).frame(), packet.fragment(16, false).frame()];
  return random(3) === 0 ? pieces.reverse() : pieces;
}

function next(
  talk: Talk,
  random: (below: number) => number,
  payload: number,
): PacketBuilder | null {
  const { client, sport, server, dport, kind, startsMidway } = talk;
  const step = talk.step++;
  const isAnswer = step % 2 === 1;
  const ends = (builder: PacketBuilder) =>
    isAnswer
      ? builder.from(server, dport).to(client, sport)
      : builder.from(client, sport).to(server, dport);
  if (kind === 'echo') {
    if (step > 3) return null;
    const echo = isAnswer ? icmpEchoReply(sport, step) : icmpEcho(sport, step);
    return isAnswer ? echo.from(server).to(client) : echo.from(client).to(server);
  }
  if (kind === 'udp') {
    return step > 6 ? null : ends(udp()).payload(1 + random(payload));
  }
  if (!startsMidway && step === 0) return ends(tcp()).syn().seq(100);
  if (!startsMidway && step === 1) return ends(tcp()).syn().ack(101).seq(500);
  if (step > 12) return null;
  const isEnd = step > 10;
  const segment = ends(tcp())
    .ack(isAnswer ? 101 : 501)
    .seq(isAnswer ? 501 : 101);
  if (isEnd) return random(4) === 0 ? segment.rst() : segment.fin();
  return segment.payload(random(payload));
}

function xorshift(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
