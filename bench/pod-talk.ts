/**
 * A capture of pods that talk with pods, at least as many of them servers as there are shards: no
 * connection has to do with another one. Frames of 64 bytes, each different, checksums right.
 * @module
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Pod } from '../src/cluster/model.ts';
import * as ethernet from '../src/wire/header/ethernet.ts';
import * as ipv4 from '../src/wire/header/ipv4.ts';
import { Protocol } from '../src/wire/protocol.ts';
import { OPEN_PORT } from './clusters.ts';
import { pcapHeader, RECORD_HEADER_BYTES, writeRecordHeader } from './pcap-bytes.ts';

const FRAME_BYTES = 64;
const RECORD_BYTES = RECORD_HEADER_BYTES + FRAME_BYTES;
const PER_WRITE = 16_384;
const IP_BYTES = FRAME_BYTES - ethernet.HEADER_LENGTH;
const TCP_PAYLOAD = IP_BYTES - ipv4.MIN_HEADER_LENGTH - 20;
const FIRST_PORT = 1024;
const PORTS = 60_000;

export interface TalkShape {
  readonly packets: number;
  /** Taken in turn, every other one TCP; more than half of the packets: each packet opens one. */
  readonly connections: number;
  /** Microseconds from packet to packet. */
  readonly everyUs: number;
}

/** Write it: the first half of the pods are clients, the others servers. */
export function writePodTalk(path: string, pods: readonly Pod[], shape: TalkShape): void {
  const { packets } = shape;
  const talk = new Talk(pods, shape);
  const fd = openSync(path, 'w');
  writeSync(fd, pcapHeader());
  for (let made = 0; made < packets; made += PER_WRITE) {
    const count = Math.min(PER_WRITE, packets - made);
    const chunk = Buffer.alloc(count * RECORD_BYTES);
    for (let i = 0; i < count; i++) talk.write(chunk, i * RECORD_BYTES, made + i);
    writeSync(fd, chunk);
  }
  closeSync(fd);
}

class Talk {
  readonly #clients: readonly number[];
  readonly #servers: readonly number[];
  readonly #shape: TalkShape;

  constructor(pods: readonly Pod[], shape: TalkShape) {
    const addresses = pods.map(({ addresses: [first] }) => first?.w3 ?? 0);
    const half = addresses.length >>> 1;
    this.#clients = addresses.slice(0, half);
    this.#servers = addresses.slice(half);
    this.#shape = shape;
  }

  /** Write the packet of this place with its record header. */
  write(b: Buffer, at: number, index: number): void {
    const { connections, everyUs } = this.#shape;
    writeRecordHeader(b, at, index * everyUs, FRAME_BYTES);
    const connection = index % connections;
    const turn = Math.floor(index / connections);
    const isAnswer = turn % 2 === 1;
    const client = this.#clients[connection % this.#clients.length] ?? 0;
    const server = this.#servers[serverOf(connection) % this.#servers.length] ?? 0;
    const port = FIRST_PORT + (Math.floor(connection / 8) % PORTS);
    const frame = at + RECORD_HEADER_BYTES;
    b[frame + 5] = isAnswer ? 2 : 1;
    b[frame + 11] = isAnswer ? 1 : 2;
    b[frame] = b[frame + 6] = 2;
    b.writeUInt16BE(0x0800, frame + 12);
    const ip = frame + ethernet.HEADER_LENGTH;
    const isTcp = connection % 2 === 1;
    b[ip] = 0x45;
    // A segment that opens has no data; the frame is filled up behind it.
    const end = ip + (isTcp && turn < 2 ? IP_BYTES - TCP_PAYLOAD : IP_BYTES);
    b.writeUInt16BE(end - ip, ip + 2);
    b.writeUInt16BE(index & 0xffff, ip + 4);
    b[ip + 8] = 64;
    b[ip + 9] = isTcp ? Protocol.tcp : Protocol.udp;
    b.writeUInt32BE(isAnswer ? server : client, ip + 12);
    b.writeUInt32BE(isAnswer ? client : server, ip + 16);
    b.writeUInt16BE(sumOf(b, ip, ip + ipv4.MIN_HEADER_LENGTH, 0), ip + 10);
    const l4 = ip + ipv4.MIN_HEADER_LENGTH;
    b.writeUInt16BE(isAnswer ? OPEN_PORT : port, l4);
    b.writeUInt16BE(isAnswer ? port : OPEN_PORT, l4 + 2);
    b.writeUInt32BE(index, ip + IP_BYTES - 4);
    const size = end - l4;
    if (isTcp) writeTcp(b, l4, turn);
    else b.writeUInt16BE(size, l4 + 4);
    const pseudo = (isTcp ? Protocol.tcp : Protocol.udp) + size;
    b.writeUInt16BE(sumOf(b, ip + 12, end, pseudo), l4 + (isTcp ? 16 : 6));
  }
}

/** Each client has connections to many servers. */
function serverOf(connection: number): number {
  return connection * 7 + Math.floor(connection / 64);
}

/** SYN, SYN and ACK, then ten bytes of data in turn, each acknowledged by the next. */
function writeTcp(b: Buffer, l4: number, turn: number): void {
  const sent = turn < 2 ? 0 : 1 + ((turn - 2) >>> 1) * TCP_PAYLOAD;
  const heard = turn < 1 ? 0 : 1 + (turn < 2 ? 0 : ((turn - 1) >>> 1) * TCP_PAYLOAD);
  b.writeUInt32BE(sent >>> 0, l4 + 4);
  b.writeUInt32BE(heard >>> 0, l4 + 8);
  b[l4 + 12] = 0x50;
  b[l4 + 13] = turn === 0 ? 0x02 : turn === 1 ? 0x12 : 0x10;
  b.writeUInt16BE(0xffff, l4 + 14);
}

/** The Internet checksum; its own field is still zero. */
function sumOf(b: Buffer, from: number, to: number, start: number): number {
  let sum = start;
  for (let at = from; at < to; at += 2) sum += b.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
