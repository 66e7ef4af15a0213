/**
 * How a resolver turns a name into addresses: the search list and `ndots` of its resolv.conf, tried
 * as resolv.conf(5) says, and how long the answer is, since a long one is cut and asked for again
 * over TCP.
 *
 * Truth: resolv.conf(5), RFC 1035 sections 4.1, 4.2.1; glibc and musl go on through the list where
 * a name has no record of the wanted type; CoreDNS compresses what does not fit (`Msg.Truncate`).
 * @module
 */
import type { Address, Family } from '../../wire/address/address.ts';
import type { ResolvConf } from './resolv-conf.ts';
import type { Answer, ClusterZone } from './zone.ts';

/** CNAMEs that a server follows before it gives up. */
const MOST_ALIASES = 8;

export interface Resolution {
  /** The names asked, in order; the last one gave the answer. */
  readonly asked: readonly string[];
  readonly addresses: readonly Address[];
  /** `elsewhere`: a server that nobody emulates would have to say; `noName`: there is none. */
  readonly end: 'found' | 'elsewhere' | 'noName';
  /** Bytes of the longest answer. */
  readonly bytes: number;
}

/** The names that a resolver tries for `host`, in order. */
export function candidates(
  host: string,
  { searches, ndots }: Pick<ResolvConf, 'searches' | 'ndots'>,
): readonly string[] {
  if (host.endsWith('.')) return [host.slice(0, -1)];
  const searched = searches.map((suffix) => `${host}.${suffix}`);
  const dots = host.split('.').length - 1;
  return dots >= ndots ? [host, ...searched] : [...searched, host];
}

/** Resolve a name as a resolver with this resolv.conf does, to addresses of these families. */
export function resolve(
  zone: ClusterZone,
  host: string,
  conf: Pick<ResolvConf, 'searches' | 'ndots'>,
  families: readonly Family[],
): Resolution {
  const asked: string[] = [];
  for (const name of candidates(host, conf)) {
    asked.push(name);
    const found = families.map((family) => follow(zone, name, family));
    const addresses = found.flatMap(({ answer }) =>
      answer.kind === 'addresses' ? answer.addresses : [],
    );
    const bytes = Math.max(0, ...found.map((f) => f.bytes));
    if (addresses.length > 0) return { asked, addresses, end: 'found', bytes };
    const isElsewhere = found.some(({ answer }) => answer.kind === 'elsewhere');
    if (isElsewhere) return { asked, addresses: [], end: 'elsewhere', bytes };
  }
  return { asked, addresses: [], end: 'noName', bytes: 0 };
}

/** Header, and type and class of the question. */
const FIXED_BYTES = 12 + 4;
/** A record whose name is a pointer: pointer, type, class, TTL, length. */
const RECORD_BYTES = 2 + 10;

function nameBytes(name: string): number {
  return name.length + 2;
}

/** The answer to a question, aliases followed, and the length of the message. */
function follow(
  zone: ClusterZone,
  name: string,
  family: Family,
): { readonly answer: Answer; readonly bytes: number } {
  let at = name;
  let bytes = FIXED_BYTES + nameBytes(name);
  for (let i = 0; i < MOST_ALIASES; i++) {
    const answer = zone.answer(at, family === 4 ? 'A' : 'AAAA');
    if (answer.kind === 'addresses') {
      bytes += answer.addresses.length * (RECORD_BYTES + (family === 4 ? 4 : 16));
    }
    if (answer.kind !== 'alias') return { answer, bytes };
    at = answer.name;
    bytes += RECORD_BYTES + nameBytes(at);
  }
  return { answer: { kind: 'noName' }, bytes };
}
