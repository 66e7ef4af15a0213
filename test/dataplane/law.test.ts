/**
 * NPM on emulated nodes equals the API's text, for drawn clusters, policies and flows between pods
 * and with the world outside; only loopback is left out (it never leaves the pod).
 *
 * Holds for `version=main`: earlier versions misread some selectors (src/dataplane/npm/README.md).
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { syntheticPacket } from '../../src/lab/datagram/synthetic.ts';
import { World } from '../../src/lab/world.ts';
import { evaluate } from '../../src/policy/evaluate.ts';
import { Protocol } from '../../src/wire/protocol.ts';
import { addressOf, endOf, flows, policies, shop } from './drawn-policies.ts';

const SEED = 20_260_915;
const RUNS = Number(process.env['FC_RUNS'] ?? 60);

for (const stack of ['azure-bridge+npm', 'azure-transparent+npm,place-first=true']) {
  t.test(`${stack}: what the walk delivers is what the policies allow`, async (t) => {
    let judged = 0;
    fc.assert(
      fc.property(policies, flows, (drawn, wanted) => {
        const world = new World({ cluster: shop, policies: drawn, stack: parseStack(stack) });
        for (const [i, { from, to, protocol, port }] of wanted.entries()) {
          const packet = syntheticPacket({
            src: addressOf(from),
            dst: addressOf(to),
            protocol: protocol === 'TCP' ? Protocol.tcp : Protocol.udp,
            sport: 20_000 + i,
            dport: port,
            step: 'request',
          });
          const at = { packet, frame: i + 1, nowNs: i };
          const journey = world.engine.inject(
            from === null
              ? { ...at, as: 'received', ...world.edge() }
              : { ...at, as: 'local', host: `${from.namespace}/${from.name}` },
          );
          const got = journey.outcome === (to === null ? 'exited' : 'delivered');
          const { allowed } = evaluate(shop, drawn, {
            from: endOf(from),
            to: endOf(to),
            protocol,
            port,
          });
          if (got !== allowed) {
            throw new Error(
              `${from?.name} ${to?.name} ${protocol} ${port}: ` +
                `${journey.outcome} ${journey.reason} ${journey.decision?.text}, allowed ${allowed}`,
            );
          }
          judged++;
        }
      }),
      { seed: SEED, numRuns: RUNS },
    );
    t.ok(judged >= RUNS * 12, `${judged} flows judged`);
  });
}
