/**
 * The local table, derived from interface addresses as the kernel derives it.
 *
 * Source: net/ipv4/fib_frontend.c `fib_add_ifaddr` (an address is local whatever its device's
 * state; the subnet's broadcast address only while it is up), net/ipv6/addrconf.c
 * `addrconf_f6i_alloc`, `addrconf_dad_begin` (IFF_NOARP), `addrconf_add_mroute`,
 * `addrconf_join_anycast` (subnet-router anycast only on routers). Seen on Linux 6.18:
 * `ip route show table local` (test/differential/kernel/image.test.ts).
 * @module
 */
import { type Address, hostPrefix, ipv4, ipv6, maskAddress } from '../../wire/address/address.ts';
import { isLoopback } from './address-kind.ts';
import { type FibInterface, type FibRoute, LOCAL_TABLE } from './fib.ts';

/** Make the local table's routes. `isRouter6` is net.ipv6.conf.all.forwarding. */
export function localRoutes(
  interfaces: readonly FibInterface[],
  isRouter6: boolean,
): readonly FibRoute[] {
  return interfaces.flatMap((iface) => [
    ...iface.addresses.flatMap((a) =>
      a.address.family === 4
        ? addressRoutes4(iface, a.address, a.length)
        : addressRoutes6(iface, a.address, { length: a.length, isRouter6 }),
    ),
    ...multicastRoutes6(iface),
  ]);
}

function addressRoutes4(iface: FibInterface, address: Address, length: number): FibRoute[] {
  const base = { family: 4, table: LOCAL_TABLE, device: iface.name, source: address } as const;
  const routes: FibRoute[] = [
    { ...base, type: 'local', destination: hostPrefix(address), metric: 0, scope: 'host' },
  ];
  if (!iface.up) return routes;
  const network = maskAddress(address, length);
  if (isLoopback(address) && length < 32) {
    const destination = { address: network, length };
    routes.push({ ...base, type: 'local', destination, metric: 0, scope: 'host' });
  }
  if (length < 31) {
    const broadcast = hostPrefix(ipv4((network.w3 | (0xffffffff >>> length)) >>> 0));
    routes.push({ ...base, type: 'broadcast', destination: broadcast, metric: 0, scope: 'link' });
  }
  return routes;
}

function addressRoutes6(
  iface: FibInterface,
  address: Address,
  { length, isRouter6 }: { length: number; isRouter6: boolean },
): FibRoute[] {
  // Where nobody is asked whether an address is free (a dummy has no ARP), it counts at once.
  if (!iface.up && iface.kind !== 'dummy') return [];
  const base = { family: 6, table: LOCAL_TABLE, device: iface.name } as const;
  const routes: FibRoute[] = [
    { ...base, type: 'local', destination: hostPrefix(address), metric: 0, scope: 'host' },
  ];
  if (iface.up && isRouter6 && length < 127 && !isLoopback(address)) {
    const destination = hostPrefix(maskAddress(address, length));
    routes.push({ ...base, type: 'anycast', destination, metric: 0, scope: 'host' });
  }
  return routes;
}

function multicastRoutes6(iface: FibInterface): FibRoute[] {
  const hasAddress6 = iface.addresses.some((a) => a.address.family === 6);
  if (!iface.up || !hasAddress6 || iface.name === 'lo') return [];
  const destination = { address: ipv6(0xff000000, 0, 0, 0), length: 8 };
  const base = { family: 6, table: LOCAL_TABLE, device: iface.name } as const;
  return [{ ...base, type: 'multicast', destination, metric: 256, scope: 'link' }];
}
