/**
 * The words of pcap-filter(7): named constants, keywords, protocols and ports.
 *
 * Sources: libpcap 1.10.3 `scanner.l` (constants, keywords) and `nametoaddr.c` (Ethernet types);
 * protocol names and ports as Debian 12's /etc/protocols and /etc/services give them, a selection.
 * Names are never looked up on the machine: the same expression means the same anywhere.
 * @module
 */

/** Names that stand for numbers wherever a number may stand. */
export const CONSTANTS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    icmptype: 0,
    icmpcode: 1,
    'icmp-echoreply': 0,
    'icmp-unreach': 3,
    'icmp-sourcequench': 4,
    'icmp-redirect': 5,
    'icmp-echo': 8,
    'icmp-routeradvert': 9,
    'icmp-routersolicit': 10,
    'icmp-timxceed': 11,
    'icmp-paramprob': 12,
    'icmp-tstamp': 13,
    'icmp-tstampreply': 14,
    'icmp-ireq': 15,
    'icmp-ireqreply': 16,
    'icmp-maskreq': 17,
    'icmp-maskreply': 18,
    icmp6type: 0,
    icmp6code: 1,
    'icmp6-destinationunreach': 1,
    'icmp6-packettoobig': 2,
    'icmp6-timeexceeded': 3,
    'icmp6-parameterproblem': 4,
    'icmp6-echo': 128,
    'icmp6-echoreply': 129,
    'icmp6-multicastlistenerquery': 130,
    'icmp6-multicastlistenerreportv1': 131,
    'icmp6-multicastlistenerdone': 132,
    'icmp6-routersolicit': 133,
    'icmp6-routeradvert': 134,
    'icmp6-neighborsolicit': 135,
    'icmp6-neighboradvert': 136,
    'icmp6-redirect': 137,
    'icmp6-routerrenum': 138,
    'icmp6-nodeinformationquery': 139,
    'icmp6-nodeinformationresponse': 140,
    'icmp6-ineighbordiscoverysolicit': 141,
    'icmp6-ineighbordiscoveryadvert': 142,
    'icmp6-multicastlistenerreportv2': 143,
    'icmp6-homeagentdiscoveryrequest': 144,
    'icmp6-homeagentdiscoveryreply': 145,
    'icmp6-mobileprefixsolicit': 146,
    'icmp6-mobileprefixadvert': 147,
    'icmp6-certpathsolicit': 148,
    'icmp6-certpathadvert': 149,
    'icmp6-multicastrouteradvert': 151,
    'icmp6-multicastroutersolicit': 152,
    'icmp6-multicastrouterterm': 153,
    tcpflags: 13,
    'tcp-fin': 0x01,
    'tcp-syn': 0x02,
    'tcp-rst': 0x04,
    'tcp-push': 0x08,
    'tcp-ack': 0x10,
    'tcp-urg': 0x20,
    'tcp-ece': 0x40,
    'tcp-cwr': 0x80,
  }),
);

/** Other spellings of keywords. */
export const ALIASES: ReadonlyMap<string, string> = new Map([
  ['link', 'ether'],
  ['ppp', 'ether'],
  ['slip', 'ether'],
  ['fddi', 'ether'],
  ['tr', 'ether'],
  ['wlan', 'ether'],
  ['length', 'len'],
  ['&&', 'and'],
  ['||', 'or'],
  ['!', 'not'],
  ['==', '='],
]);

/** Protocol qualifiers that are compiled. */
export const PROTOCOL_WORDS = [
  'ether',
  'ip',
  'ip6',
  'arp',
  'rarp',
  'sctp',
  'tcp',
  'udp',
  'icmp',
  'icmp6',
  'igmp',
  'igrp',
  'pim',
  'vrrp',
  'carp',
  'ah',
  'esp',
  'decnet',
  'lat',
  'sca',
  'moprc',
  'mopdl',
  'iso',
  'stp',
  'netbeui',
] as const;
export type ProtocolWord = (typeof PROTOCOL_WORDS)[number];

/** Every other keyword with a meaning here. */
export const GRAMMAR_WORDS: ReadonlySet<string> = new Set([
  ...['src', 'dst', 'host', 'net', 'mask', 'port', 'portrange', 'proto', 'less', 'greater'],
  ...[
    'broadcast',
    'multicast',
    'and',
    'or',
    'not',
    'len',
    'inbound',
    'outbound',
    'ifindex',
    'vlan',
  ],
]);

