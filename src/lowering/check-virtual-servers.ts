/**
 * Mistakes in a plan's virtual servers: what ipvsadm refuses, and what is not emulated.
 *
 * Source: net/netfilter/ipvs/ip_vs_ctl.c `ip_vs_add_service`, `ip_vs_new_dest`; the settings are
 * those of Documentation/networking/ipvs-sysctl.rst that change a packet's way.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { VirtualServer } from '../netfilter/virtual-server.ts';
import type { Plan } from '../plan/model.ts';
import { formatVirtualName } from '../plan/virtual-server-text.ts';
import { Protocol } from '../wire/protocol.ts';
import { fault, repeated } from './fault.ts';

/** The control port of FTP: virtual servers of it take data connections too. */
const FTP = 21;

/** Settings that would send packets another way, and the one value that is emulated. */
const SETTINGS: readonly (readonly [string, string])[] = [
  ['net.ipv4.vs.conntrack', '1'],
  ...['backup_only', 'cache_bypass', 'drop_entry', 'drop_packet', 'nat_icmp_send', 'schedule_icmp']
    .concat('secure_tcp', 'sloppy_tcp', 'sloppy_sctp')
    .map((key) => [`net.ipv4.vs.${key}`, '0'] as const),
];

export function checkVirtualServers(plan: Plan): readonly Diagnostic[] {
  const servers = plan.virtualServers?.servers ?? [];
  if (servers.length === 0) return [];
  return [
    ...repeated(servers.map(formatVirtualName)).map((name) =>
      fault(
        { host: plan.host, part: `virtual server ${name}` },
        { code: 'PLAN_VIRTUAL_SERVER', message: 'two virtual servers of this name' },
      ),
    ),
    ...servers.flatMap((server) => serverFaults(plan, server)),
    ...settingFaults(plan),
  ];
}

function serverFaults({ host }: Plan, server: VirtualServer): readonly Diagnostic[] {
  const place = { host, part: `virtual server ${formatVirtualName(server)}` };
  const faults: Diagnostic[] = [];
  const refuse = (message: string) => {
    faults.push(fault(place, { code: 'PLAN_VIRTUAL_SERVER', message }));
  };
  const { address, realServers, protocol, port, persistence } = server;
  if (realServers.some((real) => real.address.family !== address.family)) {
    refuse('a real server of the other family needs a tunnel');
  }
  if (protocol === Protocol.tcp && port === FTP && persistence !== undefined) {
    refuse('FTP with persistence takes data connections at other ports, which is not emulated');
  }
  return faults;
}

function settingFaults({ host, sysctls }: Plan): readonly Diagnostic[] {
  return SETTINGS.flatMap(([key, accepted]) => {
    const found = sysctls[key]?.trim() ?? '0';
    if (found === accepted) return [];
    const message = `${key} is not emulated but as ${accepted}`;
    const text = { code: 'PLAN_VIRTUAL_SERVER', message, found, accepted };
    return [fault({ host, part: 'virtual servers' }, text)];
  });
}
