/**
 * Stacks of which it is not known well enough what they do beside IPVS mode.
 *
 * Felix finds kube-ipvs0 and then writes other rules than beside iptables mode: endpoint marks,
 * by which what a pod sends through INPUT is still told by its pod in OUTPUT (felix
 * `rules/static.go` `KubeIPVSSupportEnabled`, `rules/endpoints.go` `EndpointMarkDispatchChains`).
 * @module
 */
import type { Cluster } from '../../../cluster/model.ts';
import type { Diagnostic } from '../../../diagnostic/diagnostic.ts';
import type { Stack } from '../../dataplane.ts';
import { proxySettings } from '../config.ts';

/** Why this stack can not be rendered in the mode that it asks for. */
export function ipvsRefusals(cluster: Cluster, stack: Stack): readonly Diagnostic[] {
  const isRefused = stack.policy === 'calico' && proxySettings(cluster, stack).mode === 'ipvs';
  if (!isRefused) return [];
  return [
    {
      code: 'STACK_NOT_EMULATED',
      field: '--stack',
      message:
        'Calico beside kube-proxy in IPVS mode is not emulated: Felix writes other rules there ' +
        '(endpoint marks)',
      found: stack.text,
      accepted: 'kube-proxy=iptables or kube-proxy=nftables; policy engines none and npm',
    },
  ];
}
