/**
 * Loaded with `--import` before hunt.ts: plants the fault that WIRETRIAL_MUTANT numbers into the
 * module it is for, while that is loaded.
 * @module
 */
import { register } from 'node:module';

register('./mutant-hooks.js', import.meta.url);
