/**
 * Virtual servers as `ipvsadm-save -n` prints them, and as they are read back:
 *
 *   -A -t 10.0.0.1:80 -s rr -p 10800
 *   -a -t 10.0.0.1:80 -r 10.240.0.5:8080 -m -w 1
 *   -A -u [fd00::a]:53 -s mh -b mh-port
 *
 * Timeouts are no part of that text: where they are not the kernel's own, a comment holds them as
 * `ipvsadm --list --timeout` prints them, which is read too.
 *
 * Source: ipvsadm 1.31, ipvsadm.c `print_service_entry`, `parse_service`, `service_to_port`.
 * Refused by name: tunnels and direct routing (`-i`, `-g`), marks (`-f`), one-packet scheduling
 * (`-o`), persistence engines (`--pe`), thresholds (`-x`, `-y`), schedulers that are not emulated
 * (fo, ovf).
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import {
  DEFAULT_VIRTUAL_TIMEOUTS,
  type RealServer,
  SCHEDULER_FLAGS,
  SCHEDULERS,
  type SchedulerFlag,
  type VirtualServer,
  type VirtualServers,
  type VirtualTimeouts,
} from '../netfilter/virtual-server.ts';
import { type Address, bits, formatAddress, ipv4, parseAddress } from '../wire/address/address.ts';
import { Protocol } from '../wire/protocol.ts';
import type { Plan } from './model.ts';

const SWITCHES = [
  { number: Protocol.tcp, switches: ['-t', '--tcp-service'] },
  { number: Protocol.udp, switches: ['-u', '--udp-service'] },
  { number: Protocol.sctp, switches: ['--sctp-service'] },
] as const;

/** `ipvsadm -p` without a number (IPVS_SVC_PERSISTENT_TIMEOUT). */
const DEFAULT_PERSISTENCE = 360;

/** Print a plan's virtual servers; nothing when it has none. */
export function printVirtualServers(plan: Pick<Plan, 'virtualServers'>): string {
  const { virtualServers } = plan;
  if (virtualServers === undefined) return '';
  const { servers, timeouts } = virtualServers;
  const { tcp, tcpFin, udp } = timeouts;
  const own = DEFAULT_VIRTUAL_TIMEOUTS;
  const isUsual = tcp === own.tcp && tcpFin === own.tcpFin && udp === own.udp;
  const head = isUsual ? [] : [`# Timeout (tcp tcpfin udp): ${tcp} ${tcpFin} ${udp}`];
  return [...head, ...servers.flatMap(serverLines)].map((line) => `${line}\n`).join('');
}

function serverLines(server: VirtualServer): readonly string[] {
  const name = formatVirtualName(server);
  return [
    formatVirtualServer(server),
    ...server.realServers.map((real) => {
      return `-a ${name} -r ${formatEnd(real)} -m -w ${real.weight}`;
    }),
  ];
}

/** The line that makes the virtual server. */
export function formatVirtualServer(server: VirtualServer): string {
  const { persistence, flags = [], address } = server;
  const parts = [`-A ${formatVirtualName(server)} -s ${server.scheduler}`];
  if (persistence !== undefined) parts.push(`-p ${persistence.seconds}`);
  if (persistence !== undefined && persistence.bits !== bits(address.family)) {
    parts.push(`-M ${address.family === 4 ? dottedMask(persistence.bits) : persistence.bits}`);
  }
  if (flags.length > 0) parts.push(`-b ${flags.join(',')}`);
  return parts.join(' ');
}

/** `-t 10.0.0.1:80`. */
export function formatVirtualName(
  server: Pick<VirtualServer, 'protocol' | 'address' | 'port'>,
): string {
  const found = SWITCHES.find(({ number }) => number === server.protocol);
  return `${found?.switches[0] ?? ''} ${formatEnd(server)}`;
}

