/**
 * The text of nft rulesets: what `nft list ruleset` prints is read and printed back letter by letter,
 * what is not emulated is refused by its name and line, and no text makes the reader stumble.
 *
 * The rows were printed by nft 1.0.6.
 */
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseNftJson } from '../../src/plan/nft/json-ruleset.ts';
import { parseNft } from '../../src/plan/nft/parse/ruleset-parser.ts';
import { printNft } from '../../src/plan/nft/text/ruleset-text.ts';
import { RulesetDraw } from '../differential/kernel/nft-space.ts';
import { Draw } from '../differential/kernel/rule-space.ts';

/** Rules of a table of both families. */
const RULES: readonly string[] = [
  'ct state established,related accept',
  'ct state != established drop',
  'ct state { invalid, new } drop',
  'ct state vmap { invalid : drop, established : accept }',
  'ct status dnat accept',
  'ct status != dnat accept',
  'ct direction original accept',
  'ct mark 0x00000005 accept',
  'ct mark & 0x000000ff == 0x00000005 accept',
  'ct original ip saddr 10.0.0.1 accept',
  'meta l4proto tcp ct reply proto-dst 80 accept',
  'ct original ip saddr 10.0.0.0/24 accept',
  'ct expiration < 30s accept',
  'ct packets > 5 accept',
  'ct original bytes > 5 accept',
  'ct zone 0 accept',
  'tcp flags syn accept',
  'tcp flags syn / fin,syn,rst,ack accept',
  'tcp flags syn,ack / fin,syn,ack accept',
  'tcp flags != syn accept',
  'tcp flags { syn | ack, syn } accept',
  'tcp dport 80 accept',
  'tcp dport { 80, 443, 1000-2000 } accept',
  'tcp dport != 22 accept',
  'tcp dport 1-10 accept',
  'tcp dport != { 22, 23 } accept',
  'tcp sport . tcp dport { 1 . 2 } accept',
  'th dport 53 accept',
  'meta l4proto { tcp, udp } th dport 53 accept',
  'ip saddr 10.0.0.0/8 accept',
  'ip saddr != 10.0.0.0/8 accept',
  'ip saddr 10.0.0.3-10.0.0.9 accept',
  'ip saddr 10.1.0.0/16 accept',
  'ip6 saddr fe80::/10 accept',
  'ip protocol icmp accept',
  'ip6 nexthdr tcp accept',
  'icmp type echo-request accept',
  'icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept',
  'icmp type . icmp code { echo-request . net-unreachable } accept',
  'iifname "eth*" accept',
  'iifname != "lo" accept',
  'iifname { "eth0", "wg*" } accept',
  'oif "lo" accept',
  'meta mark 0x00000000/16 accept',
  'meta mark & 0x000000ff == 0x00000001 accept',
  'meta mark & 0x000000ff != 0x00000001 accept',
  'meta mark set meta mark | 0x00004000',
  'meta mark set 0x00000001',
  'meta mark set meta mark & 0xffff01ff | 0x00000100',
  'meta mark set ct mark',
  'ct mark set meta mark',
  'ct mark set 0x00000005',
  'ct mark set ct mark | 0x00000010',
  'meta nfproto ipv4 accept',
  'meta protocol ip accept',
  'meta length > 1000 accept',
  'meta pkttype broadcast accept',
  'meta skuid 0 accept',
  'meta priority set 1:2',
  'ip dscp cs1 accept',
  'ip dscp set cs2',
  'ip ttl < 5 accept',
  'ip ttl set 5',
  'ip version 4 accept',
  'ip hdrlength 5 accept',
  'ip frag-off & 8191 != 0 accept',
  'ip length 5-9 accept',
  'ip id 5 accept',
  'tcp doff 5 accept',
  'udp length 8 accept',
  'th sport 5 accept',
  '@nh,8,8 & 0x3 == 0x1 accept',
  'fib daddr type local accept',
  'fib saddr . iif oif missing drop',
  'fib saddr . iif type != local drop',
  'fib daddr . iif type { broadcast, multicast } drop',
  'fib saddr oif "eth0" accept',
  'fib saddr . mark oif exists accept',
  'limit rate 5/second burst 3 packets accept',
  'limit rate over 5/minute accept',
  'limit rate 10 kbytes/second burst 5 kbytes accept',
  'quota 5 mbytes accept',
  'quota over 5 mbytes drop',
  'log prefix "hi " level debug',
  'log group 5',
  'reject',
  'reject with icmp admin-prohibited',
  'reject with icmpx no-route',
  'reject with icmpv6 addr-unreachable',
  'meta l4proto tcp reject with tcp reset',
  'jump c2',
  'tcp dport vmap { 80 : accept, 90-99 : jump c2 }',
  'numgen random mod 3 vmap { 0 : jump c2, 1 : accept }',
  'numgen inc mod 3 0 accept',
  'meta mark set numgen inc mod 4 offset 100',
  'jhash ip saddr mod 2 seed 0xdeadbeef vmap { 0 : accept, 1 : drop }',
  'counter name "cc"',
  'quota name "qq" drop',
  'limit name "ll" accept',
  'meta nftrace set 1',
  'notrack',
  'ip6 flowlabel 5 accept',
  'oifname "eth1" accept',
  'counter packets 0 bytes 0',
  'ip saddr 1.2.3.4 comment "hello"',
  'ip saddr { 1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, 1.1.1.5, 1.1.1.6, 1.1.1.7 } drop',
  'ip frag-off & 8191 == 5',
  'ip length & 255 == 5',
  'meta mark & 0x00000001 == 0x00000001',
  'meta mark 0x00000000/8',
  'meta length & 5 == 1',
  'ct mark & 0x00000001 != 0x00000000',
  'tcp flags != syn / syn,ack',
  'tcp flags syn',
  'tcp flags ! syn',
  'ct state new / established,new',
  'ct status ! snat',
  'ip ttl & 1 == 1',
  'tcp sequence & 255 == 5',
  'meta length 5',
  'meta l4proto & ggp == icmp',
  'ct state == established',
  'ct status == snat',
  'tcp flags == syn',
  'ip daddr != 1.1.1.1',
  'ip version 4',
  'th dport & 3 == 3',
  'ip saddr 0.0.0.5',
  'meta mark 0x00000007',
  'meta mark set meta mark << 2',
  'meta mark set meta mark ^ 0x00000002',
  'meta mark set meta mark & 0x00000002',
  'meta mark set ip ttl & 3',
];

