/**
 * What becomes of a client's address on its way through a proxy, in a sentence.
 *
 * Truth: Kubernetes docs "Using Source IP" (externalTrafficPolicy); kube-proxy KUBE-MARK-MASQ;
 * ingress-nginx and Application Gateway docs (X-Forwarded-For).
 * @module
 */
import { type Address, equalAddress, formatAddress } from '../../../wire/address/address.ts';
import type { Front } from './fronts.ts';

/** `seenAs`: the addresses under which the proxy may see the client; none: it never does. */
export function clientAddress(front: Front, client: Address, seenAs: readonly Address[]): string {
  if (seenAs.length === 0) {
    return 'the client does not get to the proxy, or under an address that was not settled';
  }
  const who = formatAddress(client);
  const kept = seenAs.filter((a) => equalAddress(a, client)).length;
  if (front.kind === 'gateway') {
    return `the gateway sees ${who} and tells it in X-Forwarded-For; the backend sees the gateway`;
  }
  const policy = `externalTrafficPolicy ${front.service.externalTrafficPolicy}`;
  const others = [
    ...new Set(seenAs.filter((a) => !equalAddress(a, client)).map(formatAddress)),
  ].join(', ');
  const tells = 'tells it in X-Forwarded-For; the backend sees the controller';
  if (kept === seenAs.length) return `the controller sees ${who} (${policy}) and ${tells}`;
  const hidden = `another address in the client's place (${policy}): ${others}; X-Forwarded-For says that one`;
  return kept === 0
    ? `the controller sees ${hidden}, the backend sees the controller`
    : `the controller sees ${who}, or, by the way taken, ${hidden}; the backend sees the controller`;
}
