/**
 * cyclonus by Service on azure-transparent+calico (cyclonus-by-service.ts).
 * @module
 */
import { cyclonusByService } from './cyclonus-by-service.ts';

cyclonusByService('azure-transparent+calico');
