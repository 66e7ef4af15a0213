/**
 * Virtual servers as ipvsadm-save prints them: printed text reads back, what is not emulated is
 * refused by name.
 */
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseVirtualServers, printVirtualServers } from '../../src/plan/virtual-server-text.ts';

const SAVED = `# Timeout (tcp tcpfin udp): 600 60 30
-A -t 10.96.0.1:443 -s rr
-a -t 10.96.0.1:443 -r 10.0.0.4:6443 -m -w 1
-a -t 10.96.0.1:443 -r 10.0.0.5:6443 -m -w 0
-A -u 10.96.0.10:53 -s sh -p 10800 -b sh-fallback,sh-port
-a -u 10.96.0.10:53 -r 10.244.0.2:53 -m -w 65535
-A --sctp-service 10.96.0.11:7 -s mh -p 60 -M 255.255.255.0 -b mh-port
-A -t [fd00:96::1]:80 -s wlc -p 360 -M 64
-a -t [fd00:96::1]:80 -r [fd00:1::2]:8080 -m -w 1
`;

t.test('what is printed reads back as it was', async (t) => {
  const virtualServers = parseVirtualServers(SAVED, 'saved');
  t.equal(printVirtualServers({ virtualServers }), SAVED);
  t.equal(virtualServers.servers.length, 4);
  t.match(virtualServers.servers[1], { persistence: { seconds: 10_800, bits: 32 } });
});

t.test('long options, defaults, and the list of timeouts', async (t) => {
  const text = `Timeout (tcp tcpfin udp): 900 120 300
--add-service --tcp-service 10.0.0.1:80 --persistent
--add-server --tcp-service 10.0.0.1:80 --real-server 10.0.0.2:80 --masquerading
`;
  t.equal(
    printVirtualServers({ virtualServers: parseVirtualServers(text, 'f') }),
    '-A -t 10.0.0.1:80 -s wlc -p 360\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1\n',
  );
  t.equal(printVirtualServers({}), '', 'a host without any');
});

const A = '-A -t 10.0.0.1:80 -s rr\n';

const REFUSED: readonly (readonly [text: string, message: RegExp])[] = [
  [`${A}-a -t 10.0.0.1:80 -r 10.0.0.2:80 -g -w 1`, /^2 direct routing is not emulated/],
  [`${A}-a -t 10.0.0.1:80 -r 10.0.0.2:80 -w 1`, /^2 direct routing is not emulated/],
  [`${A}-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i -w 1`, /^2 forwarding through a tunnel/],
  ['-A -f 7 -s rr', /^1 a virtual server of a mark/],
  ['-A -u 10.0.0.1:53 -s rr -o', /^1 one-packet scheduling/],
  ['-A -t 10.0.0.1:80 -s rr --pe sip', /^1 a persistence engine/],
  ['-A -t 10.0.0.1:80 -s fo', /^1 this scheduler is not emulated/],
  ['-A -t 10.0.0.1:80 -s sh -b flag-1', /^1 this flag of a scheduler/],
  ['-A -t 10.0.0.1:0 -s rr -p', /^1 not an address and port/],
  ['-A -t web:80 -s rr', /^1 not an address and port/],
  [`${A}${A}`, /^2 the virtual server is made twice/],
  ['-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m', /^1 a real server of no virtual server/],
  [`${A}-a -t 10.0.0.1:80 -r [fd00::1]:80 -m`, /^2 a real server of the other family/],
  [`${A}-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 65536`, /^2 not a weight/],
  ['-A -t 10.0.0.1:80 -s rr -p 5 -M 255.0.255.0', /^1 not a mask/],
  ['-D -t 10.0.0.1:80', /^1 this command is not read/],
  ['-A -s rr', /^1 a line names a virtual server/],
];

t.test('what is not emulated, and what is wrong, is refused with its line', async (t) => {
  for (const [text, message] of REFUSED) {
    try {
      parseVirtualServers(text, 'f');
      t.fail(text);
    } catch (error) {
      t.type(error, UserError, text);
      const [first] = (error as UserError).diagnostics;
      t.match(`${first?.line} ${first?.message}`, message, text);
    }
  }
});
