/**
 * Which real server a new connection gets.
 *
 * What most schedulers go by is not in any capture: whose turn it is, how many connections are
 * open, in which order servers were added. So the choice is drawn, each server as probable as its
 * part of all connections in the long run, and every server that may be chosen is a course of its
 * own. Hashes are drawn by what they are made of: what has the same hash gets the same server.
 *
 * Truth: net/netfilter/ipvs/ip_vs_{rr,wrr,lc,wlc,lblc,lblcr,sed,nq,dh,sh,mh}.c (Linux 6.1): weight
 * 0 takes nobody; rr, lc and dh do not weigh; sh and dh find nobody where the hash leads to a
 * server of weight 0, unless `sh-fallback` looks further.
 * @module
 */
import type { RealServer, VirtualServer } from '../../netfilter/virtual-server.ts';
import { addressKey } from '../../wire/address/address.ts';
import type { Draws } from '../match/memory/draws.ts';
import type { End } from './end.ts';

const UNWEIGHED: ReadonlySet<string> = new Set(['rr', 'lc', 'dh']);

/** Choose; null when there is nobody. */
export function chooseReal(server: VirtualServer, draws: Draws): RealServer | null {
  const { scheduler, flags = [], realServers } = server;
  const isHash = scheduler === 'dh' || scheduler === 'sh';
  const finds = (real: RealServer) => real.weight > 0;
  // Without a fallback servers of weight 0 keep their place in the hash.
  const keepsAll = isHash && !flags.includes('sh-fallback');
  const places = keepsAll ? realServers : realServers.filter(finds);
  const share = (real: RealServer) => {
    return UNWEIGHED.has(scheduler) ? 1 : Math.max(1, real.weight);
  };
  let left = places.reduce((sum, real) => sum + share(real), 0);
  for (const [i, real] of places.entries()) {
    const isLast = i === places.length - 1;
    if (isLast || draws.chance(server, share(real) / left)) return finds(real) ? real : null;
    left -= share(real);
  }
  return null;
}

/** What the choice depends on: packets that have it in common get the same; null: nothing. */
export function hashedPart(server: VirtualServer, client: End): string | null {
  const { scheduler, flags = [] } = server;
  const name = `${server.protocol} ${addressKey(server.address)} ${server.port}`;
  switch (scheduler) {
    case 'dh':
      return `dh ${name}`;
    case 'sh':
    case 'mh': {
      const withPort = flags.includes(`${scheduler}-port`);
      return `${scheduler} ${name} ${addressKey(client.address)} ${withPort ? client.port : ''}`;
    }
    default:
      return null;
  }
}
