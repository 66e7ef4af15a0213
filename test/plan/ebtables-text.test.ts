/**
 * ebtables: printed tables read back; Azure CNI's rules in the words it writes them; refusals.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import { parseEbtables, printEbtables } from '../../src/plan/ebtables/text.ts';
import { ebTables } from '../support/plan-ebtables.ts';

const empty = new PlanBuilder('node-a', 'node').build();

t.test('printed tables read back as themselves', async (t) => {
  const law = fc.property(ebTables({ loadable: false }), (ebtables) => {
    t.same(parseEbtables(printEbtables({ ...empty, ebtables }), 'printed'), ebtables);
  });
  fc.assert(law, { seed: 2, numRuns: 60 });
});

t.test("a CNI plugin's own spelling is printed as ebtables prints it", async (t) => {
  const mac = '00:0d:3a:00:00:01';
  for (const [written, printed] of [
    [
      `-A POSTROUTING -s unicast -o eth0 -j snat --to-src ${mac} --snat-arp --snat-target ACCEPT`,
      `-A POSTROUTING -s Unicast -o eth0 -j snat --to-src ${mac} --snat-arp --snat-target ACCEPT`,
    ],
    [
      `-A PREROUTING -p ARP --arp-op Request -j arpreply --arpreply-mac ${mac} --arpreply-target DROP`,
      `-A PREROUTING -p ARP --arp-op Request -j arpreply --arpreply-mac ${mac}`,
    ],
    [
      '-A PREROUTING -p ARP --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff --dnat-target DROP',
      '-A PREROUTING -p ARP --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff --dnat-target DROP',
    ],
    [
      `-A PREROUTING -i az+ -p 0x86DD --ip6-dst ! fd00::/9 -j dnat --to-dst 0:d:3A:0:0:1`,
      `-A PREROUTING -p IPv6 -i az+ --ip6-dst ! fd00::/9 -j dnat --to-dst ${mac} --dnat-target ACCEPT`,
    ],
    [
      '-A PREROUTING -p IPv4 --ip-src 10.0.0.0/255.0.0.0',
      '-A PREROUTING -p IPv4 --ip-src 10.0.0.0/8 -j CONTINUE',
    ],
  ] as const) {
    const ebtables = parseEbtables(`*nat\n${written}\n`, 'f');
    const line = printEbtables({ ...empty, ebtables })
      .split('\n')
      .find((l) => l.startsWith('-A'));
    t.equal(line, printed);
  }
});

t.test('what is not known is refused, all at once', async (t) => {
  const text = [
    '-A INPUT -j DROP',
    '*nat',
    ':PREROUTING MAYBE',
    '-A PREROUTING --vlan-id 3 -j DROP',
    '-A PREROUTING --ip-src 10.0.0.1 -j DROP',
    '-A PREROUTING -j mark --mark-set 1',
    '-A PREROUTING -j NOWHERE',
    '-A NOWHERE -j DROP',
    '-A PREROUTING -j ACCEPT --to-dst 00:00:00:00:00:01',
    '*nat',
  ].join('\n');
  try {
    parseEbtables(text, 'f');
    t.fail('must throw');
  } catch (error) {
    t.ok(error instanceof UserError);
    t.same(
      (error as UserError).diagnostics.map((d) => d.line),
      [1, 3, 4, 5, 6, 8, 9, 10, 7],
    );
  }
});
