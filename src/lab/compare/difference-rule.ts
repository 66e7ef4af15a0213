/**
 * What a known kind of difference is, and what it is recognised by.
 * @module
 */
import type { ConnectionResult } from '../result.ts';
import type { ConnectionDetail } from '../stack-run.ts';
import type { World } from '../world.ts';

export interface DifferenceClass {
  readonly id: string;
  readonly explanation: string;
  readonly source: string;
}

export interface DifferenceSide {
  readonly row: ConnectionResult;
  readonly detail: ConnectionDetail;
  readonly world: World | undefined;
}

export interface DifferenceRule extends DifferenceClass {
  applies(sides: readonly DifferenceSide[]): boolean;
}
