/**
 * The fields of the Kubernetes kinds that bear on packets (k8s.io/api core/v1, apps/v1, batch/v1,
 * discovery/v1, names up to release 1.34).
 * @module
 */
import type { Shape } from './schema.ts';
import {
  ANY,
  BOOLEAN,
  INTEGER,
  INTEGER_OR_STRING,
  list,
  object,
  openObject,
  STRING,
  STRING_MAP,
  STRINGS,
} from './schema.ts';

const META: Shape = object(
  {
    name: STRING,
    generateName: STRING,
    namespace: STRING,
    labels: STRING_MAP,
    annotations: STRING_MAP,
  },
  'clusterName creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generation ' +
    'managedFields ownerReferences resourceVersion selfLink uid',
);

/** A whole object of a kind with this `spec`, and further top-level fields. */
export function kindShape(fields: Readonly<Record<string, Shape>>): Shape {
  return object({ apiVersion: STRING, kind: STRING, metadata: META, ...fields });
}

/** metav1.LabelSelector. */
export const SELECTOR: Shape = object({
  matchLabels: STRING_MAP,
  matchExpressions: list(object({ key: STRING, operator: STRING, values: STRINGS })),
});

const CONTAINER_PORT = object({
  name: STRING,
  protocol: STRING,
  containerPort: INTEGER,
  hostPort: INTEGER,
  hostIP: STRING,
});

const CONTAINER = object(
  { name: STRING, image: STRING, ports: list(CONTAINER_PORT), restartPolicy: STRING },
  'args command env envFrom imagePullPolicy lifecycle livenessProbe readinessProbe resizePolicy ' +
    'resources restartPolicyRules securityContext startupProbe stdin stdinOnce ' +
    'targetContainerName terminationMessagePath terminationMessagePolicy tty volumeDevices ' +
    'volumeMounts workingDir',
);

const POD_SPEC = object(
  {
    containers: list(CONTAINER),
    initContainers: list(CONTAINER),
    hostNetwork: BOOLEAN,
    nodeName: STRING,
    nodeSelector: STRING_MAP,
    serviceAccountName: STRING,
    serviceAccount: STRING,
    hostname: STRING,
    subdomain: STRING,
    dnsPolicy: STRING,
    dnsConfig: object({
      nameservers: STRINGS,
      searches: STRINGS,
      options: list(object({ name: STRING, value: STRING })),
    }),
    hostAliases: list(object({ ip: STRING, hostnames: STRINGS })),
  },
  'activeDeadlineSeconds affinity automountServiceAccountToken ' +
    'enableServiceLinks ephemeralContainers hostIPC hostPID hostUsers ' +
    'hostnameOverride imagePullSecrets os overhead preemptionPolicy priority priorityClassName ' +
    'readinessGates resourceClaims resources restartPolicy runtimeClassName schedulerName ' +
    'schedulingGates securityContext setHostnameAsFQDN shareProcessNamespace ' +
    'terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes workloadRef',
);

const TEMPLATE = object({ metadata: META, spec: POD_SPEC });

export const POD: Shape = kindShape({
  spec: POD_SPEC,
  status: openObject({
    phase: STRING,
    podIP: STRING,
    hostIP: STRING,
    podIPs: list(openObject({ ip: STRING })),
    conditions: list(openObject({ type: STRING, status: STRING })),
  }),
});

export const NAMESPACE: Shape = kindShape({ spec: object({}, 'finalizers'), status: ANY });

export const NODE: Shape = kindShape({
  spec: object(
    { podCIDR: STRING, podCIDRs: STRINGS },
    'configSource externalID providerID taints unschedulable',
  ),
  status: openObject({
    addresses: list(openObject({ type: STRING, address: STRING })),
    nodeInfo: openObject({
      kernelVersion: STRING,
      kubeletVersion: STRING,
      operatingSystem: STRING,
    }),
  }),
});

const SERVICE_PORT = object({
  name: STRING,
  protocol: STRING,
  appProtocol: STRING,
  port: INTEGER,
  targetPort: INTEGER_OR_STRING,
  nodePort: INTEGER,
});

export const SERVICE: Shape = kindShape({
  spec: object({
    type: STRING,
    ports: list(SERVICE_PORT),
    selector: STRING_MAP,
    clusterIP: STRING,
    clusterIPs: STRINGS,
    externalIPs: STRINGS,
    loadBalancerIP: STRING,
    loadBalancerClass: STRING,
    loadBalancerSourceRanges: STRINGS,
    externalName: STRING,
    externalTrafficPolicy: STRING,
    internalTrafficPolicy: STRING,
    trafficDistribution: STRING,
    healthCheckNodePort: INTEGER,
    sessionAffinity: STRING,
    sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: INTEGER }) }),
    ipFamilies: STRINGS,
    ipFamilyPolicy: STRING,
    allocateLoadBalancerNodePorts: BOOLEAN,
    publishNotReadyAddresses: BOOLEAN,
  }),
  status: openObject({
    loadBalancer: openObject({
      ingress: list(openObject({ ip: STRING, hostname: STRING, ipMode: STRING })),
    }),
  }),
});

const TARGET = openObject({ kind: STRING, name: STRING, namespace: STRING });

const HINTS = openObject({
  forZones: list(openObject({ name: STRING })),
  forNodes: list(openObject({ name: STRING })),
});

