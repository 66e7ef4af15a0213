/**
 * Faults to plant into the engine, one at a time: each a text of a compiled module and what takes its
 * place. A harness that does not find them all would not find a real one.
 * @module
 */

export interface Mutant {
  /** What would be wrong. */
  readonly name: string;
  /** Module under src/, without extension. */
  readonly file: string;
  /** Must be there exactly once. */
  readonly find: string;
  readonly plant: string;
}

type Row = readonly [name: string, find: string, plant: string];

const ROWS: Readonly<Record<string, readonly Row[]>> = {
  'node/ip/forward': [
    ['TTL is not lowered', 'ipv4.setTtl(bytes, l3, ttl - 1)', 'ipv4.setTtl(bytes, l3, ttl)'],
    [
      'hop limit is lowered twice',
      'bytes, l3, ttl - 1);\n    packet',
      'bytes, l3, ttl - 2);\n    packet',
    ],
    ['TTL 1 is forwarded', 'ttl <= 1', 'ttl < 1'],
    ['the MTU is one too large', 'length <= out.mtu)', 'length <= out.mtu + 120)'],
  ],
  'node/target/header': [
    ['TTL increments do not count', 'old + target.value', 'old'],
    ['DSCP takes the ECN bits along', '(old & 0x03) | ', ''],
    ['MSS options are taken as they are', 'if (old <= wanted)', 'if (old >= wanted)'],
  ],
  'node/target/target': [
    [
      'MARK sets bits instead of turning them',
      'return ((mark & ~mask) ^ value) >>> 0',
      'return ((mark & ~mask) | value) >>> 0',
    ],
    [
      'CONNMARK saves without its mask',
      'shifted(packet.mark & nfmask, shift)) >>> 0',
      'shifted(packet.mark, shift)) >>> 0',
    ],
    [
      'CONNMARK restores all of the mark',
      'shifted(mark & mask, shift)) >>> 0',
      'shifted(mark, shift)) >>> 0',
    ],
  ],
  'node/hook/walk': [
    ['NOTRACK does nothing', "this.#packet.ctState = 'untracked'", 'undefined'],
    ['goto comes back', "rule.target.kind === 'jump'", 'true'],
    [
      'RETURN ends the table',
      "case 'return':\n                return this.#leaveChain();",
      "case 'return':\n                return ACCEPT;",
    ],
    ['policies let everything by', "entry.policy !== 'drop'", 'true'],
  ],
  'node/match/packet/transport': [
    [
      'port ranges exclude their end',
      'port >= range.low && port <= range.high',
      'port >= range.low && (port < range.high || range.low === range.high)',
    ],
    [
      'negated ports are taken as they are',
      'inRange(want.value, port) !== want.negate',
      'inRange(want.value, port)',
    ],
    ['flags outside of the mask count', '& flags.value.mask) ===', '& 0x3f) ==='],
    [
      'TCP options are not looked for past the first',
      'if (kind === option.value)',
      'if (i > at + TCP_HEADER + 4) break;\n        if (kind === option.value)',
    ],
    ['multiport looks at sources only', "match.which !== 'sports' &&", 'false &&'],
    ['ICMP codes do not count', 'inRange(value.codes, u8(packet.bytes, at + 1))', 'true'],
    ['evil second fragments pass', 'packet.fragmentOffset === EVIL_FRAGMENT_OFFSET', 'false'],
  ],
  'node/match/host/conntrack': [
    ['RELATED is ESTABLISHED', "return 'RELATED'", "return 'ESTABLISHED'"],
    ['untracked packets are INVALID', "return 'UNTRACKED'", "return 'INVALID'"],
    ['ctstate DNAT never holds', 'ctx.connections.isDestinationTranslated(connection)', 'false'],
    ['reply ports are those of the original', 'inRange(reply.sport)', 'inRange(original.dport)'],
    ['SEEN_REPLY is ASSURED', 'return connection.seenReply', 'return connection.assured'],
  ],
  'node/ip/route-input': [
    ['rp_filter is loose', "mode === 1 || !hasAddress ? 'reversePathFilter' : null", 'null'],
    [
      'own addresses may come from outside',
      "!acceptLocal && fib.isLocal(packet.src) ? 'martianSource' : null",
      'null',
    ],
    ['loopback addresses are no martians', 'if (martian !== null)', 'if (false)'],
    [
      'prohibited routes are unreachable',
      "dropped('prohibitedRoute', 'prohibit');\n    if (route.type === 'blackhole')",
      "dropped('prohibitedRoute', 'unreachable');\n    if (route.type === 'blackhole')",
    ],
    [
      'rules by mark do not hold',
      'mark: packet.mark,\n    });\n    if (route.type === ',
      'mark: 0,\n    });\n    if (route.type === ',
    ],
  ],
  'image/set/ip-set': [
    ['nomatch matches', 'return found === MATCH', 'return true'],
    [
      'src and dst of sets are exchanged',
      "first === 'src' ? view.src : view.dst",
      "first === 'src' ? view.dst : view.src",
    ],
    [
      'lists end with their first set',
      'if (found === true)\n                return true;',
      'return found;',
    ],
    ['shorter prefixes come first', 'b - a', 'a - b'],
  ],
  'conntrack/protocol/tcp': [
    ['a closed connection is never opened anew', 'return reopens(tracking, s) ?', 'return false ?'],
    ['the third packet does not assure', 'connection.assured = true', 'undefined'],
    ['a RST as first answer leaves the entry', 'connection.dying = true', 'undefined'],
    ['mid-stream pickup whatever tcp_loose says', '!opening && !settings.tcpLoose', 'false'],
  ],
  'conntrack/protocol/tcp-window': [
    ['FIN takes no number', '(flags & TcpFlag.fin ? 1 : 0)', '0'],
    ['windows are not scaled', '(raw << sender.scale) >>> 0', 'raw'],
    [
      'acknowledgments of what was never sent pass',
      "if (!ackSeen)\n        return 'invalid';\n    if",
      'if',
    ],
  ],
  'conntrack/protocol/udp': [
    ['broken datagrams are tracked', 'if (fault !== null || broken(s))', 'if (fault !== null)'],
  ],
  'conntrack/protocol/sctp': [
    [
      'an INIT with a tag belongs to the association',
      "return tag === 0 ? 'accept' : 'invalid'",
      "return 'accept'",
    ],
  ],
  'conntrack/nat/translate': [
    ['quotes are left as they were', 'rewrite(packet, place, otherWay, opposite)', 'undefined'],
    [
      'UDP checksums stay',
      'const sum = updateSum(old, before + from, after + to)',
      'const sum = isUdp ? old : updateSum(old, before + from, after + to)',
    ],
    [
      'redirects of translated connections pass',
      'isRedirect(packet) && !mayRedirect(connection)',
      'false',
    ],
  ],
  'conntrack/fragment/defrag': [
    [
      'overlaps are put together',
      "if (hit)\n        return 'overlap'",
      "if (false)\n        return 'overlap'",
    ],
    [
      'atomic fragments keep their header',
      'return ipv6.findTransport(bytes, l3, end).fragmentHeader >= 0',
      'return false',
    ],
  ],
  'node/ip/reject': [
    ['resets acknowledge nothing', 'counted + length) >>> 0', 'length) >>> 0'],
    ['RST is answered with RST', '(old & rst) !== 0', 'false'],
  ],
  'node/ip/icmp-error': [
    [
      'errors quote everything',
      'ipBytes(packet).subarray(0, room));\n    return ipv4',
      'ipBytes(packet));\n    return ipv4',
    ],
    ['the class of errors is that of routine', ' | INTERNET_CONTROL', ''],
  ],
  'node/bridge/bridge': [
    ['frames go back by hairpin', 'to.hairpin || passage.bridgePortIn !== to', 'true'],
    ['nothing is learned', 'bridge.fdb.set(mac, { port, local: false })', 'undefined'],
  ],
  'node/bridge/bridge-netfilter': [
    ['bridged frames have no port for rules', 'packet.physIn = port.name', "packet.physIn = ''"],
    ['padding stays', 'packet.wireLength <= packet.end', 'true'],
  ],
};

export const MUTANTS: readonly Mutant[] = Object.entries(ROWS).flatMap(([file, rows]) =>
  rows.map(([name, find, plant]) => ({ name, file, find, plant })),
);
