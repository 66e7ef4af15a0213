/**
 * IP sets of every kind this kernel has and plans can say, over the addresses of a place.
 * @module
 */
import type { IpSet, SetMember, SetType } from '../../../../../src/netfilter/ip-set.ts';
import { type Family, maskAddress, type Prefix } from '../../../../../src/wire/address/address.ts';
import { address } from '../../../../support/packets.ts';
import type { Draw } from '../../rule-space.ts';
import { PORTS, PROTOCOLS, type Words } from './words.ts';

const TYPES: readonly SetType[] = ['hash:ip', 'hash:net', 'hash:ip,port', 'hash:net,port'];

export function drawPrefix(draw: Draw, words: Words, family: Family, least = 0): Prefix {
  const lengths =
    family === 4 ? [0, 1, 8, 16, 24, 30, 31, 32, 32] : [0, 1, 16, 48, 64, 127, 128, 128];
  const length = draw.of(lengths.filter((n) => n >= least));
  return { address: maskAddress(address(draw.of(words.addresses[family])), length), length };
}

/** Sets `TYPE-FAMILY`, one of each kind, and a list of some of them. */
export function drawSets(draw: Draw, words: Words, family: Family): IpSet[] {
  const sets = TYPES.map((type): IpSet => {
    const members = new Map<string, SetMember>();
    for (let i = draw.below(7); i > 0; i--) {
      const member = drawMember(draw, words, type, family);
      members.set(JSON.stringify({ ...member, nomatch: false }), member);
    }
    const name = setName(type, family);
    return { name, type, family, maxElements: 65536, members: [...members.values()] };
  });
  const chosen = sets.filter(() => draw.chance(55));
  const members = chosen.map(({ name }) => ({ kind: 'set', set: name }) as const);
  return [
    ...sets,
    { name: setName('list:set', family), type: 'list:set', maxElements: 8, members },
  ];
}

export function setName(type: SetType, family: Family): string {
  return `${type.replaceAll(/[:,]/g, '-')}-${family}`;
}

function drawMember(draw: Draw, words: Words, type: SetType, family: Family): SetMember {
  const protocol = draw.of(PROTOCOLS[family]);
  const isIcmp = protocol === 1 || protocol === 58;
  const port = protocol === 47 ? 0 : isIcmp ? draw.of([0x800, 0x8000, 0x301]) : draw.of(PORTS);
  const nomatch = draw.chance(30);
  const one = address(draw.of(words.addresses[family]));
  switch (type) {
    case 'hash:net':
      return { kind: 'net', net: drawPrefix(draw, words, family, 1), nomatch };
    case 'hash:ip,port':
      return { kind: 'ip,port', address: one, protocol, port };
    case 'hash:net,port':
      return { kind: 'net,port', net: drawPrefix(draw, words, family, 1), protocol, port, nomatch };
    default:
      return { kind: 'ip', address: one };
  }
}
