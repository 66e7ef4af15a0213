/**
 * The library's public names, one by one.
 * @module
 */

export { matches, parseFilter } from './capture/filter/filter.ts';
export { openCaptures } from './capture/reader.ts';
export type { PacketRecord } from './capture/record.ts';
export { openSink } from './capture/write/byte-sink.ts';
export { PcapWriter } from './capture/write/pcap-writer.ts';
export { PcapngWriter } from './capture/write/pcapng-writer.ts';
export { parseStack } from './dataplane/stack.ts';
export { type Diagnostic, formatDiagnostic, UserError } from './diagnostic/diagnostic.ts';
export type { Engine, Injection, Journey } from './engine/engine.ts';
export { type ProbeRequest, type ProbeResult, Prober } from './lab/ask/probe.ts';
export { replay } from './lab/replay.ts';
export type { ConnectionResult, FrameResult } from './lab/result.ts';
export { World } from './lab/world.ts';
export type { Network, Plan } from './plan/model.ts';
export { loadInputs } from './policy/inputs.ts';