function formatEnd({ address, port }: { readonly address: Address; readonly port: number }) {
  const text = formatAddress(address);
  return address.family === 6 ? `[${text}]:${port}` : `${text}:${port}`;
}

function dottedMask(length: number): string {
  return formatAddress(ipv4(length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0));
}

interface Draft {
  readonly server: Omit<VirtualServer, 'realServers'>;
  readonly realServers: RealServer[];
}

/**
 * Read `ipvsadm-save -n` (or what is given to ipvsadm-restore).
 *
 * @throws UserError with everything that is wrong or not emulated
 */
export function parseVirtualServers(text: string, file: string): VirtualServers {
  const faults: Diagnostic[] = [];
  const drafts = new Map<string, Draft>();
  let timeouts = DEFAULT_VIRTUAL_TIMEOUTS;
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    const given = timeoutsOf(line);
    if (given !== null) timeouts = given;
    if (given !== null || line === '' || line.startsWith('#')) return;
    try {
      readLine(line.split(/\s+/), drafts);
    } catch (error) {
      if (!(error instanceof LineFault)) throw error;
      const { message, found = line, accepted } = error;
      const more = accepted === undefined ? {} : { accepted };
      faults.push({ code: 'PLAN_VIRTUAL_SERVER', file, line: index + 1, message, found, ...more });
    }
  });
  if (faults.length > 0) throw new UserError(faults);
  const servers = [...drafts.values()].map(({ server, realServers }) => ({
    ...server,
    realServers,
  }));
  return { servers, timeouts };
}

function timeoutsOf(line: string): VirtualTimeouts | null {
  const m = /^(?:# )?Timeout \(tcp tcpfin udp\): (\d+) (\d+) (\d+)$/.exec(line);
  return m ? { tcp: Number(m[1]), tcpFin: Number(m[2]), udp: Number(m[3]) } : null;
}

/** What is wrong with a line; caught by its reader. */
class LineFault extends Error {
  readonly found: string | undefined;
  readonly accepted: string | undefined;

  constructor(message: string, found?: string, accepted?: string) {
    super(message);
    this.found = found;
    this.accepted = accepted;
  }
}

function readLine(words: readonly string[], drafts: Map<string, Draft>): void {
  const [command, ...rest] = words;
  const options = readOptions(rest);
  const server = serverOf(options);
  const name = formatVirtualName(server);
  if (command === '-A' || command === '--add-service') {
    if (drafts.has(name)) throw new LineFault('the virtual server is made twice', name);
    drafts.set(name, {
      server: { ...server, ...serviceOptions(options, server) },
      realServers: [],
    });
  } else if (command === '-a' || command === '--add-server') {
    const draft = drafts.get(name);
    if (draft === undefined) throw new LineFault('a real server of no virtual server', name);
    draft.realServers.push(realServerOf(options, server, draft));
  } else throw new LineFault('this command is not read', command, '-A, -a');
}

type Options = ReadonlyMap<string, string>;

const LONG: Readonly<Record<string, string>> = {
  '--scheduler': '-s',
  '--persistent': '-p',
  '--netmask': '-M',
  '--sched-flags': '-b',
  '--real-server': '-r',
  '--masquerading': '-m',
  '--weight': '-w',
  '--tcp-service': '-t',
  '--udp-service': '-u',
};
const WITH_VALUE: ReadonlySet<string> = new Set([
  ...['-t', '-u', '--sctp-service', '-s', '-M', '-b', '-r', '-w'],
]);
const NOT_EMULATED: Readonly<Record<string, string>> = {
  '-i': 'forwarding through a tunnel',
  '--ipip': 'forwarding through a tunnel',
  '-g': 'direct routing',
  '--gatewaying': 'direct routing',
  '-f': 'a virtual server of a mark',
  '--fwmark-service': 'a virtual server of a mark',
  '-o': 'one-packet scheduling',
  '--ops': 'one-packet scheduling',
  '--pe': 'a persistence engine',
  '-x': 'a threshold of connections',
  '-y': 'a threshold of connections',
};

function readOptions(words: readonly string[]): Options {
  const options = new Map<string, string>();
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    const option = LONG[word] ?? word;
    const refused = NOT_EMULATED[option];
    if (refused !== undefined) throw new LineFault(`${refused} is not emulated`, word, '-m');
    if (WITH_VALUE.has(option)) options.set(option, words[++i] ?? '');
    else if (option === '-p') {
      const hasValue = /^\d+$/.test(words[i + 1] ?? '');
      options.set('-p', hasValue ? (words[++i] ?? '') : String(DEFAULT_PERSISTENCE));
    } else if (option === '-m') options.set(option, '');
    else throw new LineFault('this option is not read', word);
  }
  return options;
}

