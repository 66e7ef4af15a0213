/**
 * Write native/src/layout.gen.hh from src/engine/compiled/layout.ts: `node dist/bench/layout.js`.
 * @module
 */
import { writeFileSync } from 'node:fs';
import { layoutHeader } from '../src/engine/compiled/layout.ts';

writeFileSync('native/src/layout.gen.hh', layoutHeader());