const TRANSLATIONS: readonly string[] = [
  'dnat to 10.0.0.1',
  'tcp dport 80 dnat to 10.0.0.1:8080',
  'udp dport 5 dnat to 10.0.0.1-10.0.0.5:1000-2000 random,persistent',
  'dnat ip to tcp dport map @ports',
  'dnat to numgen random mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }',
  'tcp dport 80 redirect to :8080',
  'redirect',
  'meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.0.0.1 . 80, 1 : 10.0.0.2 . 90 }',
  'dnat ip to ip daddr map { 10.1.0.1 : 10.2.0.1-10.2.0.9 }',
  'dnat ip prefix to ip daddr map { 10.1.0.0/24 : 10.2.0.0/24 }',
  'meta l4proto tcp dnat to :80',
];

const HEAD = `table inet fw {
	comment "of a test"
	counter cc {
		packets 4 bytes 5
	}

	quota qq {
		over 25 mbytes
	}

	limit ll {
		rate 5/second
	}

	set pairs {
		type ipv4_addr . inet_service
		flags interval
		elements = { 10.0.0.0/24 . 80-90,
			     10.1.0.1 . 443 }
	}

	set seen {
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 5m
	}

	set merged {
		type ipv4_addr
		flags interval
		auto-merge
		elements = { 10.0.0.0/8, 192.168.1.5-192.168.1.9 }
	}

	set aging {
		type ipv4_addr
		flags timeout
		counter
		elements = { 10.0.0.1 counter packets 0 bytes 0, 10.0.0.2 counter packets 0 bytes 0 timeout 1h expires 59m58s844ms comment "x" }
	}

	set typed {
		typeof ip saddr . tcp dport
		elements = { 1.2.3.4 . 5 }
	}

	map verdicts {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 1.2.3.4 . tcp . 80 comment "ns/svc:p80" : goto c2 }
	}

	map marks {
		type ipv4_addr : mark
		elements = { 10.0.0.1 : 0x00000005 }
	}

	chain c1 {
		type filter hook forward priority filter - 10; policy drop;
		ip saddr . tcp dport @pairs accept
		ip saddr @merged counter packets 5 bytes 6 accept
		meta mark set ip saddr map @marks
		add @seen { ip saddr }
		update @seen { ip saddr timeout 5s limit rate 5/second }
		update @seen { ip saddr counter } accept
		delete @seen { ip saddr }
		ip daddr . meta l4proto . th dport vmap @verdicts
`;

