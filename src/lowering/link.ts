/**
 * Plan → image. (Signature first; body follows.)
 * @module
 */
import type { HostImage } from '../image/image.ts';
import type { Plan } from '../plan/model.ts';

/** Verify a plan and make its image; throws one UserError with every mistake. */
export declare function lower(plan: Plan): HostImage;
