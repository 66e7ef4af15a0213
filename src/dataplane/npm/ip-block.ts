/**
 * An ipBlock as NPM's set of networks.
 *
 * Source: azure-container-networking `npm/pkg/controlplane/translation/translatePolicy.go`
 * `ipBlockIPSet`, `ipBlockRule`; `npm/util/util.go` `IsIPV4`. ipset(8) takes no /0 in a hash:net,
 * so `0.0.0.0/0` is written as its halves; an exception equal to a half turns it to `nomatch`.
 * @module
 */
import type { Peer } from '../../policy/model.ts';
import {
  formatAddress,
  formatPrefix,
  maskAddress,
  type Prefix,
} from '../../wire/address/address.ts';
import type { CidrMember } from './set.ts';

type IpBlock = Extract<Peer, { kind: 'ipBlock' }>;

/**
 * Whether NPM takes this CIDR for IPv4. It looks for `/0` in the text, so that of all prefixes of
 * length 0 only `0.0.0.0/0` passes.
 */
export function isIpv4Block(cidr: Prefix): boolean {
  if (cidr.address.family !== 4) return false;
  return cidr.length !== 0 || formatAddress(cidr.address) === '0.0.0.0';
}

/** The members of the block's set, CIDR first. Only IPv4 prefixes; the others are not added. */
export function ipBlockMembers(block: IpBlock): CidrMember[] {
  const halves = block.cidr.length === 0 ? splitInHalves(block.cidr) : [block.cidr];
  const members = new Map<string, CidrMember>();
  for (const net of halves) {
    if (net.address.family === 4) members.set(formatPrefix(net), { net, nomatch: false });
  }
  for (const except of block.except) {
    if (except.address.family !== 4) continue;
    members.set(formatPrefix(except), { net: except, nomatch: true });
  }
  return firstOfEachNetwork(members.values());
}

function splitInHalves(cidr: Prefix): Prefix[] {
  const upper = { ...cidr.address, w3: 0x8000_0000 };
  return [
    { address: cidr.address, length: 1 },
    { address: upper, length: 1 },
  ];
}

/** ipset keeps networks without host bits; adding one a second time fails and is only logged. */
function firstOfEachNetwork(members: Iterable<CidrMember>): CidrMember[] {
  const kept = new Map<string, CidrMember>();
  for (const { net, nomatch } of members) {
    const canonical = { address: maskAddress(net.address, net.length), length: net.length };
    const key = formatPrefix(canonical);
    if (!kept.has(key)) kept.set(key, { net: canonical, nomatch });
  }
  return [...kept.values()];
}
