import t from 'tap';
import { makeSysctlTable } from '../../src/image/sysctl.ts';

t.test('what the plan does not say has the default of Linux', async (t) => {
  const table = makeSysctlTable(new Map());
  for (const [key, want] of [
    ['net.ipv4.ip_default_ttl', 64],
    ['net.bridge.bridge-nf-call-iptables', 1],
    ['net.netfilter.nf_conntrack_tcp_timeout_established', 432000],
    ['net.ipv4.ip_forward', 0],
  ] as const) {
    t.equal(table.get(key), want, key);
    t.equal(table.has(key), false);
  }
});

t.test('an interface has its own value, else that of default, else that of Linux', async (t) => {
  const table = makeSysctlTable(
    new Map([
      ['net.ipv4.conf.default.rp_filter', 2],
      ['net.ipv4.conf.eth0.rp_filter', 1],
      ['net.ipv4.conf.eth0/7.rp_filter', 0],
    ]),
  );
  t.equal(table.device('ipv4', 'eth0', 'rp_filter'), 1);
  t.equal(table.device('ipv4', 'eth0.7', 'rp_filter'), 0, 'a dot in a name is written as a slash');
  t.equal(table.device('ipv4', 'eth1', 'rp_filter'), 2);
  t.equal(table.device('ipv4', 'eth1', 'send_redirects'), 1);
});

t.test('ip_forward lets every interface forward that does not say otherwise', async (t) => {
  const table = makeSysctlTable(
    new Map([
      ['net.ipv4.ip_forward', 1],
      ['net.ipv4.conf.eth1.forwarding', 0],
    ]),
  );
  t.equal(table.device('ipv4', 'eth0', 'forwarding'), 1);
  t.equal(table.device('ipv4', 'eth1', 'forwarding'), 0);
  t.equal(table.device('ipv6', 'eth0', 'forwarding'), 0);
});
