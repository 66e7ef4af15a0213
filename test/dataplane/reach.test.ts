/**
 * Who reaches whom in both modes with NPM, through emulated hosts: the table that
 * test/differential/kernel/azure-networks.test.ts checks on a real kernel.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { World } from '../../src/lab/world.ts';
import { arrived, firstPacket } from './first-packet.ts';
import { CONNECTIONS, policies, shop } from './shop.ts';

for (const mode of ['azure-bridge', 'azure-transparent']) {
  t.test(`${mode}: first packets arrive, leave or are lost as on a real kernel`, async (t) => {
    const world = new World({ cluster: shop, policies, stack: parseStack(`${mode}+npm`) });
    for (const [i, [from, to, port, want]] of CONNECTIONS.entries()) {
      const journey = firstPacket(world, from, { to, port, frame: i + 1 });
      const end = journey.decision?.text ?? journey.reason ?? journey.end.host;
      const got = arrived(journey) ? 'answered' : 'silent';
      t.equal(got, want, `${from} to ${to}:${port} (${end})`);
    }
  });
}
