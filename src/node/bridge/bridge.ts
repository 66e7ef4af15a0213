/**
 * The Linux bridge: frames between ports, up to the bridge device, and down from it.
 *
 *   port ─► broute ─► nat PREROUTING ─► [br_netfilter prerouting] ─► learn, look up
 *                                                    │          │
 *                            filter INPUT ◄── local ─┘          ▼ per port
 *                                 │                    filter FORWARD ─► [br_netfilter forward]
 *                                 ▼                             │
 *                             IP, ARP                           ▼
 *                                 │               nat POSTROUTING ─► [br_netfilter postrouting]
 *                                 ▼                             ▲              │
 *                      out by the bridge: nat OUTPUT, filter OUTPUT            ▼ out
 *                      (filter before nat where ebtables-nft holds it)
 *
 * Truth: net/bridge/br_input.c `br_handle_frame`, `br_handle_frame_finish`, br_forward.c
 * `should_deliver`, `__br_forward`, `br_flood`, br_device.c `br_dev_xmit`; hook priorities
 * `NF_BR_PRI_*` (Linux 6.18). Every port forwards; see host.ts for what is left out.
 * @module
 */
import type { ImageInterface } from '../../image/image.ts';
import { BROADCAST_MAC, isGroupMac, ZERO_MAC } from '../../wire/address/mac.ts';
import * as arp from '../../wire/header/arp.ts';
import * as ethernet from '../../wire/header/ethernet.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { Bridge, Host } from '../host.ts';
import type { Passage, Stage } from '../passage.ts';
import { drop, dropBy, finish, type Run, unknown } from '../run.ts';
import { bridgeForwardHook, bridgePostroutingHook, bridgePrerouting } from './bridge-netfilter.ts';
import { type EbResult, runEbtables } from './ebtables.ts';
import type { EbHook } from './linked-ebtables.ts';

/** 01:80:C2:00:00:0X: never forwarded when it is control of the link itself (IEEE 802.1D). */
const LINK_LOCAL_GROUP = '01:80:c2:00:00:0';
const SPANNING_TREE_GROUP = '01:80:c2:00:00:00';
const PAUSE_GROUP = '01:80:c2:00:00:01';
/** A port sends this much more than the MTU: header and one VLAN tag (`is_skb_forwardable`). */
const LINK_HEADER_ROOM = ethernet.HEADER_LENGTH + ethernet.TAG_LENGTH;

/** A frame comes in by a port (`br_handle_frame`). */
export function bridgeInput(run: Run, passage: Passage): Stage | null {
  const { host, packet } = passage;
  const port = passage.device;
  const bridge = host.bridgeOf(port);
  if (bridge === null || !bridge.device.up) return drop(passage, 'bridge', 'noSuchDevice');
  const source = ethernet.source(packet.bytes);
  if (isGroupMac(source) || source === ZERO_MAC) return drop(passage, 'bridge', 'sourceNatOnly');
  const destination = ethernet.destination(packet.bytes);
  if (destination.startsWith(LINK_LOCAL_GROUP) && destination !== SPANNING_TREE_GROUP) {
    return linkControl(passage, destination);
  }
  if (destination === bridge.device.mac) passage.frameType = 'host';
  if (!ebtables(run, passage, { table: 'broute', hook: 'BROUTING', bridge })) return null;
  if (passage.brouted) return 'protocolInput';
  if (!ebtables(run, passage, { table: 'nat', hook: 'PREROUTING', bridge })) return null;
  const prerouted = bridgePrerouting(run, passage, bridge);
  return prerouted ? learnAndLookUp(run, passage, bridge) : null;
}

/** The port's own protocols take it (`NF_BR_LOCAL_IN`, then RX_HANDLER_PASS); IP is one of them. */
function linkControl(passage: Passage, destination: string): Stage | null {
  if (destination === PAUSE_GROUP) return drop(passage, 'bridge', 'otherHost');
  if (passage.packet.family !== 0) return 'protocolInput';
  passage.step('bridge', `link control for ${destination}: kept by the port`);
  return finish(passage, 'consumed', null);
}

