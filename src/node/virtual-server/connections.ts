/**
 * The connections that a host's virtual servers have given to real servers, beside the tracker's
 * own table: found by the client's side on the way in, by the real server's on the way out.
 *
 *   client ──(client, virtual server)──► virtual server ──(client, real server)──► real server
 *
 * Truth: net/netfilter/ipvs/ip_vs_conn.c `ip_vs_conn_in_get`, `ip_vs_conn_out_get`,
 * `ip_vs_conn_new`, `ip_vs_conn_expire`, ip_vs_nfct.c `ip_vs_conn_drop_conntrack`; templates of
 * persistence as ip_vs_core.c `ip_vs_sched_persist` makes them (Linux 6.1). Unlimited, as the
 * kernel's table is.
 * @module
 */
import { NS_PER_S } from '../../conntrack/connection.ts';
import type { ConntrackTable } from '../../conntrack/table.ts';
import type { Tuple } from '../../conntrack/tuple.ts';
import type { RealServer, VirtualServer, VirtualTimeouts } from '../../netfilter/virtual-server.ts';
import { type Address, addressKey, maskAddress } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { End } from './end.ts';
import { Expiry } from './expiry.ts';
import { lifetime, type VirtualState } from './states.ts';

export interface VirtualConnection {
  readonly protocol: number;
  readonly client: End;
  readonly virtual: End;
  readonly real: RealServer;
  state: VirtualState;
  expiresNs: number;
  /** The tracker's entry goes when this one does (IP_VS_CONN_F_NFCT). */
  tracked: boolean;
  /** What keeps the client at its real server; null without persistence. */
  readonly template: Template | null;
  dead: boolean;
}

/** A client's real server at a virtual server with persistence. */
interface Template {
  readonly key: string;
  readonly real: RealServer;
  seconds: number;
  expiresNs: number;
  /** Connections that stand on it; while there are any it does not go. */
  uses: number;
}

/** A new connection is kept this long until its first packet says more (`ip_vs_conn_new`). */
const FIRST_SECONDS = 3;
/** A template that is still used is asked again after this long (`expire_later`). */
const AGAIN_SECONDS = 60;

export class VirtualConnections {
  readonly #byClient = new Map<string, VirtualConnection>();
  /** The latest first, as the kernel's chains. */
  readonly #byReal = new Map<string, VirtualConnection[]>();
  readonly #templates = new Map<string, Template>();
  readonly #expiry = new Expiry<VirtualConnection>();
  readonly #templateExpiry = new Expiry<Template>();

  /** The connection of what goes from `client` to a virtual server's `virtual`. */
  fromClient(protocol: number, client: End, virtual: End): VirtualConnection | null {
    return this.#byClient.get(keyOf(protocol, client, virtual)) ?? null;
  }

  /** The connection of what goes from a real server to `client`. */
  fromReal(protocol: number, real: End, client: End): VirtualConnection | null {
    return this.#byReal.get(keyOf(protocol, real, client))?.[0] ?? null;
  }

  /** The real server that a client of a virtual server is kept at; null when it is free. */
  kept(server: VirtualServer, client: Address): RealServer | null {
    return this.#templates.get(templateKey(server, client))?.real ?? null;
  }

  /** Forget where a client is kept, because that real server takes nobody any more. */
  release(server: VirtualServer, client: Address): void {
    this.#templates.delete(templateKey(server, client));
  }

  open(server: VirtualServer, client: End, real: RealServer, nowNs: number): VirtualConnection {
    const made: VirtualConnection = {
      protocol: server.protocol,
      client,
      virtual: { address: server.address, port: server.port },
      real,
      state: 'NO',
      expiresNs: nowNs + FIRST_SECONDS * NS_PER_S,
      tracked: true,
      template: this.#template(server, client, real, nowNs),
      dead: false,
    };
    this.#insert(made);
    return made;
  }

