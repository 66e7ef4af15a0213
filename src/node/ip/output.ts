/**
 * A packet of the host itself: `__ip_local_out` (net/ipv4/ip_output.c): routed first, then OUTPUT,
 * which may send it elsewhere, then postrouting. The out-device that OUTPUT's rules see is that of
 * the first route, also when a rule before them changed the way (`nf_hook_state`).
 * @module
 */

import { parseFrame } from '../../packet/parse.ts';
import { formatAddress } from '../../wire/address/address.ts';
import { hook } from '../hook/hook.ts';
import { faulty } from '../link/link-input.ts';
import type { Passage, Stage } from '../passage.ts';
import { drop, type Run, unknown } from '../run.ts';
import { routeOutput } from './route-output.ts';

/** A local process sends the packet that the passage holds. */
export function localSend(_run: Run, passage: Passage): Stage | null {
  const fault = parseFrame(passage.packet);
  if (fault !== null) return faulty(passage, fault);
  if (passage.packet.family === 0) return drop(passage, 'ip-output', 'unknownEtherType');
  return 'ipOutput';
}

export function ipOutput(run: Run, passage: Passage): Stage | null {
  const { host, packet } = passage;
  passage.local = true;
  const found = routeOutput(host, packet);
  if (found.kind === 'drop') return drop(passage, 'route', found.reason);
  if (found.route.assumed) {
    return unknown(passage, { host: host.name, stage: 'route' }, 'dumpIncomplete');
  }
  const { device, via } = found.route;
  const out = host.device(device);
  if (out === null || !out.up) return drop(passage, 'route', 'noSuchDevice');
  passage.route = found.route;
  passage.device = out;
  passage.step('route', `dev ${device}${via === null ? '' : ` via ${formatAddress(via)}`}`);
  passage.judgeAggregate(out);
  packet.inDevice = '';
  packet.outDevice = device;
  return hook(run, passage, 'output') ? 'postrouting' : null;
}

/** What a virtual server sends on, already routed: as if it were the host's own. */
export function virtualOutput(run: Run, passage: Passage): Stage | null {
  return hook(run, passage, 'output') ? 'postrouting' : null;
}
