/**
 * Capture files built byte by byte for tests, with every knob the formats have.
 * @module
 */

/** Byte order of a made file. */
export type Order = 'little' | 'big';

export function word(order: Order, value: number): Buffer {
  const b = Buffer.alloc(4);
  if (order === 'little') b.writeUInt32LE(value >>> 0);
  else b.writeUInt32BE(value >>> 0);
  return b;
}

export function half(order: Order, value: number): Buffer {
  const b = Buffer.alloc(2);
  if (order === 'little') b.writeUInt16LE(value);
  else b.writeUInt16BE(value);
  return b;
}

export function long(order: Order, value: bigint): Buffer {
  const b = Buffer.alloc(8);
  if (order === 'little') b.writeBigUInt64LE(BigInt.asUintN(64, value));
  else b.writeBigUInt64BE(BigInt.asUintN(64, value));
  return b;
}

export interface MadeRecord {
  readonly seconds: number;
  readonly fraction: number;
  readonly data: Uint8Array;
  readonly wireLength?: number;
}

/** A pcap file. */
export function pcapFile(
  records: readonly MadeRecord[],
  options: {
    order?: Order;
    magic?: number;
    linkType?: number;
    major?: number;
    minor?: number;
  } = {},
): Buffer {
  const order = options.order ?? 'little';
  const header = [
    word(order, options.magic ?? 0xa1b2c3d4),
    half(order, options.major ?? 2),
    half(order, options.minor ?? 4),
    word(order, 0),
    word(order, 0),
    word(order, 65535),
    word(order, options.linkType ?? 1),
  ];
  const body = records.flatMap((record) => [
    word(order, record.seconds),
    word(order, record.fraction),
    word(order, record.data.length),
    word(order, record.wireLength ?? record.data.length),
    Buffer.from(record.data),
  ]);
  return Buffer.concat([...header, ...body]);
}

function pad(b: Buffer): Buffer {
  return Buffer.concat([b, Buffer.alloc((4 - (b.length % 4)) % 4)]);
}

/** One pcapng block around a body. */
export function block(order: Order, type: number, ...body: readonly Buffer[]): Buffer {
  const inner = pad(Buffer.concat(body));
  const length = word(order, inner.length + 12);
  return Buffer.concat([word(order, type), length, inner, length]);
}

export function option(order: Order, code: number, value: Buffer): Buffer {
  return Buffer.concat([half(order, code), half(order, value.length), pad(value)]);
}

export function section(order: Order): Buffer {
  return block(
    order,
    0x0a0d0d0a,
    word(order, 0x1a2b3c4d),
    half(order, 1),
    half(order, 0),
    long(order, -1n),
  );
}

export function interfaceBlock(
  order: Order,
  linkType: number,
  ...options: readonly Buffer[]
): Buffer {
  return block(order, 1, half(order, linkType), half(order, 0), word(order, 0), ...options);
}

/** An enhanced packet block with its timestamp in the interface's units. */
export function enhanced(
  order: Order,
  iface: number,
  units: bigint,
  data: Buffer,
  ...options: readonly Buffer[]
): Buffer {
  return block(
    order,
    6,
    word(order, iface),
    word(order, Number(units >> 32n)),
    word(order, Number(units & 0xffffffffn)),
    word(order, data.length),
    word(order, data.length),
    pad(data),
    ...options,
  );
}
