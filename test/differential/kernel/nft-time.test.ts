/**
 * What nft's rules remember over time, against the kernel: limits, timeouts of elements, and their
 * renewal. Packets are sent one by one on the kernel's clock, and the engine is told when. Needs root.
 */
import t from 'tap';
import type { Plan } from '../../../src/plan/model.ts';
import { parseNft } from '../../../src/plan/nft/parse/ruleset-parser.ts';
import { engineOf } from '../../support/hosts.ts';
import { udp } from '../../support/packets.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import { ROUTER_MAC } from './router.ts';
import { bareRouter } from './stateful-lab.ts';

const skip = kernelMissing(['nft']) ?? false;

const RULES = `table ip t {
	set seen {
		type ipv4_addr
		size 10
		flags dynamic,timeout
		timeout 2s
	}

	set paced {
		type ipv4_addr
		size 10
		flags dynamic,timeout
		timeout 1m
	}

	set given {
		type ipv4_addr
		flags timeout
		elements = { 10.1.0.2 timeout 3s, 10.1.0.3 }
	}

	set last {
		type inet_service
		size 2
		flags dynamic
	}

	limit shared {
		rate 1/second burst 2 packets
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		limit rate 1/second burst 2 packets counter
		limit rate over 40/minute burst 1 packets counter
		limit rate 60 bytes/second burst 40 bytes counter
		limit name "shared" counter
		limit name "shared" counter
		ip saddr @given counter
		ip saddr @seen counter
		udp dport 1 add @seen { ip saddr } counter
		udp dport 2 update @seen { ip saddr timeout 1s } counter
		update @paced { ip saddr limit rate 1/second burst 1 packets } counter
		add @last { udp dport } counter
		quota over 120 bytes counter
	}
}
`;

/** Seconds to wait, and what is then sent: source and port. */
const STEPS: readonly (readonly [wait: number, source: string, port: number])[] = [
  [0, '10.1.0.2', 1],
  [0.3, '10.1.0.3', 9],
  [0.5, '10.1.0.2', 9],
  [0.4, '10.1.0.2', 2],
  [0.3, '10.1.0.3', 2],
  [0.5, '10.1.0.2', 9],
  [1.2, '10.1.0.2', 9],
  [0.4, '10.1.0.3', 1],
  [0.6, '10.1.0.3', 9],
  [0.1, '10.1.0.3', 9],
];

t.test('limits and timeouts run on the clock of the kernel', { skip }, async (t) => {
  const lab = new Laboratory(t);
  const plan: Plan = { ...bareRouter(), nft: parseNft(RULES, 'test') };
  await lab.build(bareRouter(), 'nft');
  await lab.startClock();
  await lab.run(['nft', '-f', '-'], RULES);
  const engine = engineOf([plan]);
  for (const [i, [wait, source, port]] of STEPS.entries()) {
    if (wait > 0) await lab.wait(wait);
    const builder = udp().payload(12).from(source, 4000).to('10.2.0.2', port);
    const frame = builder.frame({ dstMac: ROUTER_MAC });
    await lab.send([{ device: 'eth0', frame }]);
    engine.inject({
      as: 'frame',
      host: plan.host,
      device: 'eth0',
      frameBytes: frame,
      frame: i + 1,
      nowNs: Math.round(lab.sentAt * 1e9),
    });
    const text = await lab.run(['nft', 'list', 'chain', 'ip', 't', 'forward']);
    const kernel = [...text.matchAll(/counter packets (\d+) /g)].map((m) => Number(m[1]));
    const own = [...engine.counters(plan.host)].map(([, count]) => count.packets);
    t.strictSame(own, kernel, `packet ${i + 1}, second ${lab.sentAt.toFixed(2)}`);
  }
});