export const ENDPOINT_SLICE: Shape = kindShape({
  addressType: STRING,
  endpoints: list(
    object(
      {
        addresses: STRINGS,
        conditions: openObject({ ready: BOOLEAN, serving: BOOLEAN, terminating: BOOLEAN }),
        hints: HINTS,
        hostname: STRING,
        nodeName: STRING,
        targetRef: TARGET,
        zone: STRING,
      },
      'deprecatedTopology topology',
    ),
  ),
  ports: list(object({ name: STRING, protocol: STRING, port: INTEGER, appProtocol: STRING })),
});

const ENDPOINT_ADDRESS = object({
  ip: STRING,
  nodeName: STRING,
  targetRef: TARGET,
  hostname: STRING,
});

export const ENDPOINTS: Shape = kindShape({
  subsets: list(
    object({
      addresses: list(ENDPOINT_ADDRESS),
      notReadyAddresses: list(ENDPOINT_ADDRESS),
      ports: list(object({ name: STRING, protocol: STRING, port: INTEGER, appProtocol: STRING })),
    }),
  ),
});

export const CONFIG_MAP: Shape = kindShape({ data: STRING_MAP, binaryData: ANY, immutable: ANY });

/** Calico IPPool (crd.projectcalico.org/v1): what bears on packets, and what else there is. */
export const IP_POOL: Shape = kindShape({
  spec: object(
    { cidr: STRING, natOutgoing: BOOLEAN, ipipMode: STRING, vxlanMode: STRING, disabled: BOOLEAN },
    'allowedUses assignmentMode blockSize disableBGPExport namespaceSelector nodeSelector',
  ),
});

/** kubeproxy.config.k8s.io/v1alpha1: what bears on packets, and what else there is up to 1.34. */
/** Kubelet's own fields are many, and none but these bears on packets. */
export const KUBELET: Shape = openObject({ clusterDomain: STRING, clusterDNS: STRINGS });

export const KUBE_PROXY: Shape = kindShape({
  mode: STRING,
  iptables: object(
    { masqueradeBit: INTEGER, masqueradeAll: BOOLEAN, localhostNodePorts: BOOLEAN },
    'syncPeriod minSyncPeriod',
  ),
  ipvs: object(
    {
      scheduler: STRING,
      strictARP: BOOLEAN,
      excludeCIDRs: STRINGS,
      tcpTimeout: STRING,
      tcpFinTimeout: STRING,
      udpTimeout: STRING,
    },
    'syncPeriod minSyncPeriod',
  ),
  nftables: object({ masqueradeBit: INTEGER, masqueradeAll: BOOLEAN }, 'syncPeriod minSyncPeriod'),
  detectLocalMode: STRING,
  detectLocal: object({ bridgeInterface: STRING, interfaceNamePrefix: STRING }),
  clusterCIDR: STRING,
  nodePortAddresses: STRINGS,
  conntrack: object({
    maxPerCore: INTEGER,
    min: INTEGER,
    tcpEstablishedTimeout: STRING,
    tcpCloseWaitTimeout: STRING,
    tcpBeLiberal: BOOLEAN,
    udpTimeout: STRING,
    udpStreamTimeout: STRING,
  }),
  ...Object.fromEntries(
    (
      'bindAddress bindAddressHardFail clientConnection configSyncPeriod enableProfiling ' +
      'featureGates healthzBindAddress hostnameOverride logging metricsBindAddress ' +
      'oomScoreAdj portRange showHiddenMetricsForVersion windowsRunAsService winkernel'
    )
      .split(' ')
      .map((name) => [name, ANY]),
  ),
});

const JOB_SPEC = object(
  { template: TEMPLATE, parallelism: INTEGER, completions: INTEGER, suspend: BOOLEAN },
  'activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode managedBy ' +
    'manualSelector maxFailedIndexes podFailurePolicy podReplacementPolicy selector ' +
    'successPolicy ttlSecondsAfterFinished',
);

/** Kinds that make pods, by kind. */
export const WORKLOADS: Readonly<Record<string, Shape>> = {
  Deployment: kindShape({
    spec: object(
      { replicas: INTEGER, selector: SELECTOR, template: TEMPLATE },
      'minReadySeconds paused progressDeadlineSeconds revisionHistoryLimit strategy',
    ),
    status: ANY,
  }),
  StatefulSet: kindShape({
    spec: object(
      {
        replicas: INTEGER,
        selector: SELECTOR,
        template: TEMPLATE,
        ordinals: object({ start: INTEGER }),
      },
      'minReadySeconds persistentVolumeClaimRetentionPolicy podManagementPolicy ' +
        'revisionHistoryLimit serviceName updateStrategy volumeClaimTemplates',
    ),
    status: ANY,
  }),
  DaemonSet: kindShape({
    spec: object(
      { selector: SELECTOR, template: TEMPLATE },
      'minReadySeconds revisionHistoryLimit templateGeneration updateStrategy',
    ),
    status: ANY,
  }),
  ReplicaSet: kindShape({
    spec: object({ replicas: INTEGER, selector: SELECTOR, template: TEMPLATE }, 'minReadySeconds'),
    status: ANY,
  }),
  ReplicationController: kindShape({
    spec: object(
      { replicas: INTEGER, selector: STRING_MAP, template: TEMPLATE },
      'minReadySeconds',
    ),
    status: ANY,
  }),
  Job: kindShape({ spec: JOB_SPEC, status: ANY }),
  CronJob: kindShape({
    spec: object(
      { suspend: BOOLEAN, jobTemplate: object({ metadata: META, spec: JOB_SPEC }) },
      'concurrencyPolicy failedJobsHistoryLimit schedule startingDeadlineSeconds ' +
        'successfulJobsHistoryLimit timeZone',
    ),
    status: ANY,
  }),
};