function serverOf(options: Options): Draft['server'] {
  for (const { number, switches } of SWITCHES) {
    const written = options.get(switches[0]);
    if (written === undefined) continue;
    return { protocol: number, ...endOf(written), scheduler: 'wlc' };
  }
  throw new LineFault('a line names a virtual server', undefined, '-t, -u, --sctp-service');
}

function endOf(text: string): { readonly address: Address; readonly port: number } {
  const m = /^(?:\[([^\]]+)\]|([\d.]+)):(\d{1,5})$/.exec(text);
  const address = parseAddress(m?.[1] ?? m?.[2] ?? '');
  const port = Number(m?.[3] ?? 0);
  if (address === null || port < 1 || port > 65_535) {
    throw new LineFault('not an address and port in numbers', text, 'A.B.C.D:PORT, [V6]:PORT');
  }
  return { address, port };
}

function serviceOptions(
  options: Options,
  { address }: Draft['server'],
): Pick<VirtualServer, 'scheduler' | 'flags' | 'persistence'> {
  const scheduler = oneOf(SCHEDULERS, options.get('-s') ?? 'wlc', 'scheduler');
  const flags = (options.get('-b')?.split(',') ?? []).map((flag): SchedulerFlag => {
    return oneOf(SCHEDULER_FLAGS, flag, 'flag of a scheduler');
  });
  const seconds = options.get('-p');
  const mask = options.get('-M');
  const length = mask === undefined ? bits(address.family) : maskLength(mask, address);
  const persistence =
    seconds === undefined ? {} : { persistence: { seconds: Number(seconds), bits: length } };
  return { scheduler, ...(flags.length === 0 ? {} : { flags }), ...persistence };
}

function maskLength(text: string, { family }: Address): number {
  const mask = family === 4 ? parseAddress(text) : null;
  const lengths = Array.from({ length: bits(family) + 1 }, (_, i) => i);
  const found = lengths.find((length) => {
    return mask === null ? String(length) === text : dottedMask(length) === text;
  });
  if (found === undefined) throw new LineFault('not a mask', text);
  return found;
}

function realServerOf(options: Options, server: Draft['server'], draft: Draft): RealServer {
  const end = endOf(options.get('-r') ?? '');
  if (end.address.family !== server.address.family) {
    throw new LineFault('a real server of the other family needs a tunnel', options.get('-r'));
  }
  // Without a word of how, ipvsadm takes direct routing.
  if (!options.has('-m')) throw new LineFault('direct routing is not emulated', undefined, '-m');
  const weight = options.get('-w') ?? '1';
  if (!/^\d{1,5}$/.test(weight) || Number(weight) > 65_535) {
    throw new LineFault('not a weight', weight, '0–65535');
  }
  if (draft.realServers.some((other) => formatEnd(other) === formatEnd(end))) {
    throw new LineFault('the real server is there twice', options.get('-r'));
  }
  return { ...end, weight: Number(weight) };
}

function oneOf<const T extends string>(all: readonly T[], text: string, what: string): T {
  const found = all.find((one) => one === text);
  if (found === undefined) {
    throw new LineFault(`this ${what} is not emulated`, text, all.join(', '));
  }
  return found;
}