  #template(server: VirtualServer, client: End, real: RealServer, nowNs: number): Template | null {
    const { persistence } = server;
    if (persistence === undefined) return null;
    const key = templateKey(server, client.address);
    const known = this.#templates.get(key);
    const { seconds } = persistence;
    const template = known ?? { key, real, seconds, expiresNs: 0, uses: 0 };
    template.uses += 1;
    template.expiresNs = nowNs + template.seconds * NS_PER_S;
    if (known === undefined) {
      this.#templates.set(key, template);
      this.#templateExpiry.add(template);
    }
    return template;
  }

  #insert(connection: VirtualConnection): void {
    const { protocol, client, virtual, real } = connection;
    this.#byClient.set(keyOf(protocol, client, virtual), connection);
    const key = keyOf(protocol, real, client);
    this.#byReal.set(key, [connection, ...(this.#byReal.get(key) ?? [])]);
    this.#expiry.add(connection);
  }

  /** End a connection; the tracker's entry of it goes too, unless it is another's by now. */
  end(connection: VirtualConnection, table: ConntrackTable, nowNs: number): void {
    if (connection.dead) return;
    connection.dead = true;
    const { protocol, client, virtual, real, template } = connection;
    const own = keyOf(protocol, client, virtual);
    if (this.#byClient.get(own) === connection) this.#byClient.delete(own);
    const key = keyOf(protocol, real, client);
    const others = (this.#byReal.get(key) ?? []).filter((other) => other !== connection);
    if (others.length === 0) this.#byReal.delete(key);
    else this.#byReal.set(key, others);
    if (template !== null) template.uses -= 1;
    if (!connection.tracked) return;
    const found = table.lookup(tupleOf(connection), nowNs);
    if (found !== null) table.remove(found.connection);
  }

  /** End everything whose time is up. */
  expire(table: ConntrackTable, nowNs: number): void {
    for (let c = this.#expiry.take(nowNs); c !== null; c = this.#expiry.take(nowNs)) {
      this.end(c, table, c.expiresNs);
    }
    for (
      let template = this.#templateExpiry.take(nowNs);
      template !== null;
      template = this.#templateExpiry.take(nowNs)
    ) {
      if (template.uses > 0) {
        template.seconds = AGAIN_SECONDS;
        template.expiresNs += AGAIN_SECONDS * NS_PER_S;
        this.#templateExpiry.add(template);
      } else if (this.#templates.get(template.key) === template) {
        this.#templates.delete(template.key);
      }
    }
  }

  /** Make the connection of a tuple as if handshake and answer had passed. */
  establish(original: Tuple, timeouts: VirtualTimeouts, nowNs: number): void {
    const { protocol, src, sport, dst, dport } = original;
    const client = { address: src, port: sport };
    const found = this.fromClient(protocol, client, { address: dst, port: dport });
    if (found === null) return;
    found.state = protocol === Protocol.udp ? 'NO' : 'ES';
    found.expiresNs = nowNs + lifetime(protocol, found.state, timeouts) * NS_PER_S;
  }

  /** Copies of all connections; what happens to them does not show in these. */
  copy(): VirtualConnections {
    const made = new VirtualConnections();
    const templates = new Map<Template, Template>();
    for (const [key, template] of this.#templates) {
      const copied = { ...template };
      templates.set(template, copied);
      made.#templates.set(key, copied);
      made.#templateExpiry.add(copied);
    }
    // The oldest first, so that the latest stands first again.
    for (const connection of this.#byClient.values()) {
      const { template } = connection;
      const kept = template === null ? null : (templates.get(template) ?? { ...template });
      made.#insert({ ...connection, template: kept });
    }
    return made;
  }
}

function keyOf(protocol: number, from: End, to: End): string {
  const numbers = String.fromCharCode(protocol, from.port, to.port);
  return numbers + addressKey(from.address) + addressKey(to.address);
}

/** All addresses of one client share their first bits. */
function templateKey(server: VirtualServer, client: Address): string {
  const net = maskAddress(client, server.persistence?.bits ?? 0);
  return keyOf(server.protocol, { address: net, port: 0 }, server);
}

function tupleOf({ protocol, client, virtual }: VirtualConnection): Tuple {
  return {
    protocol,
    src: client.address,
    sport: client.port,
    dst: virtual.address,
    dport: virtual.port,
  };
}
