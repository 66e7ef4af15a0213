/**
 * What is said of a connection on one stack when it is over.
 * @module
 */
import { type Network, weakestEvidence } from '../../plan/model.ts';
import type { ConnectionResult } from '../result.ts';
import type { Conversation } from '../traffic/conversation.ts';
import { verdictOf } from '../verdict.ts';
import type { World } from '../world.ts';
import { decidingSide, type State, wayThere } from './connection-state.ts';
import { isOpen } from './prospects.ts';
import { translationOf } from './reached.ts';

/** A network's is that of all its nodes, which may be thousands. */
const EVIDENCE = new WeakMap<Network, ConnectionResult['evidence']>();

function evidenceOf(network: Network): ConnectionResult['evidence'] {
  const known = EVIDENCE.get(network);
  if (known !== undefined) return known;
  const found = weakestEvidence(network.nodes);
  EVIDENCE.set(network, found);
  return found;
}

export function connectionRow(
  world: World,
  conversation: Conversation,
  state: State,
): ConnectionResult {
  const { reply, openingEnds } = state;
  const forward = wayThere(state, conversation);
  const judged = verdictOf(forward, reply);
  const isDrawn = state.way?.choice != null && isOpen(state.way.choice);
  const verdict = isDrawn && judged !== 'unknown' ? 'depends' : judged;
  const deciding = decidingSide(verdict, forward, reply, state.way);
  const contradicted =
    state.contradicted || (conversation.answered && (verdict === 'denied' || verdict === 'broken'));
  return {
    id: conversation.id,
    protocol: conversation.protocol,
    ...world.describeEnds(conversation),
    verdict,
    reason: deciding.reason,
    decidedBy: deciding.decidedBy,
    forward,
    reply,
    opening: conversation.opening,
    evidence: evidenceOf(world.network),
    packets: conversation.packets,
    bytes: conversation.bytes,
    firstFrame: conversation.firstFrame,
    contradicted,
    translated: translationOf(conversation, openingEnds),
    choice: state.way?.choice ?? null,
  };
}
