/**
 * The result of `doctor`: of the machine, or with `-f` of a cluster.
 * @module
 */
import { COUNT, FLAG, list, object, orNull, type Schema, said, TEXT } from './build.ts';
import { BY_NAME, head, STACK, WARNINGS } from './parts.ts';

const MACHINE: Readonly<Record<string, Schema>> = {
  counts: object({ tools: COUNT, found: COUNT }),
  machine: object({ node: TEXT, platform: TEXT, arch: TEXT, root: FLAG }),
  engines: object({ reference: FLAG, compiled: FLAG }),
  tools: list(object({ tool: TEXT, package: TEXT, use: TEXT, found: FLAG })),
};

const SUPPLY = object({
  what: TEXT,
  range: said('null for a limit', orNull(TEXT)),
  size: COUNT,
  used: COUNT,
  left: { type: 'integer' },
  perNode: COUNT,
  moreNodes: said('nodes that still fit; null when nodes take none of it', orNull(COUNT)),
});

const CLUSTER: Readonly<Record<string, Schema>> = {
  stack: STACK,
  files: list(TEXT),
  counts: object({
    nodes: COUNT,
    namespaces: COUNT,
    pods: COUNT,
    services: COUNT,
    networkPolicies: COUNT,
  }),
  ignored: said('objects without a bearing on packets, by kind', BY_NAME),
  unsupported: said('objects that were skipped although they have one, by kind', BY_NAME),
  addressPlan: object({
    inferred: said('no wiring document was given', FLAG),
    vnet: list(TEXT),
    subnets: list(TEXT),
    podCidrs: list(TEXT),
    serviceCidrs: list(TEXT),
    nonMasqueradeCidrs: list(TEXT),
    supplies: list(SUPPLY),
    first: said('what ends first as nodes are added', orNull(SUPPLY)),
    fullest: said(
      'the node with the least room for pods',
      orNull(object({ node: TEXT, pods: COUNT, maxPods: COUNT })),
    ),
  }),
  warnings: WARNINGS,
};

const HEAD = head('DoctorResult', false);

export const DOCTOR_RESULT: Schema = {
  oneOf: [object({ ...HEAD, ...MACHINE }), object({ ...HEAD, ...CLUSTER })],
};
