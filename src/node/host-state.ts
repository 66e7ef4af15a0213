/**
 * What a host remembers of packets beyond their passage: connections, fragments that wait, and the
 * memory of stateful rules. A dry
 * run works on a copy of what it needs, so that nothing stays.
 * @module
 */

import { ForkedTable } from '../conntrack/forked-table.ts';
import { Defragmenter } from '../conntrack/fragment/defrag.ts';
import { type ConntrackSettings, conntrackSettings } from '../conntrack/protocol/timeouts.ts';
import { ConntrackTable } from '../conntrack/table.ts';
import type { HostImage } from '../image/image.ts';
import { SYSCTL_DEFAULTS } from '../image/sysctl.ts';
import { copyMemory, emptyMemory, type RuleMemory } from './match/memory/rule-memory.ts';
import { VirtualConnections } from './virtual-server/connections.ts';

export class HostState {
  readonly connections: ConntrackTable;
  /**
   * Gathered before prerouting and output, and before local delivery: the kernel's users differ.
   */
  readonly trackedFragments: Defragmenter;
  readonly localFragments: Defragmenter;
  /** What rules remember of packets. */
  readonly memory: RuleMemory;
  /** Whom virtual servers gave connections to. */
  readonly virtual: VirtualConnections;

  constructor(
    connections: ConntrackTable,
    memory = emptyMemory(),
    virtual = new VirtualConnections(),
  ) {
    this.memory = memory;
    this.virtual = virtual;
    this.connections = connections;
    this.trackedFragments = new Defragmenter(connections.settings);
    this.localFragments = new Defragmenter(connections.settings);
  }

  /** A state of a host that nothing has happened to yet. */
  pristine(): HostState {
    return new HostState(new ConntrackTable(this.connections.settings));
  }

  /** A state that goes on from this one at `nowNs`; what happens to it does not show in this. */
  copyOf(nowNs: number): HostState {
    return new HostState(
      new ForkedTable(this.connections, nowNs),
      copyMemory(this.memory),
      this.virtual.copy(),
    );
  }
}

/** The tracker's settings as the host's sysctls have them. */
export function trackingSettings({
  sysctl,
  keepsRefused,
}: Pick<HostImage, 'sysctl' | 'keepsRefused'>): ConntrackSettings {
  const keys = Object.keys(SYSCTL_DEFAULTS).filter((key) => key.startsWith('net.netfilter.'));
  const all = [
    ...keys,
    'net.ipv4.ipfrag_time',
    'net.netfilter.nf_conntrack_tcp_be_liberal',
    'net.netfilter.nf_conntrack_tcp_ignore_invalid_rst',
  ];
  const read = Object.fromEntries(all.map((key) => [key, String(sysctl.get(key))]));
  return { ...conntrackSettings(read), tcpKeepsRefused: keepsRefused };
}
