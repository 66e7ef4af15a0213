/**
 * Mistakes in a plan's interfaces, routes, neighbours and forwarding entries: names that do not
 * exist, names that exist twice, routes that lead nowhere.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { Interface, Plan, Route } from '../plan/model.ts';
import { bits, formatPrefix } from '../wire/address/address.ts';
import { fault, repeated } from './fault.ts';

/** IFNAMSIZ (include/uapi/linux/if.h) with its closing zero. */
const INTERFACE_NAME_LENGTH = 15;

/** All mistakes in what packets pass outside of rules. */
export function checkDevices(plan: Plan): readonly Diagnostic[] {
  const devices = new Map(plan.interfaces.map((i) => [i.name, i]));
  return [
    ...checkInterfaces(plan, devices),
    ...plan.routes.flatMap((route) => checkRoute(plan, route, devices)),
    ...checkRoutingRules(plan),
    ...checkNeighbors(plan, devices),
    ...checkFdb(plan, devices),
  ];
}

type Devices = ReadonlyMap<string, Interface>;

function isBridge(devices: Devices, name: string): boolean {
  return devices.get(name)?.kind === 'bridge';
}

const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

function checkInterfaces(plan: Plan, devices: Devices): Diagnostic[] {
  const faults = repeated(plan.interfaces.map((i) => i.name)).map((name) =>
    fault(
      { host: plan.host, part: `interface ${name}` },
      { code: 'PLAN_DEVICE_TWICE', message: 'two interfaces of this name' },
    ),
  );
  for (const { name, mac, master, addresses } of plan.interfaces) {
    const place = { host: plan.host, part: `interface ${name}` };
    if (!isInterfaceName(name)) {
      const accepted = `1 to ${INTERFACE_NAME_LENGTH} characters without spaces and slashes`;
      const message = 'not a name the kernel gives to an interface';
      faults.push(fault(place, { code: 'PLAN_DEVICE_NAME', message, found: name, accepted }));
    }
    if (!MAC.test(mac)) {
      const message = 'not an Ethernet address';
      const accepted = 'six pairs of lower-case hex digits with colons';
      faults.push(fault(place, { code: 'PLAN_DEVICE_MAC', message, found: mac, accepted }));
    }
    if (master !== undefined && !isBridge(devices, master)) {
      const message = 'a port of a bridge that does not exist';
      faults.push(fault(place, { code: 'PLAN_DEVICE_MASTER', message, found: master }));
    }
    for (const { address, length } of addresses) {
      if (length >= 0 && length <= bits(address.family)) continue;
      const message = 'an address with an impossible prefix length';
      const found = formatPrefix({ address, length });
      faults.push(fault(place, { code: 'PLAN_DEVICE_ADDRESS', message, found }));
    }
  }
  return faults;
}

/** net/core/dev.c `dev_valid_name`. */
function isInterfaceName(name: string): boolean {
  return /^[^/\s:]+$/.test(name) && name.length <= INTERFACE_NAME_LENGTH && !/^\.{1,2}$/.test(name);
}

/** Types of route that lead somewhere and so need a device. */
const LEADS: ReadonlySet<Route['type']> = new Set(['unicast', 'local', 'broadcast']);

function checkRoute(plan: Plan, route: Route, devices: Devices): Diagnostic[] {
  const place = { host: plan.host, part: `route ${formatPrefix(route.destination)}` };
  const faults: Diagnostic[] = [];
  if (route.destination.address.family !== route.family) {
    const message = 'the destination is of another family than the route';
    faults.push(fault(place, { code: 'PLAN_ROUTE_FAMILY', message }));
  }
  if (route.via !== undefined && route.via.family !== route.family) {
    const message = 'the next hop is of another family than the route';
    faults.push(fault(place, { code: 'PLAN_ROUTE_FAMILY', message }));
  }
  if (route.device === undefined) {
    if (!LEADS.has(route.type)) return faults;
    const message = `a ${route.type} route needs a device`;
    return [...faults, fault(place, { code: 'PLAN_ROUTE_DEVICE', message })];
  }
  if (devices.has(route.device)) return faults;
  const message = 'a route out of a device that does not exist';
  return [...faults, fault(place, { code: 'PLAN_ROUTE_DEVICE', message, found: route.device })];
}

function checkRoutingRules(plan: Plan): Diagnostic[] {
  return plan.routingRules.flatMap((rule) => {
    const place = { host: plan.host, part: `routing rule ${rule.preference}` };
    const nets = [rule.from, rule.to].filter((net) => net !== undefined);
    return nets
      .filter((net) => net.address.family !== rule.family)
      .map((net) => {
        const message = 'a net of another family than the rule';
        return fault(place, { code: 'PLAN_RULE_FAMILY', message, found: formatPrefix(net) });
      });
  });
}

function checkNeighbors(plan: Plan, devices: Devices): Diagnostic[] {
  return plan.neighbors.flatMap(({ device, mac, state }) => {
    const place = { host: plan.host, part: `neighbour on ${device}` };
    const faults: Diagnostic[] = [];
    if (!devices.has(device)) {
      const message = 'a neighbour on a device that does not exist';
      faults.push(fault(place, { code: 'PLAN_NEIGHBOR_DEVICE', message }));
    }
    if (!MAC.test(mac) && state !== 'failed') {
      const message = 'not an Ethernet address';
      faults.push(fault(place, { code: 'PLAN_NEIGHBOR_MAC', message, found: mac }));
    }
    return faults;
  });
}

function checkFdb(plan: Plan, devices: Devices): Diagnostic[] {
  return plan.fdb.flatMap(({ mac, bridge, port }) => {
    const place = { host: plan.host, part: `fdb ${mac}` };
    if (!isBridge(devices, bridge)) {
      const message = 'an entry of a bridge that does not exist';
      return [fault(place, { code: 'PLAN_FDB_BRIDGE', message, found: bridge })];
    }
    const isPort = devices.get(port)?.master === bridge;
    if (isPort || port === bridge) return [];
    const message = `not a port of bridge ${bridge}`;
    return [fault(place, { code: 'PLAN_FDB_PORT', message, found: port })];
  });
}
