/**
 * kubelet's and kube-proxy's chains on a node of a cluster without Services.
 * @module
 */
import { renderKubelet } from '../../src/dataplane/kube-proxy/kubelet.ts';
import { type ProxyInput, renderKubeProxy } from '../../src/dataplane/kube-proxy/render.ts';
import type { PlanBuilder } from '../../src/plan/builder.ts';

/** What kube-proxy is told when nobody tells it anything. */
export const PROXY_DEFAULTS: ProxyInput['settings'] = {
  mode: 'iptables',
  masqueradeAll: false,
  masqueradeBit: 14,
  localhostNodePorts: true,
  nodePortAddresses: [],
  detectLocal: { mode: 'none' },
  tcpBeLiberal: false,
  conntrackMaxPerCore: 32_768,
  conntrackMin: 131_072,
  tcpEstablishedTimeout: 86_400,
  tcpCloseWaitTimeout: 3600,
  udpTimeout: 0,
  udpStreamTimeout: 0,
  countsByName: false,
};

export function renderBareProxy(builder: PlanBuilder): void {
  renderKubelet(builder);
  renderKubeProxy(builder, {
    services: [],
    endpointSlices: [],
    node: { name: builder.host, addresses: [], podCidrs: [], labels: {} },
    settings: PROXY_DEFAULTS,
  });
}
