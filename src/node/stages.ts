/**
 * The graph of stages: who goes on with a packet. The only loop that moves packets is `runStages`.
 * @module
 */

import { bridgeForward, bridgeInput, bridgeLocalInput, bridgeOutput } from './bridge/bridge.ts';
import { ipForward } from './ip/forward.ts';
import { ipInput } from './ip/input.ts';
import { ipLocal } from './ip/local.ts';
import { ipOutput, localSend, virtualOutput } from './ip/output.ts';
import { neighborOutput, postrouting, transmit } from './ip/postrouting.ts';
import { arpInput } from './link/arp-input.ts';
import { linkInput, protocolInput } from './link/link-input.ts';
import type { Passage, Stage } from './passage.ts';
import { drop, type Run } from './run.ts';

const STAGES: Readonly<Record<Stage, (run: Run, passage: Passage) => Stage | null>> = {
  linkInput,
  bridgeInput,
  bridgeForward,
  bridgeLocalInput,
  bridgeOutput,
  protocolInput,
  arpInput,
  ipInput,
  ipForward,
  ipLocal,
  localSend,
  ipOutput,
  virtualOutput,
  postrouting,
  neighborOutput,
  transmit,
};

/** More stages than any real way through one host has; only a loop takes more. */
const MAX_STAGES = 64;

/** Move a packet from stage to stage until it has ended or left this host. */
export function runStages(run: Run, passage: Passage, first: Stage): void {
  let stage: Stage | null = first;
  for (let count = 0; stage !== null; count++) {
    if (count === MAX_STAGES) {
      drop(passage, stage, 'internalLoop');
      return;
    }
    stage = STAGES[stage](run, passage);
  }
}
