/**
 * What a real kernel did (suites/kernel-oracle/facts-observed.json, Linux 6.18), frame by frame:
 * the same hosts are built as plans, the same frames injected, and what leaves must be equal byte
 * for byte. Ports and identifiers that the kernel drew are read off what it sent, and must be among
 * what we may draw: the engine starts its search there and has to take them. Answers of local
 * processes and the identification of ICMP errors (drawn too) are all that is left out, by name.
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import type { Plan } from '../../src/plan/model.ts';
import * as ipv4 from '../../src/wire/header/ipv4.ts';
import { Protocol } from '../../src/wire/protocol.ts';
import { engineOf, hostPlan, iface, inject, route, sentBy } from '../support/hosts.ts';
import { sharedPath } from '../support/shared.ts';

interface FactStep {
  readonly label: string;
  readonly inject: readonly {
    readonly dev: string;
    readonly hex: string;
    readonly brief: string;
    readonly dmac?: string;
  }[];
  readonly observed: readonly {
    readonly dev: string;
    readonly hex: string;
    readonly brief: string;
  }[];
  readonly ctstate?: readonly string[];
  readonly iptablesForwardHits?: number;
}

interface Experiment {
  readonly name: string;
  readonly why: string;
  readonly setup: {
    readonly iptables: string;
    readonly sysctl: readonly string[];
    readonly extra?: readonly string[];
    readonly mtu_wan0?: number;
    readonly hairpin?: number;
  };
  readonly steps: readonly FactStep[];
}

const STATES = ['INVALID', 'NEW', 'RELATED', 'ESTABLISHED', 'UNTRACKED'];

/** What the oracle sets in every namespace. */
const ORACLE_SYSCTLS = {
  'net.ipv4.ip_forward': '1',
  'net.ipv4.conf.all.route_localnet': '1',
  'net.ipv4.conf.default.route_localnet': '1',
  'net.ipv4.conf.all.send_redirects': '0',
  'net.ipv4.conf.default.send_redirects': '0',
};

/** A process of the host answered: processes are not emulated. */
const ANSWERED_BY_PROCESS = new Set([
  'local closed tcp port',
  'local closed udp port',
  'no DF echo to local address',
]);

function sysctls(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(list.map((line) => line.split('=') as [string, string]));
}

function routedNode(experiment: Experiment): Plan {
  const { setup } = experiment;
  const extra = setup.extra ?? [];
  const states = experiment.steps.some((step) => step.ctstate !== undefined);
  const stateRules = STATES.map((state) => `-A PREROUTING -m conntrack --ctstate ${state}\n`);
  const mangle = states ? `*mangle\n:PREROUTING ACCEPT [0:0]\n${stateRules.join('')}COMMIT\n` : '';
  const counter = extra.some((line) => line.startsWith('iptables -A FORWARD'))
    ? '*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD\nCOMMIT\n'
    : '';
  const hasDefault = !extra.includes('ip route del default');
  const special = extra.flatMap((line) => {
    const found = /^ip route add (blackhole|unreachable|prohibit) (\S+)$/.exec(line);
    return found === null ? [] : [route(found[2]!, { type: found[1] as 'blackhole' })];
  });
  return hostPlan('node', {
    interfaces: [
      iface('lan0', '02:00:00:00:01:01', { addresses: ['10.0.0.1/24'] }),
      iface('wan0', '02:00:00:00:01:02', {
        addresses: ['198.51.100.1/24'],
        mtu: setup.mtu_wan0 ?? 1500,
      }),
    ],
    routes: [
      route('10.0.0.0/24', { device: 'lan0', source: '10.0.0.1' }),
      route('198.51.100.0/24', { device: 'wan0', source: '198.51.100.1' }),
      ...(hasDefault ? [route('0.0.0.0/0', { device: 'wan0', via: '198.51.100.254' })] : []),
      ...special,
    ],
    neighbors: [
      ...Array.from(
        { length: 98 },
        (_, i) => [`10.0.0.${i + 2}`, 'lan0', '02:00:00:00:00:01'] as const,
      ),
      ['198.51.100.254', 'wan0', '02:00:00:00:00:02'],
    ],
    sysctls: { ...ORACLE_SYSCTLS, ...sysctls(setup.sysctl) },
    iptables: setup.iptables + mangle + counter,
  });
}

function bridgeNode(experiment: Experiment): Plan {
  const hairpin = experiment.setup.hairpin === 1;
  const port = (name: string, n: number) =>
    iface(name, `02:00:00:00:01:0${n}`, { master: 'br0', hairpin });
  return hostPlan('node', {
    interfaces: [
      iface('br0', '02:00:00:00:0b:00', { kind: 'bridge', addresses: ['10.1.0.1/24'] }),
      port('p1', 1),
      port('p2', 2),
    ],
    routes: [route('10.1.0.0/24', { device: 'br0', source: '10.1.0.1' })],
    neighbors: [
      ['10.1.0.2', 'br0', '02:00:00:00:00:01'],
      ['10.1.0.3', 'br0', '02:00:00:00:00:02'],
    ],
    sysctls: { ...ORACLE_SYSCTLS, ...sysctls(experiment.setup.sysctl) },
    iptables:
      '*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n' +
      '-A PREROUTING -d 172.30.0.41/32 -p tcp --dport 80 -j DNAT --to-destination 10.1.0.3:8080\n' +
      '-A PREROUTING -d 172.30.0.42/32 -p tcp --dport 80 -j DNAT --to-destination 10.1.0.2:8080\n' +
      '-A POSTROUTING -s 10.1.0.2/32 -d 10.1.0.2/32 -j MASQUERADE\nCOMMIT\n' +
      '*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD\nCOMMIT\n',
    extend: (builder) => {
      for (const n of [1, 2]) {
        const mac = `02:00:00:00:00:0${n}`;
        builder.fdb.push({ mac, bridge: 'br0', port: `p${n}`, kind: 'learned' });
      }
    },
  });
}

