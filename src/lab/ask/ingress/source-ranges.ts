/**
 * Clients that a proxy refuses by their address: `whitelist-source-range` (or `allowlist-`) and
 * `denylist-source-range`. What counts is the address that the proxy sees, which a Service with
 * externalTrafficPolicy Cluster hides.
 *
 * Source: ingress-nginx docs "Whitelist source range", "Denylist source range"; internal/ingress/
 * annotations/ipallowlist (aliases, ranges apart by commas), template (`deny` before `allow`).
 * @module
 */
import type { Ingress } from '../../../cluster/ingress/model.ts';
import {
  type Address,
  contains,
  hostPrefix,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../../../wire/address/address.ts';
import { nginxAnnotation } from './nginx-paths.ts';

/** Whether the proxy answers a client that it sees under this address; null: can not be read. */
export function takesClient(ingress: Ingress, seen: Address): boolean | null {
  const denied = rangesOf(nginxAnnotation(ingress, 'denylist-source-range'));
  const allowed = rangesOf(
    nginxAnnotation(ingress, 'allowlist-source-range') ||
      nginxAnnotation(ingress, 'whitelist-source-range'),
  );
  if (denied === null || allowed === null) return null;
  if (denied.some((range) => contains(range, seen))) return false;
  return allowed.length === 0 || allowed.some((range) => contains(range, seen));
}

function rangesOf(written: string): readonly Prefix[] | null {
  const found: Prefix[] = [];
  for (const part of written.split(',').map((one) => one.trim())) {
    if (part === '') continue;
    const address = parseAddress(part);
    const range = address ? hostPrefix(address) : parsePrefix(part);
    if (range === null) return null;
    found.push(range);
  }
  return found;
}
