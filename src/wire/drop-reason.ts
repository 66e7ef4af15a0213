/**
 * Why a packet died, or why it cannot be judged: one closed, append-only list of symbols, each
 * with the sentence that reports print.
 *
 * Kernel symbols (SKB_DROP_REASON_*, include/net/dropreason-core.h) were the model; names are ours.
 * @module
 */

export const DROP_REASONS = {
  policyDenied: 'a rule that a NetworkPolicy caused dropped it',
  ruleDenied: 'a rule of the node (not of a NetworkPolicy) dropped it',
  rejected: 'a rule refused it and answered',
  chainPolicy: 'the built-in chain ended and its policy is DROP',
  ctInvalid: 'a rule dropped it because connection tracking calls it INVALID',
  ctClash: 'another connection already owns its tuple',
  ctFull: 'the connection table is full',
  masqueradeMoved: 'it leaves by another device than the one its masquerade was made for',
  natPortsExhausted: 'every port that it may leave with is taken towards this destination',
  natExhausted: 'no free port or address to translate to',
  virtualConnectionEnded:
    'its connection to a real server was over: the next packet, which its sender repeats, opens one',
  noRoute: 'no route to its destination',
  noNeighbor: 'no neighbour answers for its next hop',
  blackholeRoute: 'a blackhole route swallows it',
  prohibitedRoute: 'a prohibit or unreachable route refuses it',
  reversePathFilter: 'rp_filter: its source is not reached through the interface it came by',
  martianSource: 'its source address can not come from there',
  martianDestination: 'its destination address can not be forwarded to',
  forwardingDisabled: 'the host does not forward (ip_forward=0)',
  ttlExpired: 'its TTL ran out',
  tooBig: 'it is larger than the MTU and must not be fragmented',
  otherHost: 'the frame is addressed to another host',
  sameBridgePort: 'the bridge does not send a frame back by the port it came from (no hairpin)',
  bridgeRule: 'an ebtables rule dropped the frame',
  noSuchDevice: 'its interface is missing or down',
  notForMe: 'nobody at the place it reached owns its address',
  unknownEtherType: 'no protocol handler for its Ethernet type',
  fragmentTimeout: 'its other fragments never came',
  fragmentOverlap: 'its fragments overlap',
  fragmentMalformed: 'a fragment has an impossible length or place',
  sourceNatOnly: 'hosts do not accept it as sent',
  ethernetTruncated: 'the frame ends inside its link header',
  vlanTruncated: 'the frame ends inside a VLAN tag',
  arpMalformed: 'not a whole Ethernet/IPv4 ARP packet',
  ipv4Truncated: 'the packet ends inside its IPv4 header',
  ipv4BadVersion: 'the version field is not 4',
  ipv4BadHeaderLength: 'the IPv4 header length is below 20 or past the end',
  ipv4BadTotalLength: 'the IPv4 total length is below the header or past the frame',
  ipv4BadChecksum: 'the IPv4 header checksum is wrong',
  ipv4BadOptions: 'an IPv4 option is malformed',
  ipv6Truncated: 'the packet ends inside its IPv6 header',
  ipv6BadVersion: 'the version field is not 6',
  ipv6BadPayloadLength: 'the IPv6 payload length runs past the frame',
  ipv6BadExtension: 'an IPv6 extension header is malformed',
  tcpTruncated: 'the segment ends inside its TCP header',
  tcpBadOffset: 'the TCP data offset is below 5 or past the end',
  udpTruncated: 'the datagram ends inside its UDP header',
  udpBadLength: 'the UDP length is below 8 or past the end',
  sctpTruncated: 'the packet ends inside its SCTP header',
  icmpTruncated: 'the message ends inside its ICMP header',
  greTruncated: 'the packet ends inside its GRE header',
  noProxyRule: 'no rule of the proxy holds for its host and path: the proxy answers itself',
  proxySourceDenied: 'the proxy refuses clients of the address that it sees (403)',
  noProxyBackend: 'the proxy has nobody ready to send it to',
  internalLoop: 'it was forwarded more often than any real path is long',
} as const;

export type DropReason = keyof typeof DROP_REASONS;

/** Why no verdict can be given; such packets are `unknown`, never allowed. */
export const UNKNOWN_REASONS = {
  addressUnowned: 'an address of the cluster range that no pod or node owns',
  ambiguousAddress: 'an address that several objects own',
  notInCluster: 'neither end is in the cluster: it never meets an emulated node',
  notIp: 'not an IP or ARP frame',
  unsupportedEncapsulation: 'an encapsulation that is not emulated',
  unsupportedProtocol: 'a protocol that the rules on its path can not be judged for',
  translatedSender: 'its sender is behind a translation that the capture does not show',
  headerCut: 'the capture cut it (snaplen) inside a header that a rule needs',
  midstream: 'its connection was open before the capture and its opening can not be settled',
  loopback: 'traffic of a host with itself over its loopback',
  multicast: 'multicast and broadcast beyond the local link are not emulated',
  linkLocal: 'link-local or unspecified addresses: it stays on a link that is not emulated',
  unsupportedRule: 'a match that a packet can not answer decided',
  unsupportedLinkType: 'a link type that is not read',
  dumpIncomplete: 'something that the dump of a node does not hold decided',
  nameElsewhere: 'a name that only a server outside the cluster can resolve',
  noSuchName: 'the cluster has no such name: nobody is asked anything',
  dnsOnNode: 'a cache on its node answers for names, which is not emulated',
  dnsAltered: 'a plugin of the DNS server (rewrite, hosts, template …) may answer otherwise',
  dnsTruncated:
    'the answer does not fit into a datagram, and TCP is refused: resolvers differ in what they do',
  dnsNotDescribed: 'policies isolate the pod that asks, and nobody described its DNS server',
  proxyUnknown: 'nobody knows who serves the Ingress that names the host',
  proxyAddressUnknown: 'the proxy that serves the host has no address that is known',
  proxyRouteUnknown: 'an annotation of its Ingress routes by more than host and path',
  proxyNotOffered: 'the platform has, or we emulate, no such proxy on this network',
  endpointsUnknown: 'the Service of the API server, whose EndpointSlice was not given',
  undocumented: 'what its platform does with it is documented nowhere',
  nameDecides: 'a name inside HTTP or TLS decides, which no opening packet shows',
  noSender: 'its sender can not be placed on any emulated host',
} as const;

export type UnknownReason = keyof typeof UNKNOWN_REASONS;

/**
 * What a header's `check` answers when it can not be read: the packet is malformed, or whole on the
 * wire but cut by the capture inside this header.
 */
export type HeaderFault = DropReason | 'headerCut';

/** Whether a text is one of our reasons. */
export function isReason(text: string): text is DropReason | UnknownReason {
  return text in DROP_REASONS || text in UNKNOWN_REASONS;
}

/** Every reason as the sentence that reports print. */
export function describeReason(reason: DropReason | UnknownReason): string {
  return reason in DROP_REASONS
    ? DROP_REASONS[reason as DropReason]
    : UNKNOWN_REASONS[reason as UnknownReason];
}
