/**
 * Which end of a connection is the server when its opening is not in the capture.
 *
 * A client's port is ephemeral (RFC 6335 section 6; Linux 32768–60999), a server's is one that
 * somebody listens on: a port below 1024, or one that the pod declares. When both ends or neither
 * look like a server the question stays open, and the verdict is unknown rather than guessed.
 * @module
 */
import type { Pod } from '../../cluster/model.ts';
import type { Place } from '../identity.ts';

/** One end of a captured packet. */
export interface End {
  readonly place: Place;
  readonly port: number;
}

/** How sure we are that an end listens on its port; an address of a Service opens nothing. */
function serverScore(end: End, protocol: string): number {
  if (end.place.kind === 'service') return 4;
  const declared = end.place.kind === 'pod' && declares(end.place.pod, protocol, end.port);
  if (declared) return 3;
  if (end.port > 0 && end.port < 1024) return 2;
  return end.port < 32768 ? 1 : 0;
}

function declares(pod: Pod, protocol: string, port: number): boolean {
  return pod.ports.some((p) => p.containerPort === port && p.protocol.toLowerCase() === protocol);
}

/** The server end of a packet from `src` to `dst`; null when ports do not tell. */
export function serverEnd(src: End, dst: End, protocol: string): 'src' | 'dst' | null {
  const difference = serverScore(src, protocol) - serverScore(dst, protocol);
  if (difference === 0) return null;
  return difference > 0 ? 'src' : 'dst';
}
