/**
 * One emulated Linux host: its image, and what changes while packets pass: counters, bridge
 * forwarding tables, neighbours learned, connections.
 *
 * Bridges and neighbours start warm (what the plan lists is known), and nothing ages: learning
 * changes a result only when a MAC moves. Not done: STP, VLAN filtering, multicast snooping, FDB
 * ageing.
 * @module
 */
import type { ConntrackSettings } from '../conntrack/protocol/timeouts.ts';
import { ConntrackTable } from '../conntrack/table.ts';
import { InternalError } from '../diagnostic/diagnostic.ts';
import type { HostImage, ImageBridge, ImageInterface } from '../image/image.ts';
import { HOOKS, type Hook, TABLES, type TableName } from '../netfilter/hook.ts';
import type { Address, Family } from '../wire/address/address.ts';
import { AddressMap } from '../wire/address/address-map.ts';
import { type Ebtables, linkEbtables } from './bridge/linked-ebtables.ts';
import { RuleCounters } from './counters.ts';
import type { MatchedLooks } from './hook/hook-recorder.ts';
import { type HookPart, hookParts } from './hook/order.ts';
import type { KnownDecision } from './hook/settle.ts';
import { HostState, trackingSettings } from './host-state.ts';
import { type DeviceSettings, deviceSettings } from './link/device-settings.ts';
import { RuleIndexes, SHORTEST_INDEXED } from './rule-index/rule-indexes.ts';

/** Where the bridge sends frames for a MAC; `local` entries go up to the bridge device. */
export interface FdbTarget {
  readonly port: ImageInterface | null;
  readonly local: boolean;
}

/** A MAC that a bridge learned, and the port it is behind. */
export interface LearnedMac {
  readonly mac: string;
  readonly bridge: string;
  readonly port: string;
}

/** A bridge device with its ports and forwarding table. */
export interface Bridge {
  readonly device: ImageInterface;
  readonly ports: readonly ImageInterface[];
  readonly fdb: Map<string, FdbTarget>;
}

/** Who makes a host's connection table. */
export type MakeTable = (settings: ConntrackSettings, host: string) => ConntrackTable;

const plainTable: MakeTable = (settings) => new ConntrackTable(settings);

export class Host {
  readonly image: HostImage;
  readonly name: string;
  readonly counters: RuleCounters;
  /** For walks that must not count. */
  readonly scratchCounters: RuleCounters;
  readonly bridges: ReadonlyMap<string, Bridge>;
  readonly ebtables: Ebtables;
  readonly state: HostState;
  readonly loopback: ImageInterface | null;
  /** Looks of matched rules, by rule id (hook-recorder.ts). */
  readonly matchedLooks: MatchedLooks = new Map();
  /** Decisions made so far, by hook and number of the rule. */
  readonly decisions: Readonly<Record<Hook, Map<number, KnownDecision>>> = {
    prerouting: new Map(),
    input: new Map(),
    forward: new Map(),
    output: new Map(),
    postrouting: new Map(),
  };
  /** Which iptables tables the host has. */
  readonly tables: { readonly 4: ReadonlySet<TableName>; readonly 6: ReadonlySet<TableName> };
  /** `net.bridge.bridge-nf-call-iptables` and its IPv6 twin. */
  readonly bridgeCalls: { readonly 4: boolean; readonly 6: boolean };
  /** `net.ipv6.conf.all.forwarding`. */
  readonly forwards6: boolean;
  /** Told when a MAC or a neighbour was learned: what was concluded before may no longer hold. */
  onLearned: (() => void) | null = null;
  /** Whether a bridge learned a MAC, or that one moved: later packets of others see it. */
  bridgesLearned = false;
  readonly #settings = new Map<string, DeviceSettings>();
  /** Neighbours that were asked for; null while nobody has answered. */
  readonly #learned = new Map<ImageInterface, AddressMap<string | null>>();
  readonly #parts = new Map<string, readonly HookPart[]>();
  /** Of its long chains; null when every rule is to be looked at. */
  readonly indexes: RuleIndexes | null;

