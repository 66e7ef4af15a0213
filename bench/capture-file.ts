/**
 * Captures of generated packets on disk: pcap, Ethernet, a packet each ten microseconds.
 * @module
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import * as ethernet from '../src/wire/header/ethernet.ts';
import { EtherType } from '../src/wire/protocol.ts';
import { pcapHeader, RECORD_HEADER_BYTES, writeRecordHeader } from './pcap-bytes.ts';

/** A packet of a capture: IPv4, and whether an answer: the link addresses are turned round then. */
export interface Framed {
  readonly packet: Uint8Array;
  readonly isAnswer: boolean;
}

const PER_WRITE = 8192;
const APART_US = 10;
const MACS = ['02:00:00:00:00:0b', '02:00:00:00:00:0c'] as const;
const LINKS = MACS.map((source, i) => {
  const destination = MACS[1 - i] ?? source;
  return { source, destination, tags: [], etherType: EtherType.ipv4 };
});

/** Write so many packets, by number from 0. */
export function writeCapture(path: string, packets: number, at: (index: number) => Framed): void {
  const fd = openSync(path, 'w');
  writeSync(fd, pcapHeader());
  for (let made = 0; made < packets; made += PER_WRITE) {
    const count = Math.min(PER_WRITE, packets - made);
    const records = Array.from({ length: count }, (_, i) => recordOf(at(made + i), made + i));
    writeSync(fd, Buffer.concat(records));
  }
  closeSync(fd);
}

function recordOf({ packet, isAnswer }: Framed, index: number): Buffer {
  const link = LINKS[isAnswer ? 1 : 0];
  if (link === undefined) throw new RangeError('two ends');
  const frame = ethernet.emit(link, packet);
  const record = Buffer.alloc(RECORD_HEADER_BYTES + frame.length);
  writeRecordHeader(record, 0, index * APART_US, frame.length);
  record.set(frame, RECORD_HEADER_BYTES);
  return record;
}
