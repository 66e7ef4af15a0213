/**
 * Random ebtables over a place with a bridge: both tables, user chains, every target that plans can say,
 * and every match but `--logical-in` and `--logical-out`, for which this kernel has no module (lacks.ts).
 * @module
 */
import type {
  EbChain,
  EbMatch,
  EbRule,
  EbTable,
  EbTarget,
  EbVerdict,
} from '../../../../../src/netfilter/ebtables.ts';
import { EtherType } from '../../../../../src/wire/protocol.ts';
import type { Draw } from '../../rule-space.ts';
import { drawPrefix } from './sets.ts';
import type { Words } from './words.ts';

const WHOLE = 'ff:ff:ff:ff:ff:ff';
const GROUP_BIT = '01:00:00:00:00:00';
const CHAINS = {
  nat: ['PREROUTING', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
} as const;

/** Where a rule stands. */
interface Place {
  readonly table: 'nat' | 'filter';
  readonly hook: string;
  readonly below: readonly string[];
}

export function drawEbtables(draw: Draw, words: Words): EbTable[] {
  return (['filter', 'nat'] as const).map((table) => {
    const chains = CHAINS[table].flatMap((hook): EbChain[] => {
      const user = `${hook}-A`;
      const policy: EbVerdict = table === 'filter' && draw.chance(6) ? 'DROP' : 'ACCEPT';
      const rules = (count: number, below: readonly string[]) =>
        Array.from({ length: draw.below(count) }, () =>
          drawRule(draw, words, { table, hook, below }),
        );
      return [
        { name: hook, policy, builtin: true, rules: rules(5, [user]) },
        { name: user, policy: 'RETURN', builtin: false, rules: rules(4, []) },
      ];
    });
    return { name: table, backend: 'nft', chains };
  });
}

function drawRule(draw: Draw, words: Words, place: Place): EbRule {
  const target = drawTarget(draw, words, place);
  if (target.kind === 'arpreply') {
    const matches = [protocol(EtherType.arp), operation(1)];
    return {
      matches: draw.chance(60) ? [...matches, address(draw, words, 4, 'arp')] : matches,
      target,
    };
  }
  const matches: EbMatch[] = [];
  if (draw.chance(45)) matches.push(...drawPayload(draw, words));
  if (draw.chance(35)) matches.push(drawDevice(draw, words, place));
  if (draw.chance(35)) matches.push(drawMac(draw, words));
  return { matches, target };
}

function protocol(etherType: number, negate = false): EbMatch {
  return { kind: 'protocol', etherType, negate };
}

function operation(number: number, negate = false): EbMatch {
  return { kind: 'arpOperation', operation: number, negate };
}

function address(draw: Draw, words: Words, family: 4 | 6, of: 'arp' | 'ip'): EbMatch {
  const net = drawPrefix(draw, words, family, 1);
  const [source, destination] =
    of === 'arp'
      ? (['arpSource', 'arpDestination'] as const)
      : (['ipSource', 'ipDestination'] as const);
  return { kind: draw.chance(50) ? source : destination, net, negate: draw.chance(20) };
}

/** A protocol, and mostly something that only it has. */
function drawPayload(draw: Draw, words: Words): EbMatch[] {
  switch (draw.below(4)) {
    case 0:
      return [protocol(EtherType.arp), operation(draw.of([1, 2]), draw.chance(20))];
    case 1:
      return [protocol(EtherType.ipv4), address(draw, words, 4, 'ip')];
    case 2:
      return [protocol(EtherType.ipv6), address(draw, words, 6, 'ip')];
    default: {
      const type = draw.of([EtherType.arp, EtherType.ipv4, EtherType.ipv6]);
      return [protocol(type, draw.chance(30))];
    }
  }
}

function drawDevice(draw: Draw, words: Words, { hook }: Place): EbMatch {
  const ports = words.devices.filter((name) => name !== 'br0');
  const name = draw.of([...ports, 'p+']);
  const negate = draw.chance(25);
  const inward =
    hook === 'PREROUTING' || hook === 'INPUT' || (hook === 'FORWARD' && draw.chance(50));
  return { kind: inward ? 'inInterface' : 'outInterface', name, negate };
}

function drawMac(draw: Draw, words: Words): EbMatch {
  const kind = draw.of(['source', 'destination'] as const);
  const negate = draw.chance(25);
  if (draw.chance(40)) {
    const mac = draw.of(['00:00:00:00:00:00', GROUP_BIT]);
    return { kind, mac, mask: GROUP_BIT, negate };
  }
  return { kind, mac: draw.of(words.macs), mask: WHOLE, negate };
}

function drawTarget(draw: Draw, words: Words, { table, hook, below }: Place): EbTarget {
  const mac = draw.of(words.macs);
  // Nothing returns from a built-in chain by a rewriting target.
  const back = below.length > 0 ? 'CONTINUE' : 'RETURN';
  const verdict = draw.of(['ACCEPT', 'ACCEPT', 'CONTINUE', back, 'DROP'] as const);
  const roll = draw.below(100);
  if (roll < 20 && below.length > 0) return { kind: 'jump', chain: draw.of(below) };
  if (table === 'nat' && roll < 75) {
    if (hook === 'POSTROUTING') return { kind: 'snat', mac, arp: draw.chance(50), verdict };
    if (hook === 'OUTPUT' || roll < 45) return { kind: 'dnat', mac, verdict };
    return draw.chance(50) ? { kind: 'arpreply', mac, verdict } : { kind: 'redirect', verdict };
  }
  return { kind: draw.of(['accept', 'drop', 'continue', 'return', 'continue'] as const) };
}
