/**
 * The fields of networking.k8s.io/v1 Ingress and IngressClass (k8s.io/api networking/v1).
 * @module
 */
import type { Shape } from './schema.ts';
import { ANY, INTEGER, list, object, openObject, STRING, STRINGS } from './schema.ts';
import { kindShape } from './schema-core.ts';

const BACKEND = object({
  service: object({ name: STRING, port: object({ name: STRING, number: INTEGER }) }),
  resource: object({ apiGroup: STRING, kind: STRING, name: STRING }),
});

const PATH = object({ path: STRING, pathType: STRING, backend: BACKEND });

export const INGRESS: Shape = kindShape({
  spec: object({
    ingressClassName: STRING,
    defaultBackend: BACKEND,
    rules: list(object({ host: STRING, http: object({ paths: list(PATH) }) })),
    tls: list(object({ hosts: STRINGS, secretName: STRING })),
  }),
  status: openObject({
    loadBalancer: openObject({ ingress: list(openObject({ ip: STRING, hostname: STRING })) }),
  }),
});

export const INGRESS_CLASS: Shape = kindShape({
  spec: object({ controller: STRING, parameters: ANY }),
});
