/**
 * The share of one worker: the conversations whose shards it owns, and frames that belong to none.
 * Says also whether what the worker judged could have had to do with the shares of others.
 * @module
 */
import { InternalError } from '../diagnostic/diagnostic.ts';
import type { Engine, Journey } from '../engine/engine.ts';
import type { TranslatedEnd } from '../lab/lane/native-strangers.ts';
import type { Share } from '../lab/replay.ts';
import type { Captured } from '../lab/traffic/captured.ts';
import type { Conversation } from '../lab/traffic/conversation.ts';
import type { StrangerTuple } from '../lab/traffic/strangers.ts';
import { Protocol, protocolNumber } from '../wire/protocol.ts';
import { ORDERED, SHARDS, type Shards } from './shards.ts';

/** Protocols whose ends a crossing names by their ports. */
const WITH_PORTS: ReadonlySet<number> = new Set([Protocol.tcp, Protocol.udp, Protocol.sctp]);

export class OwnShare implements Share {
  readonly #shards: Shards;
  readonly #owners: readonly number[];
  readonly #self: number;
  readonly #byConversation = new WeakMap<Conversation, number>();
  /** Connections of the ordered shard that were judged here, and their packets. */
  orderedPackets = 0;
  orderedConnections = 0;
  /** Counts conversations that were closed anywhere. */
  closed = 0;

  /** `owners` names the worker of each shard. */
  constructor(shards: Shards, owners: readonly number[], self: number) {
    this.#shards = shards;
    this.#owners = owners;
    this.#self = self;
  }

  owns(conversation: Conversation): boolean {
    return this.#owners[this.#ofConversation(conversation)] === this.#self;
  }

  frame(captured: Captured): boolean {
    const shard = this.#ofFrame(captured);
    return this.#owners[shard] === this.#self;
  }

  ownsEnds(tuple: StrangerTuple): boolean {
    return this.#owners[this.#shards.of(tuple.protocol, tuple)] === this.#self;
  }

  translatedEnds(): Iterable<TranslatedEnd> {
    return this.#shards.translatedEnds();
  }

  reached(closed: number): void {
    this.closed = closed;
  }

  conversation(conversation: Conversation, place: number): boolean {
    this.closed = place + 1;
    const shard = this.#ofConversation(conversation);
    const isOwn = this.#owners[shard] === this.#self;
    if (isOwn && shard === ORDERED) {
      this.orderedConnections++;
      this.orderedPackets += conversation.packets;
    }
    return isOwn;
  }

  /**
   * Check that a packet stayed in its shard, whatever translated it.
   * @throws InternalError when it did not: it could have met connections that others judge
   */
  checkJourney(protocolName: string, { crossings }: Journey): void {
    if (crossings.length < 2) return;
    const protocol = protocolNumber(protocolName) ?? 0;
    if (!WITH_PORTS.has(protocol)) return;
    const known = crossings.filter(({ ends }) => ends.sport !== 0 || ends.dport !== 0);
    const shards = new Set(known.map(({ ends }) => this.#shards.of(protocol, ends)));
    if (shards.size < 2) return;
    throw entangled(`a translation on ${known.at(-1)?.host} leads from one shard into another`);
  }

  /**
   * Check that hosts remember nothing that packets of other shares would see.
   * @throws InternalError when they do
   */
  checkHosts(engine: Engine, workers: number): void {
    for (const { host, bridgesLearned, rulesRemember, tableShare } of engine.sharedMemory()) {
      if (bridgesLearned) throw entangled(`a bridge of ${host} learned where somebody is`);
      if (rulesRemember) throw entangled(`rules of ${host} count packets`);
      if (tableShare * workers >= 1) throw entangled(`the connection table of ${host} is filling`);
    }
  }

  #ofFrame(captured: Captured): number {
    const { membership, datagram } = captured;
    if (membership !== null) return this.#ofConversation(membership.conversation);
    if (captured.kind === 'arp') return ORDERED;
    // Whether it is sent or not: who follows the connection that it quotes has passed it by.
    const quoted = datagram?.quoted ?? null;
    if (quoted !== null) return this.#shards.of(quoted.protocol, quoted);
    if (captured.kind !== 'datagram' || datagram === null) {
      // It is not sent: whoever takes it only counts it.
      return 1 + (captured.frame % (SHARDS - 1));
    }
    return this.#shards.of(datagram.protocol, datagram);
  }

  #ofConversation(conversation: Conversation): number {
    const known = this.#byConversation.get(conversation);
    if (known !== undefined) return known;
    const shard = this.#shards.of(protocolNumber(conversation.protocol) ?? 0, conversation);
    this.#byConversation.set(conversation, shard);
    return shard;
  }
}

function entangled(what: string): InternalError {
  const advice =
    'connections that were judged apart may have met; --workers 1 judges them together';
  return new InternalError(`${what}: ${advice}`);
}