  /** `shortestIndexed`: as for `RuleIndexes`; `false`: no indexes. */
  constructor(
    image: HostImage,
    tableOf: MakeTable = plainTable,
    shortestIndexed: number | false = SHORTEST_INDEXED,
  ) {
    this.image = image;
    this.indexes = shortestIndexed === false ? null : new RuleIndexes(shortestIndexed);
    this.name = image.host;
    this.counters = new RuleCounters(image.program, image.nft);
    this.scratchCounters = new RuleCounters(image.program, image.nft);
    this.ebtables = linkEbtables(image.ebtables);
    const has = (family: Family) =>
      new Set(TABLES.filter((table) => hasTable(image, family, table)));
    this.tables = { 4: has(4), 6: has(6) };
    this.state = new HostState(tableOf(trackingSettings(image), image.host));
    const devices = [...image.interfaces.values()];
    this.loopback = devices.find((device) => device.kind === 'loopback') ?? null;
    const bridges = [...image.bridges.values()].map((bridge) => makeBridge(image, bridge));
    this.bridges = new Map(bridges.map((bridge) => [bridge.device.name, bridge]));
    this.forwards6 = image.sysctl.device('ipv6', 'all', 'forwarding') !== 0;
    this.bridgeCalls = {
      4: image.sysctl.get('net.bridge.bridge-nf-call-iptables') !== 0,
      6: image.sysctl.get('net.bridge.bridge-nf-call-ip6tables') !== 0,
    };
  }

  device(name: string): ImageInterface | null {
    return this.image.interfaces.get(name) ?? null;
  }

  /** What hangs on a hook where it is more than iptables' own tables; else null. */
  hookParts(family: Family | 0, hook: Hook): readonly HookPart[] | null {
    const { nft } = this.image;
    if (nft === null || family === 0) return null;
    const key = `${family} ${hook}`;
    const known = this.#parts.get(key);
    if (known !== undefined) return known;
    const made = hookParts(nft, family, hook);
    this.#parts.set(key, made);
    return made;
  }

  /** The bridge that a port belongs to; null for devices that are no port. */
  bridgeOf(device: ImageInterface): Bridge | null {
    return device.master === null ? null : (this.bridges.get(device.master) ?? null);
  }

  /** What bridges learned: neither listed for good in the plan nor their own. */
  learnedMacs(): readonly LearnedMac[] {
    return [...this.bridges].flatMap(([bridge, { fdb }]) => {
      const listed = this.image.fdb.get(bridge);
      return [...fdb].flatMap(([mac, { port, local }]) => {
        const isForGood = local || (listed?.get(mac)?.kind ?? 'learned') !== 'learned';
        return isForGood || port === null ? [] : [{ mac, bridge, port: port.name }];
      });
    });
  }

  /** The MAC of a neighbour that is known; null when it must be asked for or is known to fail. */
  neighborMac(device: ImageInterface, address: Address): string | 'failed' | null {
    const entry = this.image.neighbor(device.name, address);
    if (entry !== null) return entry.state === 'failed' ? 'failed' : entry.mac;
    return this.#learned.get(device)?.get(address) ?? null;
  }

  /** A question is out: an answer will be learned (an incomplete neighbour entry). */
  awaitNeighbor(device: ImageInterface, address: Address): void {
    const known = this.#learned.get(device) ?? new AddressMap<string | null>();
    if (!known.has(address)) known.set(address, null);
    this.#learned.set(device, known);
  }

  /** Take an answer; what nobody asked for makes no entry (arp_accept=0). */
  learnNeighbor(device: ImageInterface, address: Address, mac: string): void {
    const known = this.#learned.get(device);
    if (!known?.has(address) || known.get(address) === mac) return;
    known.set(address, mac);
    this.onLearned?.();
  }

  /** What a device's IPv4 settings come to, together with those of `all`. */
  ipv4(device: string): DeviceSettings {
    const known = this.#settings.get(device);
    if (known !== undefined) return known;
    const made = deviceSettings(this.image.sysctl, device);
    this.#settings.set(device, made);
    return made;
  }
}

/** Translation hangs on all of its hooks when anything wants it on one. */
function hasTable(image: HostImage, family: Family, table: TableName): boolean {
  if (image.program.table(family, table) !== null) return true;
  return table === 'nat' && HOOKS.some((hook) => image.nft?.translations(family, hook).length);
}

function makeBridge(image: HostImage, bridge: ImageBridge): Bridge {
  const device = image.interfaces.get(bridge.name);
  if (device === undefined) throw new InternalError(`bridge ${bridge.name} has a device`);
  const ports = bridge.ports.flatMap((name) => image.interfaces.get(name) ?? []);
  const fdb = new Map<string, FdbTarget>();
  for (const [mac, entry] of image.fdb.get(bridge.name) ?? []) {
    const port = image.interfaces.get(entry.port) ?? null;
    fdb.set(mac, { port, local: entry.kind === 'permanent' });
  }
  for (const port of ports) fdb.set(port.mac, { port, local: true });
  fdb.set(device.mac, { port: null, local: true });
  return { device, ports, fdb };
}
