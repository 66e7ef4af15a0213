/**
 * Expressions whose counts must equal tcpdump's: each primitive, each qualifier, each operator, on
 * values that occur in the corpus.
 * @module
 */
const PRIMITIVES = [
  ...[
    'ip',
    'ip6',
    'arp',
    'rarp',
    'tcp',
    'udp',
    'icmp',
    'icmp6',
    'sctp',
    'igmp',
    'esp',
    'ah',
    'pim',
  ],
  ...['vrrp', 'not ip', 'not tcp', '! udp', 'stp', 'iso', 'decnet', 'lat'],
  ...[
    'ip proto 47',
    'ip proto gre',
    'ip proto \\tcp',
    'ip6 proto 58',
    'ip6 proto \\udp',
    'proto 17',
  ],
  ...[
    'proto \\icmp',
    'ip proto 4',
    'ip proto 300',
    'ip6 proto 44',
    'proto ipv6-icmp',
    'ip proto 33',
  ],
  ...['ether proto 0x800', 'ether proto \\ip6', 'ether proto \\arp', 'ether proto 0x8864'],
  ...['ether proto 0x8100', 'ether proto \\stp', 'ether proto 0x42', 'ether proto 2048 or arp'],
  ...[
    'broadcast',
    'ether broadcast',
    'multicast',
    'ether multicast',
    'ip multicast',
    'ip6 multicast',
  ],
  ...['inbound', 'outbound', 'ifindex 2', 'less 64', 'greater 1000', 'len > 100', 'len = 66'],
];
const ADDRESSES = [
  ...[
    'host 127.0.0.1',
    'src host 10.10.10.10',
    'dst host 52.43.228.156',
    'src 10.0.0.1',
    'dst 10.1.2.5',
  ],
  ...[
    'net 10',
    'net 10.0',
    'net 192.168',
    'net 10.42.0.0/16',
    'src net 10.0.0.0/8',
    'dst net 172.16/12',
  ],
  ...['net 192.168.0.0 mask 255.255.0.0', 'net 224.0.0.0/4', 'not net 10', 'host 10', 'host 10.1'],
  ...['src or dst host 127.0.0.1', 'src and dst net 10', 'dst or src net 192.168', 'net 0.0.0.0/0'],
  ...[
    'arp host 192.168.1.1',
    'arp net 192.168',
    'arp src net 10',
    'rarp host 10.0.0.1',
    'ip net 10',
  ],
  ...[
    'ip host 127.0.0.1',
    'ip6 host ::1',
    'net fe80::/10',
    'src net 2001::/16',
    'ip6 net ff00::/8',
  ],
  ...['host ff02::1', 'dst net ff02::/16', 'src and dst net fe80::/16', 'net ::/0', 'not net ::/0'],
  ...['ether host ee:ee:ee:ee:ee:ee', 'ether src ee:ee:ee:ee:ee:ee', 'ether dst ff:ff:ff:ff:ff:ff'],
  ...['ether host ffffffffffff', 'ether dst ff-ff-ff-ff-ff-ff', 'not ether src eeee.eeee.eeee'],
  ...['ether src and dst host 0:0:0:0:0:0', 'ether dst 1:0:5e:0:0:fb'],
];
const PORTS = [
  ...['port 80', 'port http', 'tcp port 443', 'udp port 53', 'udp port domain', 'port 80 or 443'],
  ...[
    'tcp port 80 or 443 or 22',
    'not port 80',
    'not port 53 and udp',
    'src port 53',
    'dst port 2049',
  ],
  ...['src and dst port 2049', 'src or dst port 179', 'portrange 1-1023', 'tcp portrange 20-25'],
  ...['udp src portrange 1024-65535', 'dst portrange 6000-5000', 'portrange 53-53', 'sctp port 80'],
  ...['port 3306', 'port mysql', 'port 8472', 'port 4789', 'port 6081', 'not (tcp port 80 or 443)'],
  ...[
    'port (80 or 443)',
    'tcp dst port (22 or 25 or not 80)',
    'port 53 and not 80',
    'port 0',
    'port ssh',
  ],
  ...['tcp and port 80 or port 53', 'tcp and (port 80 or port 53)', 'port 0x50', 'port 0120'],
];
const ARITHMETIC = [
  ...['tcp[tcpflags] & tcp-syn != 0', 'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0', 'tcp[13] = 2'],
  ...['tcp[tcpflags] == tcp-syn|tcp-ack', 'tcp[tcpflags] & (tcp-rst|tcp-ack) == (tcp-rst|tcp-ack)'],
  ...[
    'icmp[icmptype] = icmp-echo',
    'icmp[icmptype] != icmp-echo and icmp[icmptype] != icmp-echoreply',
  ],
  ...[
    'icmp[icmptype] = icmp-unreach and icmp[icmpcode] = 3',
    'icmp6[icmp6type] = 135',
    'icmp6[0] >= 128',
  ],
  ...['icmp6[icmp6type] == icmp6-neighboradvert', 'ip[0] & 0xf != 5', 'ip[6:2] & 0x1fff = 0'],
  ...[
    'ip[6:2] & 0x1fff != 0',
    'ip[8] < 64',
    'ip[2:2] > 576',
    'ip[16] >= 224',
    'ip[16:4] = 0x7f000001',
  ],
  ...['ether[0] & 1 = 0 and ip[16] >= 224', 'ether[12:2] = 0x0800', 'link[0:4] = 0x02000000'],
  ...[
    'ip6[6] = 58',
    'ip6[40] = 128',
    'ip6[4:2] > 100',
    'udp[4:2] > 100',
    'udp[0:2] = 53',
    'sctp[0:2] > 1024',
  ],
  ...[
    'tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420',
    'igmp[0] = 0x11',
    'arp[6:2] = 1',
    'arp[7] == 2',
  ],
  ...[
    'tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)',
    'tcp[2:2] % 2 = 1',
  ],
  ...[
    'ip[2:2] / 100 = 15',
    'len - ip[2:2] > 14',
    '-1 = 0xffffffff',
    'len * 2 > 200',
    'ip[4:2] ^ 0xffff < 100',
  ],
  ...[
    '1 + tcp[13] = 3',
    'tcp[2000] = 0',
    'not tcp[2000] = 0',
    'not ether[70] = 0',
    'ip[9] << 1 = 12',
  ],
  ...['ip[0] / (ip[1] & 1) = 1', 'not ip[0] % (ip[1] & 4) = 1', 'udp[8:4] & 0xff000000 >> 24 = 8'],
  ...[
    '(tcp[13] & 2) != 0',
    '(tcp[13] & 2 != 0) or udp',
    'tcp[0:2] + tcp[2:2] > 50000',
    '2 - 1 - 1 = 0',
  ],
  ...[
    'ip[1] + 2 * 3 % 4 > 2',
    'tcp[12:1] >> 4 * 1 > 5',
    'ether[6:4] = ether[0:4]',
    'len > 60 and len < 70',
  ],
];
const LAYERS = [
  ...[
    'vlan',
    'vlan 100',
    'vlan and ip',
    'vlan and tcp port 443',
    'vlan and vlan',
    'vlan and vlan and ip',
  ],
  ...[
    'vlan and vlan and vlan and tcp',
    'vlan or ip',
    'ip or vlan',
    'not vlan',
    'vlan and host 10.0.0.1',
  ],
  ...['vlan and ip6', 'vlan and udp[0:2] = 53', 'vlan and ip[9] = 6', 'tcp or (vlan and tcp)'],
  ...['vlan and not ip', 'vlan 0xfff', 'vlan (5)', '(vlan and ip) or ip'],
];
const COMBINED = [
  ...[
    'tcp or udp and port 53',
    'not (tcp or udp)',
    'not not tcp',
    'ip && tcp || udp',
    '!tcp && !udp',
  ],
  ...[
    'ip and not (tcp or udp or icmp)',
    'host 10.42.0.10 and port 80',
    'net 10 and not net 192.168',
  ],
  ...[
    'host (10.0.0.1 or 127.0.0.1)',
    'src net 10 or dst net 10',
    'net 10 or 192',
    'net 10 and not 192.168',
  ],
  ...[
    'icmp or icmp6 or arp',
    'tcp and not port (80 or 443)',
    'less 100 and greater 60',
    'not ip and not ip6',
  ],
  ...['net 10 and (port 80 or 443) or 192', 'ip6 and not icmp6', '((((tcp))))'],
];

export const EXPRESSIONS: readonly string[] = [
  ...PRIMITIVES,
  ...ADDRESSES,
  ...PORTS,
  ...ARITHMETIC,
  ...LAYERS,
  ...COMBINED,
];
