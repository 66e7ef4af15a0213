/**
 * Who reaches whom in both modes with NPM, through emulated hosts: the table that
 * test/differential/kernel/azure-networks.test.ts checks on a real kernel.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { syntheticPacket } from '../../src/lab/synthetic.ts';
import { World } from '../../src/lab/world.ts';
import { Protocol } from '../../src/wire/protocol.ts';
import * as make from './objects.ts';
import { CONNECTIONS, OUTSIDE, OUTSIDE_ADDRESS, policies, shop } from './shop.ts';

const ADDRESSES: Readonly<Record<string, string>> = {
  [OUTSIDE]: OUTSIDE_ADDRESS,
  ...Object.fromEntries(
    shop.pods.map((p) => [`${p.namespace}/${p.name}`, make.text(p.addresses[0])]),
  ),
  ...Object.fromEntries(shop.nodes.map((n) => [n.name, make.text(n.addresses[0])])),
};

for (const mode of ['azure-bridge', 'azure-transparent']) {
  t.test(`${mode}: first packets arrive, leave or are lost as on a real kernel`, async (t) => {
    const world = new World({ cluster: shop, policies, stack: parseStack(`${mode}+npm`) });
    for (const [i, [from, to, port, want]] of CONNECTIONS.entries()) {
      const packet = syntheticPacket({
        src: make.ip(ADDRESSES[from] ?? ''),
        dst: make.ip(to),
        protocol: Protocol.tcp,
        sport: 20_000 + i,
        dport: port,
        step: 'request',
      });
      const at = { packet, frame: i + 1, nowNs: i };
      const journey = world.engine.inject(
        from === OUTSIDE
          ? { ...at, as: 'received', ...world.edge() }
          : { ...at, as: 'local', host: from },
      );
      const got = ['delivered', 'exited'].includes(journey.outcome) ? 'answered' : 'silent';
      const end = journey.decision?.text ?? journey.reason ?? journey.end.host;
      t.equal(got, want, `${from} to ${to}:${port} (${end})`);
    }
  });
}
