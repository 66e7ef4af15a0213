import fc from 'fast-check';
import t from 'tap';
import { matches, parseFilter } from '../../src/capture/filter/filter.ts';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { EXPRESSIONS } from './filter-expressions.ts';

function record(data: Uint8Array, linkType: number = LinkType.ethernet, cut = 0): PacketRecord {
  const iface = { id: 0, file: 'made', linkType, snapLength: 0 };
  return { frame: 1, iface, timeNs: 0n, data, wireLength: data.length + cut };
}

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replace(/\s/g, ''), 'hex'));
}

const ETHERNET = '020000000002 020000000001 0800';
const IPV4 = '45000028 00010000 40060000 0a000001 0a000002';
const TCP = '9c40 0050 00000001 00000000 5002 ffff 0000 0000';
const SYN = hex(ETHERNET + IPV4 + TCP);

const SECOND_FRAGMENT = hex(`${ETHERNET} 45000028 00010010 40060000 0a000001 0a000002 ${TCP}`);
const TAGGED = hex(`020000000002 020000000001 8100 0064 0800 ${IPV4} ${TCP}`);
const IPV6 = hex(
  `020000000002 020000000001 86dd 60000000 0008 11 40
   20010db8000000000000000000000001 20010db8000000000000000000000002 3039 0035 0008 0000`,
);

t.test('each primitive selects the packet it describes and no other', async (t) => {
  const rows: [string, Uint8Array, boolean][] = [
    ['', SYN, true],
    ['tcp', SYN, true],
    ['udp', SYN, false],
    ['host 10.0.0.1', SYN, true],
    ['src host 10.0.0.2', SYN, false],
    ['src and dst net 10', SYN, true],
    ['net 10.0.0.2/31 and not net 10.0.0.4/30', SYN, true],
    ['tcp dst port 80', SYN, true],
    ['tcp src port 80 or 40000', SYN, true],
    ['port 80', SECOND_FRAGMENT, false],
    ['tcp', SECOND_FRAGMENT, true],
    ['tcp[tcpflags] == tcp-syn', SYN, true],
    ['tcp[tcpflags] & tcp-ack != 0', SYN, false],
    ['tcp[13] = 2', SECOND_FRAGMENT, false],
    ['ether src 02:00:00:00:00:01', SYN, true],
    ['ether dst 0200.0000.0001', SYN, false],
    ['ip', TAGGED, false],
    ['vlan', TAGGED, true],
    ['vlan 100 and ip and port 80', TAGGED, true],
    ['vlan 101', TAGGED, false],
    ['vlan or ip', SYN, false],
    ['ip or vlan', SYN, true],
    ['ip6 and udp port 53', IPV6, true],
    ['net 2001:db8::/32', IPV6, true],
    ['dst host 2001:db8::1', IPV6, false],
    ['ip6[6] = 17', IPV6, true],
    ['udp[2:2] = 53', IPV6, false],
  ];
  for (const [text, data, wanted] of rows) {
    t.equal(matches(parseFilter(text), record(data)), wanted, text);
  }
});

t.test('a read behind the captured bytes rejects the packet, also under a not', async (t) => {
  for (const text of ['ether[100] = 0', 'not ether[100] = 0', 'ether[100] = 0 or ip']) {
    t.equal(matches(parseFilter(text), record(SYN)), false, text);
  }
  t.equal(matches(parseFilter('ip or ether[100] = 0'), record(SYN)), true);
  t.equal(matches(parseFilter('not port 80'), record(SYN.subarray(0, 34))), false);
});

t.test('len is the length on the wire, not what the capture kept', async (t) => {
  t.equal(matches(parseFilter('len = 154'), record(SYN, LinkType.ethernet, 100)), true);
  t.equal(
    matches(parseFilter('less 154 and greater 154'), record(SYN, LinkType.ethernet, 100)),
    true,
  );
});

t.test('loopback families are found in either byte order', async (t) => {
  const packet = IPV4 + TCP;
  const rows: [string, number, string, boolean][] = [
    ['02000000', LinkType.null, 'ip', true],
    ['00000002', LinkType.null, 'ip', true],
    ['1e000000', LinkType.null, 'ip6', true],
    ['0000001c', LinkType.null, 'ip6', true],
    ['00000002', LinkType.loop, 'tcp port 80', true],
    ['02000000', LinkType.loop, 'ip', false],
  ];
  for (const [family, linkType, text, wanted] of rows) {
    const made = record(hex(family + packet), linkType);
    t.equal(matches(parseFilter(text), made), wanted, `${family} ${text}`);
  }
});