const LISTED = `${HEAD}${RULES.map((rule) => `\t\t${rule}\n`).join('')}	}

	chain c2 {
		return
	}
}
table ip nat {
	map ports {
		type inet_service : ipv4_addr . inet_service
		elements = { 80 : 10.0.0.1 . 8080 }
	}

	chain p {
		type nat hook prerouting priority dstnat; policy accept;
${TRANSLATIONS.map((rule) => `\t\t${rule}\n`).join('')}	}

	chain q {
		type nat hook postrouting priority srcnat; policy accept;
		masquerade
		masquerade random,fully-random
		meta l4proto tcp masquerade to :1024-2000
		snat to 10.0.0.1-10.0.0.9 fully-random
	}
}
`;

t.test('what nft lists is read and printed back, letter by letter', async (t) => {
  t.equal(printNft({ nft: parseNft(LISTED, 'list') }), LISTED);
});

t.test('commands say the same as a listing', async (t) => {
  const commands = `
add table ip t { comment "c" ; }
add set ip t s { type ipv4_addr ; comment "some" ; }
add map ip t m { type inet_proto . inet_service : verdict ; }
add chain ip t u
add chain ip t b { type filter hook input priority -110 ; }
add rule ip t b ip saddr @s meta l4proto . th dport vmap @m comment "why"
add rule ip t u mark and 0x4000 == 0 return
add rule ip t u mark set mark xor 0x4000
add element ip t s { 10.0.0.1 }
add element ip t m { tcp . 80 comment "p" : goto u }
`;
  t.equal(
    printNft({ nft: parseNft(commands, 'commands') }),
    `table ip t {
	comment "c"
	set s {
		type ipv4_addr
		comment "some"
		elements = { 10.0.0.1 }
	}

	map m {
		type inet_proto . inet_service : verdict
		elements = { tcp . 80 comment "p" : goto u }
	}

	chain u {
		meta mark & 0x00004000 == 0x00000000 return
		meta mark set meta mark ^ 0x00004000
	}

	chain b {
		type filter hook input priority -110; policy accept;
		ip saddr @s meta l4proto . th dport vmap @m comment "why"
	}
}
`,
  );
});

