import fc from 'fast-check';
import t from 'tap';
import { toIp } from '../../src/capture/link/linktype.ts';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';

const IP = '45000014000000004011000000000000 7f000001';
const MACS = '020000000002 020000000001';

function record(text: string, linkType: number, cut = 0): PacketRecord {
  const data = new Uint8Array(Buffer.from(text.replace(/\s/g, ''), 'hex'));
  const iface = { id: 0, file: 'made', linkType, snapLength: 0 };
  return { frame: 1, iface, timeNs: 0n, data, wireLength: data.length + cut };
}

function mac(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('hex');
}

t.test('the network header is found behind each link header', async (t) => {
  const rows: [string, number, string, object][] = [
    ['Ethernet', 1, `${MACS} 0800 ${IP}`, { etherType: 0x800, offset: 14, direction: null }],
    ['802.1Q', 1, `${MACS} 8100 2064 0800 ${IP}`, { offset: 18, vlans: [0x2064] }],
    ['QinQ', 1, `${MACS} 88a8 0001 8100 0002 86dd ${IP}`, { etherType: 0x86dd, vlans: [1, 2] }],
    ['PPPoE is a type like others', 1, `${MACS} 8864 1100`, { etherType: 0x8864, offset: 14 }],
    [
      'SLL out',
      113,
      `0004 0001 0006 020000000001 0000 0800 ${IP}`,
      { etherType: 0x800, offset: 16, direction: 'outbound' },
    ],
    ['SLL in', 113, `0000 0001 0006 0200000000010000 86dd ${IP}`, { direction: 'inbound' }],
    ['SLL other host', 113, `0003 0001 0000 0000000000000000 0800 ${IP}`, { direction: null }],
    [
      'SLL2',
      276,
      `0800 0000 00000007 0001 04 06 0200000000010000 ${IP}`,
      { offset: 20, ifIndex: 7, direction: 'outbound' },
    ],
    ['NULL little-endian', 0, `02000000 ${IP}`, { etherType: 0x800, offset: 4 }],
    ['NULL big-endian', 0, `00000002 ${IP}`, { etherType: 0x800 }],
    ['NULL Darwin IPv6', 0, `1e000000 ${IP}`, { etherType: 0x86dd }],
    ['LOOP FreeBSD IPv6', 108, `0000001c ${IP}`, { etherType: 0x86dd }],
    ['RAW IPv4', 101, IP, { etherType: 0x800, offset: 0 }],
    ['RAW IPv6', 12, `60${'00'.repeat(39)}`, { etherType: 0x86dd }],
    ['IPV4', 228, IP, { etherType: 0x800 }],
    ['IPV6', 229, IP, { etherType: 0x86dd }],
  ];
  for (const [name, linkType, text, wanted] of rows)
    t.match(toIp(record(text, linkType)), wanted, name);
});

t.test('MAC addresses are views of the frame', async (t) => {
  const made = record(`${MACS} 0800 ${IP}`, LinkType.ethernet);
  const view = toIp(made);
  if (typeof view === 'string') throw new Error(view);
  t.equal(mac(view.destinationMac), '020000000002');
  t.equal(mac(view.sourceMac), '020000000001');
  t.equal(view.sourceMac?.buffer, made.data.buffer);
  const cooked = toIp(record(`0000 0001 0006 020000000001 0000 0800 ${IP}`, LinkType.linuxSll));
  if (typeof cooked === 'string') throw new Error(cooked);
  t.equal(mac(cooked.sourceMac), '020000000001');
  t.equal(cooked.destinationMac, null);
});

t.test('what has no network header says why', async (t) => {
  const rows: [string, number, string, number, string][] = [
    ['runt', 1, MACS, 0, 'ethernetTruncated'],
    ['cut by snaplen', 1, MACS, 40, 'headerCut'],
    ['ends in a tag', 1, `${MACS} 8100 00`, 0, 'vlanTruncated'],
    ['tag cut by snaplen', 1, `${MACS} 8100 00`, 9, 'headerCut'],
    ['802.3 length', 1, `${MACS} 0026 4242 03`, 0, 'notIp'],
    ['netlink over SLL', 113, `0004 0338 0000 0000000000000000 0004 ${IP}`, 0, 'notIp'],
    ['AppleTalk loopback', 0, `10000000 ${IP}`, 0, 'notIp'],
    ['version 5', 101, '55', 0, 'notIp'],
    ['802.11', 105, IP, 0, 'unsupportedLinkType'],
    ['empty NFLOG', 239, '02000001', 0, 'notIp'],
  ];
  for (const [name, linkType, text, cut, wanted] of rows) {
    t.equal(toIp(record(text, linkType, cut)), wanted, name);
  }
});

t.test('an NFLOG frame tells hook, devices, prefix and the packet', async (t) => {
  const little =
    '0200 0028 0800 0100 0800 01 00 0e00 0a00 64656e793a20 7765 6200 0000' +
    '0800 0200 0000000a 0800 0400 00000003 0800 0600 00000009' +
    `1200 1000 020000000002 020000000001 0800 0000 1800 0900 ${IP}`;
  const view = toIp(record(little, LinkType.nflog));
  if (typeof view === 'string') throw new Error(view);
  t.match(view, {
    etherType: 0x800,
    netfilter: { hook: 1, prefix: 'deny: web', mark: 10, inDevice: 3, outDevice: null, physIn: 9 },
  });
  t.equal(view.end - view.offset, 20);
  t.equal(mac(view.sourceMac), '020000000001');
  const big = `0a00 0000 0008 0001 86dd 02 00 0018 0009 ${IP}`;
  t.match(toIp(record(big, LinkType.nflog)), { etherType: 0x86dd, netfilter: { hook: 2 } });
});

t.test('no bytes make the decoder throw, and every view lies within its frame', async (t) => {
  const linkTypes = Object.values(LinkType);
  const law = fc.property(
    fc.uint8Array({ maxLength: 80 }),
    fc.constantFrom(...linkTypes, 105),
    fc.nat({ max: 50 }),
    (data, linkType, cut) => {
      const view = toIp(record(Buffer.from(data).toString('hex'), linkType, cut));
      if (typeof view === 'string') return;
      const { offset, end, wireEnd } = view;
      if (offset > end || end > data.length || wireEnd < end) throw new Error(JSON.stringify(view));
    },
  );
  fc.assert(law, { seed: 41, numRuns: 20_000 });
  t.pass('20000 frames');
});
