/**
 * A small real program for recordings: it serves what its pod serves, and does what it is told.
 *
 *   node dist/pcaps/peer.js '{"serve": [{"as": "http", "port": 8080}]}'
 *
 * One JSON command a line on standard input, one JSON answer a line on standard output, in order.
 * Everything goes through the ordinary sockets of the kernel it runs on: nothing here makes packets.
 * @module
 */
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer as createHttpServer, get as httpGet } from 'node:http';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** What a peer listens on. */
export type Service =
  /** Answers every path with a page of `bytes`. */
  | { readonly as: 'http'; readonly port: number; readonly bytes?: number }
  /** `/healthz` at once; anything else after asking DNS for `api` and that for its page. */
  | { readonly as: 'shopFront'; readonly port: number; readonly dns: string; readonly api: string }
  /** `/healthz` at once; anything else after one query to the database. */
  | { readonly as: 'shopApi'; readonly port: number; readonly database: string }
  /** Lines in, rows out, over TCP. */
  | { readonly as: 'database'; readonly port: number; readonly rowBytes: number }
  /** A records of a fixed zone; several addresses of a name take turns. */
  | {
      readonly as: 'dns';
      readonly port: number;
      readonly zone: Readonly<Record<string, readonly string[]>>;
    };

/** What a peer can be told to do. `expect` names an error that is the wished-for outcome. */
export type Command = { readonly expect?: string } & (
  | { readonly do: 'get'; readonly url: string }
  | { readonly do: 'query'; readonly host: string; readonly port: number }
  | { readonly do: 'open'; readonly host: string; readonly port: number }
  | { readonly do: 'ask' }
  | { readonly do: 'hangUp' }
);

export type Answer =
  | { readonly ok: true; readonly bytes: number }
  | { readonly ok: false; readonly error: string };

const TIMEOUT_MS = 10_000;
const DATABASE_PORT = 5432;
const API_PORT = 9090;

/** Fetch a page over a connection of its own, and count its bytes. */
function fetchPage(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpGet(url, { agent: false, timeout: TIMEOUT_MS }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on('end', () => resolve(bytes));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('timed out')));
    request.on('error', reject);
  });
}

async function dial(host: string, port: number): Promise<Socket> {
  const socket = connect(port, host);
  await once(socket, 'connect');
  return socket;
}

/** Send one line, wait for the row that ends with a newline. */
async function askDatabase(socket: Socket): Promise<number> {
  socket.write('select * from articles\n');
  let bytes = 0;
  for (;;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    bytes += chunk.length;
    if (chunk.at(-1) === 0x0a) return bytes;
  }
}

async function queryOnce(host: string, port: number): Promise<number> {
  const socket = await dial(host, port);
  const bytes = await askDatabase(socket);
  await hangUp(socket);
  return bytes;
}

async function hangUp(socket: Socket): Promise<void> {
  const closed = once(socket, 'close');
  socket.end();
  await closed;
}

/** Serve pages that `page` makes; a page that can not be made is a 502. */
async function servePages(port: number, page: (path: string) => Promise<string>): Promise<void> {
  const server = createHttpServer((request, response) => {
    page(request.url ?? '/').then(
      (body) => response.end(body),
      (error: Error) => {
        response.statusCode = 502;
        response.end(`${error.message}\n`);
      },
    );
  });
  await once(server.listen(port, '0.0.0.0'), 'listening');
}

async function serveDatabase(port: number, rowBytes: number): Promise<void> {
  const row = `${'r'.repeat(rowBytes - 1)}\n`;
  const server = createTcpServer((socket) => {
    socket.on('data', () => socket.write(row));
    socket.on('error', () => socket.destroy());
  });
  await once(server.listen(port, '0.0.0.0'), 'listening');
}

/** A name server for A questions of one zone (RFC 1035 section 4); anything else gets no record. */
async function serveNames(
  port: number,
  zone: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  const server = createSocket('udp4');
  let turn = 0;
  server.on('message', (query, from) => {
    const name = questionName(query);
    const addresses = zone[name] ?? [];
    const address = addresses[turn++ % Math.max(1, addresses.length)];
    server.send(answerTo(query, address), from.port, from.address);
  });
  server.bind(port, '0.0.0.0');
  await once(server, 'listening');
}

const DNS_HEADER = 12;

function questionName(query: Buffer): string {
  const labels: string[] = [];
  let at = DNS_HEADER;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('ascii', at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
  return labels.join('.');
}

/** The question repeated, with one A record or (NXDOMAIN) none. */
function answerTo(query: Buffer, address: string | undefined): Buffer {
  const end = query.indexOf(0, DNS_HEADER) + 5;
  const header = Buffer.from(query.subarray(0, DNS_HEADER));
  header.writeUInt16BE(address === undefined ? 0x8583 : 0x8580, 2);
  header.writeUInt16BE(address === undefined ? 0 : 1, 6);
  header.writeUInt32BE(0, 8);
  const question = query.subarray(DNS_HEADER, end);
  if (address === undefined) return Buffer.concat([header, question]);
  const octets = address.split('.').map(Number);
  const record = Buffer.from([0xc0, DNS_HEADER, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...octets]);
  return Buffer.concat([header, question, record]);
}

async function resolveAt(server: string, name: string): Promise<string> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 });
  resolver.setServers([server]);
  const [address] = await resolver.resolve4(name);
  if (address === undefined) throw new Error(`${name} has no address`);
  return address;
}

function serve(service: Service): Promise<void> {
  switch (service.as) {
    case 'http':
      return servePages(service.port, async () => `${'p'.repeat(service.bytes ?? 64)}\n`);
    case 'shopFront':
      return servePages(service.port, async (path) => {
        if (path === '/healthz') return 'ok\n';
        const api = await resolveAt(service.dns, service.api);
        const bytes = await fetchPage(`http://${api}:${API_PORT}/articles`);
        return `<p>${bytes} bytes of articles</p>\n`;
      });
    case 'shopApi':
      return servePages(service.port, async (path) => {
        if (path === '/healthz') return 'ok\n';
        const bytes = await queryOnce(service.database, DATABASE_PORT);
        return `${JSON.stringify({ bytes })}\n`;
      });
    case 'database':
      return serveDatabase(service.port, service.rowBytes);
    case 'dns':
      return serveNames(service.port, service.zone);
  }
}

let kept: Socket | null = null;

async function obey(command: Command): Promise<number> {
  switch (command.do) {
    case 'get':
      return fetchPage(command.url);
    case 'query':
      return queryOnce(command.host, command.port);
    case 'open':
      kept = await dial(command.host, command.port);
      return 0;
    case 'ask':
      if (kept === null) throw new Error('no connection is open');
      return askDatabase(kept);
    case 'hangUp':
      if (kept !== null) await hangUp(kept);
      kept = null;
      return 0;
  }
}

function say(answer: Answer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

const { serve: services } = JSON.parse(process.argv[2] ?? '{"serve": []}') as {
  readonly serve: readonly Service[];
};
for (const service of services) await serve(service);
say({ ok: true, bytes: 0 });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command;
  try {
    say({ ok: true, bytes: await obey(command) });
  } catch (error) {
    say({ ok: false, error: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
}
process.exit(0);