/** Rules that nft knows and this reader refuses, and what is said of them. */
const REFUSED: readonly (readonly [rule: string, says: string])[] = [
  ['queue num 5', 'queue: not emulated'],
  ['dup to 10.0.0.1', 'dup: not emulated'],
  ['flow add @f', 'flow: not emulated'],
  ['tproxy to :80', 'tproxy: not emulated'],
  ['synproxy mss 1460 wscale 7', 'synproxy: not emulated'],
  ['xt match "comment"', 'xt: not emulated'],
  ['socket transparent 1 accept', 'socket: not emulated'],
  ['tcp option maxseg size set rt mtu', 'tcp option: not emulated'],
  ['ether saddr 00:01:02:03:04:05 drop', 'ether: not emulated'],
  ['vlan id 5 drop', 'vlan: not emulated'],
  ['meta cpu 1 drop', 'meta cpu: not emulated'],
  ['meta hour "08:00"-"18:00" drop', 'meta hour: not emulated'],
  ['meta priority 1:2 drop', 'meta priority: not emulated'],
  ['ct count over 5 drop', 'ct count: not emulated'],
  ['ct helper set "ftp"', 'ct helper set: not emulated'],
  ['ct zone set 5', 'ct zone set: not emulated'],
  ['symhash mod 2 vmap { 0 : drop }', 'symhash: not emulated'],
  ['jhash ip saddr mod 2 vmap { 0 : drop }', 'jhash with a seed that the kernel drew'],
  ['counter name tcp dport map { 80 : "cc" }', 'counter name … map: not emulated'],
  ['icmp id 5 drop', 'icmp id: not emulated'],
  ['frag more-fragments 1 drop', 'frag: not emulated'],
  ['jump { accept }', 'a chain without a name: not emulated'],
  ['ip daddr set 10.0.0.1', 'ip daddr set: not emulated'],
  ['tcp dport set 80', 'tcp dport set: not emulated'],
  ['tcp dport 99999 drop', 'not a value of type inet_service'],
  ['ip saddr fd00::1 drop', 'not a value of type ipv4_addr'],
  ['frobnicate 5', 'not a word of nft'],
  ['accept drop', 'nothing stands behind a verdict'],
];

function faultsOf(read: () => unknown): readonly string[] {
  try {
    read();
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map(({ line, message }) => `${line} ${message}`);
  }
}

t.test('what is not emulated is refused by its name, all of it at once', async (t) => {
  const rules = REFUSED.map(([rule]) => `\t\t${rule}\n`).join('');
  const text = `table inet t {\n\tchain a {\n${rules}\t}\n}\ntable bridge b {\n\tchain c {\n\t}\n}\n`;
  const faults = faultsOf(() => parseNft(text, 'refused'));
  for (const [i, [rule, says]] of REFUSED.entries()) {
    t.ok(faults[i]?.startsWith(`${i + 3} ${says}`), `${rule}: ${faults[i]}`);
  }
  t.ok(faults.at(REFUSED.length)?.includes('tables of family bridge: not emulated'));
});

t.test('drawn rulesets are read, printed and read again', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const { text } = new RulesetDraw(new Draw(seed)).draw();
    const printed = printNft({ nft: parseNft(text, `seed ${seed}`) });
    t.equal(printNft({ nft: parseNft(printed, `again ${seed}`) }), printed, `seed ${seed}`);
  }
});

/** Whether reading ends, with a ruleset or with the user's mistakes. */
function endsWell(read: () => unknown): boolean {
  faultsOf(read);
  return true;
}

const WORDS = ['{', '}', ';', ',', '"', '\n', ' ', ':', '.', '-', '/', '@', '!', '=', 'ip', 'tcp'];

t.test('no change of a text makes the reader stumble', async (t) => {
  const change = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat(30),
    put: fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom(...WORDS, '999999999999999999')),
  });
  const changed = (
    text: string,
    { at, length, put }: { at: number; length: number; put: string },
  ) => {
    const start = Math.floor(at * text.length);
    return text.slice(0, start) + put + text.slice(start + length);
  };
  const short = LISTED.slice(0, 3000);
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) =>
      endsWell(() => parseNft(changes.reduce(changed, short), 'changed')),
    ),
    { seed: 7, numRuns: 600 },
  );
  t.pass('text');
  fc.assert(
    fc.property(fc.json(), (json) => endsWell(() => parseNftJson(`{"nftables":[${json}]}`, 'any'))),
    { seed: 7, numRuns: 300 },
  );
  t.pass('JSON');
});