/** The node draws the identification of its ICMP errors: set it, and the checksum over it, to 0. */
function withoutDrawnId(frame: Uint8Array, l3: number): string {
  const copy = frame.slice();
  const generated =
    ipv4.protocol(copy, l3) === Protocol.icmp &&
    !ipv4.dontFragment(copy, l3) &&
    ipv4.tos(copy, l3) === 0xc0;
  if (generated) {
    copy.fill(0, l3 + 4, l3 + 6);
    ipv4.fillChecksum(copy, l3);
  }
  return Buffer.from(copy).toString('hex');
}

function frameFor(dev: string, hex: string, dmac?: string): Uint8Array {
  const n = dev === 'lan0' || dev === 'p1' ? '1' : '2';
  const destination = dmac ?? `02000000010${n}`;
  return Uint8Array.from(Buffer.from(`${destination}02000000000${n}0800${hex}`, 'hex'));
}

/** Where the kernel's searches for a free port or identifier began: where they ended, it was free. */
function drawnBy(hex: string | undefined): number {
  const ip = Uint8Array.from(Buffer.from(hex ?? '', 'hex'));
  if (ip.length < 28) return 0;
  const word = (at: number) => ((ip[at] ?? 0) << 8) | (ip[at + 1] ?? 0);
  if (ipv4.protocol(ip, 0) === Protocol.icmp) return word(24);
  const port = word(20);
  // `nf_nat_l4proto_unique_tuple`: from 1, 600 or 1024 on, by the class of the port.
  return port - (port < 512 ? 1 : port < 1024 ? 600 : 1024);
}

function forwardHits(engine: ReturnType<typeof engineOf>): number {
  return engine.counters('node').get('4 filter/FORWARD rule 1')?.packets ?? 0;
}

const path = sharedPath('suites/kernel-oracle/facts-observed.json');

if (path === null) {
  t.pass('skipped: needs ../shared/suites/kernel-oracle', { skip: 'needs ../shared' });
} else {
  const { experiments } = JSON.parse(readFileSync(path, 'utf8')) as { experiments: Experiment[] };
  const steps = experiments.reduce((sum, { steps: all }) => sum + all.length, 0);
  t.strictSame([experiments.length, steps], [24, 142], 'experiments and steps');
  for (const experiment of experiments) {
    t.test(`${experiment.name}: ${experiment.why}`, async (t) => {
      const bridged = experiment.name.startsWith('bridge-');
      const plan = bridged ? bridgeNode(experiment) : routedNode(experiment);
      let drawn = 0;
      const engine = engineOf([plan], [], { drawn: () => drawn });
      let nowNs = 0;
      for (const step of experiment.steps) {
        nowNs += step.label === 'udp after 2s' ? 2_300_000_000 : 80_000_000;
        const before = engine.counters('node');
        const hits = forwardHits(engine);
        drawn = drawnBy(step.observed[0]?.hex);
        const journeys = step.inject.map(({ dev, hex, dmac }) =>
          engine.inject(inject.frame(`node/${dev}`, frameFor(dev, hex, dmac), nowNs)),
        );
        const after = engine.counters('node');
        if (!ANSWERED_BY_PROCESS.has(step.label)) {
          const l3 = bridged ? 0 : 14;
          const got = journeys
            .flatMap(sentBy)
            .map(({ device, frame }) => `${device} ${withoutDrawnId(frame, 14).slice(2 * l3)}`);
          const want = step.observed.flatMap(({ dev, hex }) => {
            const bytes = Uint8Array.from(Buffer.from(hex, 'hex'));
            // What the node's own kernel says to groups is no answer to a frame.
            if (ipv4.protocol(bytes, bridged ? 14 : 0) === Protocol.igmp) return [];
            return [`${dev} ${withoutDrawnId(bytes, bridged ? 14 : 0)}`];
          });
          t.same(got.sort(), want.sort(), `${step.label}: frames`);
        }
        if (step.ctstate !== undefined) {
          const seen = STATES.filter((_, i) => {
            const rule = `4 mangle/PREROUTING rule ${i + 1}`;
            return (after.get(rule)?.packets ?? 0) > (before.get(rule)?.packets ?? 0);
          });
          t.same(seen, step.ctstate, `${step.label}: ctstate`);
        }
        if (step.iptablesForwardHits !== undefined) {
          t.equal(forwardHits(engine) - hits, step.iptablesForwardHits, `${step.label}: FORWARD`);
        }
      }
    });
  }
}
