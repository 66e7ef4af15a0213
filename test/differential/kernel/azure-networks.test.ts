/**
 * Azure CNI's two modes, kube-proxy's chains, NPM and the fabric, loaded into real kernels: packets
 * go where they should, and are dropped where NPM says.
 *
 * Expectations by hand: the FORWARD hook sees pod traffic of both modes (bridged by br_netfilter),
 * INPUT and OUTPUT have no NPM; hops that lower TTL are the nodes of transparent mode only.
 * @module
 */
import t from 'tap';
import { renderNetwork } from '../../../src/dataplane/render.ts';
import { World } from '../../../src/lab/world.ts';
import { arrived, firstPacket } from '../../dataplane/first-packet.ts';
import * as make from '../../dataplane/objects.ts';
import { type Answer, CONNECTIONS, policies, shop } from '../../dataplane/shop.ts';
import { kernelMissing } from './harness/laboratory.ts';
import { RealNetwork } from './real-network.ts';

const needs = {
  skip: kernelMissing(['iptables-nft', 'ebtables-restore', 'ipset', 'bridge']) ?? false,
};

/** From, to, the TTL that the sender gives, and whether that is enough. */
const HOPS: Readonly<Record<string, readonly (readonly [string, string, number, Answer])[]>> = {
  'azure-bridge': [
    ['shop/web', '10.240.0.12', 1, 'answered'],
    ['shop/api', '10.240.0.10', 1, 'answered'],
  ],
  'azure-transparent': [
    ['shop/web', '10.240.0.12', 3, 'answered'],
    ['shop/web', '10.240.0.12', 2, 'silent'],
  ],
};

for (const mode of ['azure-bridge', 'azure-transparent']) {
  t.test(`${mode} with NPM on a real kernel`, needs, async (t) => {
    const network = renderNetwork(make.input(shop, `${mode}+npm`, policies));
    const real = await RealNetwork.build(t, network);
    const answers = await real.connect(CONNECTIONS.map(([from, to, port]) => [from, to, port]));
    for (const [i, [from, to, port, want]] of CONNECTIONS.entries()) {
      t.equal(answers[i], want, `${from} to ${to}:${port}`);
    }
    for (const [from, to, ttl, want] of HOPS[mode] ?? []) {
      await real.setTtl(from, ttl);
      const [answer] = await real.connect([[from, to, 80]]);
      t.equal(answer, want, `${from} to ${to} with TTL ${ttl}`);
    }
  });
}

t.test('azure-transparent with Calico: the kernel and the walk agree', needs, async (t) => {
  const request = make.input(shop, 'azure-transparent+calico', policies);
  const world = new World(request);
  const real = await RealNetwork.build(t, renderNetwork(request));
  const answers = await real.connect(CONNECTIONS.map(([from, to, port]) => [from, to, port]));
  let different = 0;
  for (const [i, [from, to, port, npm]] of CONNECTIONS.entries()) {
    const journey = firstPacket(world, from, { to, port, frame: i + 1 });
    const walked = arrived(journey) ? 'answered' : 'silent';
    t.equal(answers[i], walked, `${from} to ${to}:${port}`);
    if (walked !== npm) different++;
  }
  t.ok(different > 0, 'the table has a row on which Calico differs from NPM');
});
