/**
 * The IPv4 settings of one device as the path asks for them: its own and those of `all`, combined
 * as include/linux/inetdevice.h says (`IN_DEV_ORCONF`, `IN_DEV_MAXCONF`, `IN_DEV_ANDCONF`).
 * @module
 */
import type { SysctlTable } from '../../image/sysctl.ts';

export interface DeviceSettings {
  readonly forwarding: boolean;
  readonly rpFilter: number;
  readonly acceptLocal: boolean;
  readonly routeLocalnet: boolean;
  readonly srcValidMark: boolean;
  readonly proxyArp: boolean;
  readonly arpIgnore: number;
  readonly acceptSourceRoute: boolean;
}

/** Read a device's settings; `forwarding` is the device's alone. */
export function deviceSettings(sysctl: SysctlTable, device: string): DeviceSettings {
  const own = (key: string) => sysctl.device('ipv4', device, key);
  const all = (key: string) => sysctl.device('ipv4', 'all', key);
  const either = (key: string) => own(key) !== 0 || all(key) !== 0;
  const larger = (key: string) => Math.max(own(key), all(key));
  return {
    forwarding: own('forwarding') !== 0,
    rpFilter: larger('rp_filter'),
    acceptLocal: either('accept_local'),
    routeLocalnet: either('route_localnet'),
    srcValidMark: either('src_valid_mark'),
    proxyArp: either('proxy_arp'),
    arpIgnore: larger('arp_ignore'),
    acceptSourceRoute: own('accept_source_route') !== 0 && all('accept_source_route') !== 0,
  };
}