t.test('what is wrong is named with its column', async (t) => {
  const rows: [string, number, RegExp][] = [
    ['tcp port', 9, /an address, a number or a name/],
    ['port 80 or or 443', 12, /syntax error.*"or"/],
    ['10.0.0.1', 1, /syntax error/],
    ['ip 10.0.0.1', 4, /syntax error/],
    ['tcp and 80', 9, /syntax error/],
    ['host web', 6, /host names are not looked up/],
    ['net home', 5, /network names are not looked up/],
    ['port 65536', 6, /no port has this number/],
    ['port nosuch', 6, /no port of this name/],
    ['udp port http', 10, /is tcp/],
    ['host 10.0.0.0/8', 6, /a mask goes with net only/],
    ['net 10.0.0.1/8', 5, /bits behind the mask/],
    ['net 10.0.0.0/33', 5, /prefix is that long/],
    ['host 10.0.0.256', 6, /not an IPv4 address/],
    ['tcp host 10.0.0.1', 10, /'tcp' does not go with/],
    ['ip host ::1', 9, /'ip' does not go with an IPv6/],
    ['host 1:2:3:4:5:6', 6, /goes with ether only/],
    ['icmp port 80', 11, /'icmp' has no ports/],
    ['ip proto tcp', 1, /keyword/],
    ['ip proto nosuch', 10, /no protocol of this name/],
    ['tcp[0:3] = 1', 7, /1, 2 or 4 bytes/],
    ['tcp[0', 6, /syntax error/],
    ['len / 0 = 1', 5, /division by zero/],
    ['len << 32 = 1', 5, /shift by more than 31/],
    ['len = 4294967296', 7, /32 bits/],
    ['port 09', 6, /octal/],
    ['vlan 4096', 6, /no VLAN/],
    ['ip broadcast', 1, /netmask not known/],
    ['tcp ?', 5, /no word/],
    ['gateway x', 1, /'gateway' is not supported/],
    ['ip and mpls 5', 8, /'mpls' is not supported/],
    ['ip protochain 6', 4, /'protochain' is not supported/],
    ['wlan addr1 1:2:3:4:5:6', 6, /'addr1' is not supported/],
    ['type mgt', 1, /'type' is not supported/],
    ['esp[0] = 1', 1, /'esp\[…\]' is not supported/],
    [`${'('.repeat(300)}tcp`, 201, /nested too deeply/],
  ];
  for (const [text, column, message] of rows) {
    const error = caught(() => parseFilter(text));
    t.ok(error instanceof UserError, text.slice(0, 40));
    t.match(error, { fault: 'usage', message }, text.slice(0, 40));
    t.equal((error as UserError).diagnostics[0]!.column, column, text.slice(0, 40));
  }
});

t.test('what a link type can not carry is refused when such a packet comes', async (t) => {
  const rows: [string, number, RegExp][] = [
    ['ether host 1:2:3:4:5:6', LinkType.raw, /Raw IP packets have no MAC/],
    ['inbound', LinkType.ethernet, /Ethernet packets do not say their direction/],
    ['vlan', LinkType.linuxSll, /no VLAN tags/],
    ['ip', LinkType.nflog, /netfilter log/],
    ['ip', 147, /link type 147/],
  ];
  for (const [text, linkType, message] of rows) {
    const filter = parseFilter(text);
    t.throws(() => matches(filter, record(SYN, linkType)), { fault: 'usage', message }, text);
  }
});

t.test('no bytes make a filter throw, on any link type it is for', async (t) => {
  const filters = EXPRESSIONS.map((text) => parseFilter(text));
  const property = fc.property(
    fc.uint8Array({ maxLength: 120 }),
    fc.nat({ max: 100 }),
    fc.constantFrom(...filters),
    (data, cut, filter) => {
      for (const linkType of filter.compiled.keys()) matches(filter, record(data, linkType, cut));
    },
  );
  fc.assert(property, { seed: 11, numRuns: 5000 });
  t.pass('5000 packets');
});

t.test('no text makes the parser fail otherwise than with a column', async (t) => {
  const words = fc.constantFrom(
    ...['tcp', 'port', '80', 'or', 'and', 'not', '(', ')', '[', ']', ':', '&', '=', 'host', 'net'],
    ...[
      '10.0',
      '::1',
      '1:2:3:4:5:6',
      'src',
      'dst',
      'vlan',
      'len',
      '-',
      '!',
      'mask',
      '/',
      '\\tcp',
      '%',
    ],
  );
  const text = fc.oneof(
    fc.array(words, { maxLength: 14 }).map((list) => list.join(' ')),
    fc.string({ maxLength: 30 }),
  );
  fc.assert(
    fc.property(text, (expression) => {
      const error = caught(() => parseFilter(expression));
      if (error === null) return;
      if (!(error instanceof UserError)) throw error;
      const column = error.diagnostics[0]?.column ?? -1;
      if (column < 1 || column > expression.length + 1) throw new Error(`column ${column}`);
    }),
    { seed: 12, numRuns: 20_000 },
  );
  t.pass('20000 expressions');
});

function caught(act: () => unknown): unknown {
  try {
    act();
    return null;
  } catch (error) {
    return error;
  }
}