/** `br_handle_frame_finish`: learn the source, then choose where the frame goes. */
function learnAndLookUp(run: Run, passage: Passage, bridge: Bridge): Stage | null {
  const { packet } = passage;
  const port = passage.bridgePortIn;
  if (port === null) return drop(passage, 'bridge', 'noSuchDevice');
  learn(passage.host, bridge, ethernet.source(packet.bytes), port);
  const destination = ethernet.destination(packet.bytes);
  const name = bridge.device.name;
  if (isGroupMac(destination)) {
    const kind = destination === BROADCAST_MAC ? 'broadcast' : 'multicast';
    passage.step('bridge', `${name}: ${kind}, flood and up`);
    return flood(run, passage, bridge, { alsoUp: true });
  }
  const target = bridge.fdb.get(destination);
  if (target === undefined) {
    passage.step('bridge', `${name}: fdb miss, flood`);
    return flood(run, passage, bridge, { alsoUp: bridge.device.promiscuous });
  }
  if (target.local) {
    passage.step('bridge', `${name}: fdb hit, local`);
    return 'bridgeLocalInput';
  }
  const to = target.port;
  if (to === null || !to.up) return drop(passage, 'bridge', 'noSuchDevice');
  passage.step('bridge', `${name}: fdb hit, port ${to.name}`);
  if (bridge.device.promiscuous) {
    run.later(passage.branch(), 'bridgeLocalInput');
    shareData(passage);
  }
  if (!shouldDeliver(to, passage)) return drop(passage, 'bridge', 'sameBridgePort');
  passage.bridgePortOut = to;
  return 'bridgeForward';
}

/** `br_fdb_update`: a MAC of the bridge itself is never moved. */
function learn(host: Host, bridge: Bridge, mac: string, port: ImageInterface): void {
  const known = bridge.fdb.get(mac);
  if (known !== undefined && (known.local || known.port === port)) return;
  bridge.fdb.set(mac, { port, local: false });
  host.bridgesLearned = true;
  host.onLearned?.();
}

/** Never back by the port it came from, unless that is in hairpin mode (`should_deliver`). */
function shouldDeliver(to: ImageInterface, passage: Passage): boolean {
  return to.up && (to.hairpin || passage.bridgePortIn !== to);
}

/** `br_flood`: one copy per port; the packet itself goes with the last copy. */
function flood(
  run: Run,
  passage: Passage,
  bridge: Bridge,
  options: { readonly alsoUp: boolean },
): Stage | null {
  // The port that joined last is the first of the kernel's list.
  const ports = bridge.ports.filter((port) => shouldDeliver(port, passage)).toReversed();
  if (ports.length === 0 && !options.alsoUp) return drop(passage, 'bridge', 'sameBridgePort');
  const only = ports.length === 1 && !options.alsoUp ? ports[0] : undefined;
  if (only !== undefined) {
    passage.bridgePortOut = only;
    return 'bridgeForward';
  }
  for (const [i, port] of ports.entries()) {
    const copy = passage.branch();
    copy.bridgePortOut = port;
    if (options.alsoUp || i < ports.length - 1) shareData(copy);
    run.later(copy, 'bridgeForward');
  }
  if (options.alsoUp) run.later(passage.branch(), 'bridgeLocalInput');
  return null;
}

/** A clone shares its pieces with others, so they can not go out as they are (`skb_cloned`). */
function shareData({ packet }: Passage): void {
  const pieces = packet.fragmentPieces;
  if (pieces !== null) packet.fragmentPieces = [pieces.reduce((sum, piece) => sum + piece, 0)];
}

/** Out by one port: `__br_forward` to `br_dev_queue_push_xmit`. */
export function bridgeForward(run: Run, passage: Passage): Stage | null {
  const { host, packet } = passage;
  const port = passage.bridgePortOut;
  const bridge = port === null ? null : host.bridgeOf(port);
  if (port === null || bridge === null) return drop(passage, 'bridge', 'noSuchDevice');
  if (passage.bridgePortIn === null || passage.local) {
    for (const table of host.ebtables.output) {
      if (!ebtables(run, passage, { table, hook: 'OUTPUT', bridge })) return null;
    }
  } else {
    if (!ebtables(run, passage, { table: 'filter', hook: 'FORWARD', bridge })) return null;
    if (!bridgeForwardHook(run, passage, bridge)) return null;
  }
  if (!ebtables(run, passage, { table: 'nat', hook: 'POSTROUTING', bridge })) return null;
  if (!bridgePostroutingHook(run, passage, bridge)) return null;
  if (passage.segmentSize === 0 && packet.wireLength > port.mtu + LINK_HEADER_ROOM) {
    return drop(passage, 'bridge', 'tooBig');
  }
  passage.device = port;
  packet.outDevice = port.name;
  return 'transmit';
}

/** `br_pass_frame_up`: the frame is now one that the bridge device received. */
export function bridgeLocalInput(run: Run, passage: Passage): Stage | null {
  const port = passage.bridgePortIn;
  const bridge = port === null ? null : passage.host.bridgeOf(port);
  if (bridge === null) return drop(passage, 'bridge', 'noSuchDevice');
  if (!ebtables(run, passage, { table: 'filter', hook: 'INPUT', bridge })) return null;
  if (!confirmGroup(run, passage, bridge)) return null;
  passage.device = bridge.device;
  return 'protocolInput';
}

/**
 * A flooded packet's connection is made real before the copy for the host goes up, so that copies
 * agree on it (`br_nf_local_in`). A promiscuous bridge hears everything, groups too, without one.
 */