/** Keywords of pcap-filter(7) that are refused, each with the reason. */
export const REFUSED_WORDS: ReadonlyMap<string, string> = new Map([
  ...refuse('needs a table of gateways', 'gateway'),
  ...refuse('follows header chains, which no packet filter of a kernel does', 'protochain'),
  ...refuse('looks inside an encapsulation', 'mpls', 'pppoed', 'pppoes', 'geneve', 'vxlan'),
  ...refuse('is an obsolete byte test; write ether[N] instead', 'byte'),
  ...refuse('belongs to 802.11', 'type', 'subtype', 'direction', 'dir', 'ra', 'ta', 'radio'),
  ...refuse('belongs to 802.11', 'address1', 'addr1', 'address2', 'addr2'),
  ...refuse('belongs to 802.11', 'address3', 'addr3', 'address4', 'addr4'),
  ...refuse('belongs to 802.2', 'llc', 'ipx', 'atalk', 'aarp'),
  ...refuse('belongs to OSI routing', 'esis', 'es-is', 'isis', 'is-is', 'clnp', 'l1', 'l2', 'iih'),
  ...refuse('belongs to OSI routing', 'lsp', 'snp', 'csnp', 'psnp'),
  ...refuse('belongs to ATM', 'lane', 'metac', 'bcc', 'oam', 'oamf4', 'oamf4ec', 'oamf4sc', 'sc'),
  ...refuse('belongs to ATM', 'ilmic', 'vpi', 'vci', 'connectmsg', 'metaconnect'),
  ...refuse('belongs to pflog', 'on', 'ifname', 'rset', 'ruleset', 'rnr', 'rulenum', 'srnr'),
  ...refuse('belongs to pflog', 'subrulenum', 'reason', 'action'),
  ...refuse('belongs to SS7', 'fisu', 'lssu', 'lsu', 'msu', 'hfisu', 'hlssu', 'hmsu', 'sio'),
  ...refuse('belongs to SS7', 'opc', 'dpc', 'sls', 'hsio', 'hopc', 'hdpc', 'hsls'),
]);

function refuse(reason: string, ...words: readonly string[]): [string, string][] {
  return words.map((word) => [word, reason]);
}

/** Ethernet types and LLC service access points behind `ether proto NAME`. */
export const LINK_PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['ip', 0x0800],
  ['arp', 0x0806],
  ['rarp', 0x8035],
  ['ip6', 0x86dd],
  ['mopdl', 0x6001],
  ['moprc', 0x6002],
  ['decnet', 0x6003],
  ['lat', 0x6004],
  ['sca', 0x6007],
  ['loopback', 0x9000],
  ['iso', 0xfe],
  ['stp', 0x42],
  ['netbeui', 0xf0],
]);

/** Protocol numbers behind `ip proto NAME`; as getprotobyname, case counts. */
export const IP_PROTOCOLS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ip: 0,
    hopopt: 0,
    icmp: 1,
    igmp: 2,
    ipencap: 4,
    tcp: 6,
    igp: 9,
    udp: 17,
    dccp: 33,
    ipv6: 41,
    'ipv6-route': 43,
    'ipv6-frag': 44,
    rsvp: 46,
    gre: 47,
    esp: 50,
    ah: 51,
    'ipv6-icmp': 58,
    'ipv6-nonxt': 59,
    'ipv6-opts': 60,
    eigrp: 88,
    ospf: 89,
    ipip: 94,
    pim: 103,
    ipcomp: 108,
    vrrp: 112,
    l2tp: 115,
    sctp: 132,
    udplite: 136,
  }),
);

/** What a service name stands for: a port, and the protocol when only one has it. */
export interface NamedPort {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp' | null;
}

const BOTH = [
  'discard:9 echo:7 daytime:13 chargen:19 time:37 tacacs:49 domain:53 kerberos:88',
  'sunrpc:111 portmapper:111 snmp:161 snmp-trap:162 snmptrap:162 ldap:389 https:443',
  'ldaps:636 domain-s:853 openvpn:1194 radius:1812 radius-acct:1813 nfs:2049 sip:5060',
  'sip-tls:5061',
];
const TCP = [
  'ftp-data:20 ftp:21 ssh:22 telnet:23 smtp:25 whois:43 gopher:70 finger:79 http:80 www:80',
  'pop3:110 auth:113 nntp:119 epmap:135 netbios-ssn:139 imap2:143 imap:143 bgp:179',
  'microsoft-ds:445 submissions:465 login:513 shell:514 printer:515 submission:587',
  'rsync:873 ftps:990 imaps:993 pop3s:995 socks:1080 ms-sql-s:1433 mysql:3306',
  'ms-wbt-server:3389 xmpp-client:5222 postgresql:5432 amqps:5671 x11:6000 redis:6379',
  'http-alt:8080 git:9418',
];
const UDP = [
  'bootps:67 bootpc:68 tftp:69 ntp:123 netbios-ns:137 netbios-dgm:138 isakmp:500 syslog:514',
  'route:520 mdns:5353 ipsec-nat-t:4500',
];

export const PORTS: ReadonlyMap<string, NamedPort> = new Map([
  ...ports(BOTH, null),
  ...ports(TCP, 'tcp'),
  ...ports(UDP, 'udp'),
]);

function ports(lines: readonly string[], protocol: NamedPort['protocol']): [string, NamedPort][] {
  return lines
    .join(' ')
    .split(' ')
    .map((entry) => {
      const [name = '', port = ''] = entry.split(':');
      return [name, { port: Number(port), protocol }];
    });
}
