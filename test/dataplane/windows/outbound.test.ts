/**
 * What leaves a Windows node: source translation with its exceptions, what it can not translate, and
 * the fault of overlay pods before build 20348.1668.
 * @module
 */
import t from 'tap';
import { packetOf } from '../../../src/lab/datagram/headers.ts';
import { syntheticPacket } from '../../../src/lab/datagram/synthetic.ts';
import type { World } from '../../../src/lab/world.ts';
import { formatAddress, formatPrefix, parseAddress } from '../../../src/wire/address/address.ts';
import { Protocol } from '../../../src/wire/protocol.ts';
import {
  endpointOf,
  type Mixed,
  NODE,
  ON_PREMISES,
  OUTSIDE,
  podAddress,
  verdictOf,
  worldOf,
} from './mixed-cluster.ts';

/** The source with which a pod's SYN arrives or leaves. */
function sourceOf(world: World, pod: string, to: string, overlay = false): string | null {
  const [src, dst] = [parseAddress(podAddress(pod, overlay)), parseAddress(to)];
  if (src === null || dst === null) throw new Error('addresses');
  const packet = syntheticPacket({
    src,
    dst,
    protocol: Protocol.tcp,
    sport: 40_000,
    dport: 443,
    step: 'request',
  });
  const at = { packet, frame: 1, nowNs: 1 };
  const journey = world.engine.inject({ ...at, as: 'local', host: `shop/${pod}` });
  const found = packetOf(journey.packet);
  return found === null ? null : formatAddress(found.src);
}

function exceptions(world: World, pod: string): readonly string[] {
  return endpointOf(world, pod).outboundNats.flatMap((nat) => nat.exceptions.map(formatPrefix));
}

t.test(
  'in the subnet of the nodes only what leaves the virtual network is translated',
  async (t) => {
    const world = worldOf('azure-transparent+none');
    t.strictSame(exceptions(world, 'web'), ['10.224.0.0/12']);
    t.equal(sourceOf(world, 'web', NODE.lin), podAddress('web'), 'a node');
    t.equal(sourceOf(world, 'web', '10.230.1.1'), podAddress('web'), 'elsewhere in the network');
    const outside = sourceOf(world, 'web', OUTSIDE);
    t.not(outside, podAddress('web'));
  },
);

t.test('in an overlay everything but the pods is translated, the nodes too', async (t) => {
  const world = worldOf('azure-overlay+none', { overlay: true });
  t.strictSame(exceptions(world, 'web'), ['10.244.0.0/16']);
  t.equal(sourceOf(world, 'web', podAddress('api', true), true), podAddress('web', true));
  t.equal(sourceOf(world, 'web', NODE.lin, true), NODE['win-a']);
});

t.test('TCP and UDP come back from outside, ICMP does not', async (t) => {
  for (const [stack, options] of [
    ['azure-transparent+none', {}],
    ['azure-overlay+none', { overlay: true }],
  ] as const satisfies readonly (readonly [string, Mixed])[]) {
    const world = worldOf(stack, options);
    t.equal(verdictOf(world, ['web', OUTSIDE, 443]), 'allowed', stack);
    t.equal(verdictOf(world, ['web', OUTSIDE, 53, 'UDP']), 'allowed', stack);
    t.equal(verdictOf(world, ['web', ON_PREMISES, 443]), 'allowed', stack);
    t.equal(verdictOf(world, ['web', ON_PREMISES, 0, 'ICMP']), 'denied ruleDenied', stack);
    t.equal(verdictOf(world, ['client', ON_PREMISES, 0, 'ICMP']), 'allowed', 'Linux');
    t.equal(verdictOf(world, ['web', 'api', 0, 'ICMP']), 'allowed', 'inside');
    t.equal(verdictOf(world, ['win-a', ON_PREMISES, 0, 'ICMP']), 'allowed', 'the node itself');
  }
});

t.test('Windows Server 2019 keeps the widest of exceptions with one address', async (t) => {
  const world = worldOf('azure-transparent+none', { build: '10.0.17763.6532' });
  t.strictSame(exceptions(world, 'web'), ['10.224.0.0/12']);
});

t.test(
  'a pool that disables outbound NAT sends its pods out under their own addresses',
  async (t) => {
    const world = worldOf('azure-transparent+none', {
      pool: ', windowsProfile: {disableOutboundNat: true}',
      wiring: 'outboundType: managedNATGateway',
    });
    t.strictSame(exceptions(world, 'web'), []);
    t.equal(verdictOf(world, ['web', ON_PREMISES, 0, 'ICMP']), 'allowed', 'nothing is translated');
  },
);

for (const [build, want] of [
  ['10.0.20348.1607', 'unknown undocumented'],
  ['10.0.20348.1668', 'allowed'],
  ['10.0.17763.6532', 'unknown undocumented'],
  ['10.0.26100.1', 'allowed'],
] as const) {
  t.test(`overlay pods on build ${build}: the host network reaches them: ${want}`, async (t) => {
    const world = worldOf('azure-overlay+none', { overlay: true, build });
    t.equal(verdictOf(world, ['lin', 'web', 80]), want, 'from another node');
    t.equal(verdictOf(world, ['win-a', 'web', 80]), want, 'from its own');
    t.equal(verdictOf(world, ['client', 'web', 80]), 'allowed', 'pods are not in question');
    const said = (world.network.warnings ?? []).filter((w) => w.code === 'NODE_WINDOWS_SNAT');
    t.equal(said.length, want === 'allowed' ? 0 : 2);
    const subnet = worldOf('azure-transparent+none', { build });
    t.equal(verdictOf(subnet, ['lin', 'web', 80]), 'allowed', 'only in an overlay');
  });
}

t.test('a switch lowers no TTL: a last hop still arrives', async (t) => {
  const world = worldOf('azure-transparent+none');
  const [src, dst] = [parseAddress(podAddress('web')), parseAddress(podAddress('db'))];
  if (src === null || dst === null) throw new Error('addresses');
  const packet = syntheticPacket({
    src,
    dst,
    protocol: Protocol.tcp,
    sport: 1,
    dport: 2,
    step: 'request',
  });
  const ttl = packet[8];
  const journey = world.engine.inject({
    packet,
    frame: 1,
    nowNs: 1,
    as: 'local',
    host: 'shop/web',
  });
  t.equal(journey.packet?.[8], ttl);
});
