/**
 * cyclonus by Service on azure-bridge+npm (cyclonus-by-service.ts).
 * @module
 */
import { cyclonusByService } from './cyclonus-by-service.ts';

cyclonusByService('azure-bridge+npm');
