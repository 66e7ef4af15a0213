/**
 * cyclonus by Service on azure-transparent+npm (cyclonus-by-service.ts).
 * @module
 */
import { cyclonusByService } from './cyclonus-by-service.ts';

cyclonusByService('azure-transparent+npm');