function confirmGroup(run: Run, passage: Passage, bridge: Bridge): boolean {
  const { packet, host, frameType, bridgeNetfilter } = passage;
  if (bridgeNetfilter === null || packet.connection === null) return true;
  const isLocal = bridge.fdb.get(ethernet.destination(packet.bytes))?.local === true;
  if (bridge.device.promiscuous && !isLocal) {
    packet.connection = null;
    packet.ctState = 'none';
    return true;
  }
  if (frameType === 'host') return true;
  if (run.stateOf(host).connections.confirm(packet, run.nowNs)) return true;
  drop(passage, 'bridge', 'ctClash');
  return false;
}

/** The host itself sends by the bridge device (`br_dev_xmit`). */
export function bridgeOutput(run: Run, passage: Passage): Stage | null {
  const { host, packet } = passage;
  const bridge = host.bridges.get(passage.device.name);
  if (bridge === undefined) return drop(passage, 'bridge', 'noSuchDevice');
  passage.local = true;
  passage.bridgePortIn = null;
  const destination = ethernet.destination(packet.bytes);
  const target = isGroupMac(destination) ? undefined : bridge.fdb.get(destination);
  if (target === undefined) {
    passage.step('bridge', `${bridge.device.name}: sent by the host, flood`);
    return flood(run, passage, bridge, { alsoUp: false });
  }
  if (target.port === null || !target.port.up) return drop(passage, 'bridge', 'noSuchDevice');
  passage.step('bridge', `${bridge.device.name}: fdb hit, port ${target.port.name}`);
  passage.bridgePortOut = target.port;
  return 'bridgeForward';
}

/** Run one ebtables chain; false when the frame ended there. */
function ebtables(
  run: Run,
  passage: Passage,
  at: {
    readonly table: 'nat' | 'filter' | 'broute';
    readonly hook: EbHook;
    readonly bridge: Bridge;
  },
): boolean {
  const { table, hook, bridge } = at;
  const { host } = passage;
  if (host.image.gaps.ebtables) {
    const stage = `ebtables ${table} ${hook}`;
    unknown(passage, { host: host.name, stage }, 'dumpIncomplete');
    return false;
  }
  const chain = host.ebtables.chain(table, hook);
  if (chain === null) return true;
  const inward = hook === 'BROUTING' || hook === 'PREROUTING' || hook === 'INPUT';
  const result = runEbtables(chain, {
    packet: passage.packet,
    in: hook === 'OUTPUT' || hook === 'POSTROUTING' ? null : passage.bridgePortIn,
    out: inward ? null : passage.bridgePortOut,
    bridge: bridge.device,
    hook,
  });
  if (result.frameType !== null) passage.frameType = result.frameType;
  if (result.changed !== '') passage.step(`ebtables ${table} ${hook}`, result.changed);
  if (table === 'broute' && result.verdict === 'drop') {
    broute(passage, bridge);
    return true;
  }
  for (const { mac } of result.arpReplies) answerArp(run, passage, mac);
  return result.verdict === 'accept' || ended(passage, `ebtables ${table} ${hook}`, result);
}

/** DROP in BROUTING hands the frame to the port's own IP stack (`ebt_broute`). */
function broute(passage: Passage, bridge: Bridge): void {
  const destination = ethernet.destination(passage.packet.bytes);
  passage.brouted = true;
  passage.step('ebtables broute BROUTING', `routed by port ${passage.device.name}`);
  if (passage.frameType !== 'host' || destination === passage.device.mac) return;
  if (destination === bridge.device.mac) passage.frameType = 'otherHost';
}

function ended(passage: Passage, stage: string, result: EbResult): false {
  if (result.arpReplies.length > 0) {
    passage.step(stage, 'answered by the bridge');
    finish(passage, 'consumed', null);
    return false;
  }
  const place = result.rule === null ? `${stage} policy` : `ebtables ${result.rule}`;
  dropBy(passage, 'bridgeRule', { host: passage.host.name, stage, text: place });
  return false;
}

/** The answer leaves by the port that asked, past the bridge (`ebt_arpreply_tg`). */
function answerArp(run: Run, passage: Passage, mac: string): void {
  const { packet, bridgePortIn } = passage;
  if (bridgePortIn === null) return;
  const asked = arp.parse(packet.bytes, packet.l3);
  const reply = arp.emit({
    operation: arp.ArpOperation.reply,
    senderMac: mac,
    senderIp: asked.targetIp,
    targetMac: asked.senderMac,
    targetIp: asked.senderIp,
  });
  const header = { destination: asked.senderMac, source: mac, tags: [], etherType: EtherType.arp };
  run.generate(passage, {
    kind: 'arpReply',
    attach: false,
    frame: ethernet.emit(header, reply),
    device: bridgePortIn,
  });
}
