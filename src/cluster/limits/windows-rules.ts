/**
 * What AKS asks of Windows node pools (facts: AKS docs "Resource naming restrictions": six
 * characters; "Use kubenet" and "Azure CNI Powered by Cilium": no Windows; "Windows Server node
 * pools": a Linux pool for the system; "Outbound network options": OutboundNAT).
 * @module
 */
import type { GivenWiring } from '../decode/wiring/wiring.ts';
import type { Wiring } from '../model.ts';

/** The longest name of a Windows pool: its machines' names have fifteen characters. */
const NAME = 6;

/** One refusal, by the words of a diagnostic. */
export interface PoolProblem {
  readonly code: 'AZURE_COMBINATION' | 'AZURE_NODE_POOL' | 'AZURE_OUTBOUND';
  readonly message: string;
  readonly accepted: string;
}

/** Every rule of AKS that the Windows pools of a wiring break. */
export function windowsPoolProblems(given: GivenWiring, wiring: Wiring): readonly PoolProblem[] {
  const pools = given.nodePools.filter(({ os }) => os === 'windows');
  if (pools.length === 0) return [];
  const found: PoolProblem[] = [];
  const { networkPlugin: plugin, networkPolicy: policy } = wiring;
  if (plugin === 'kubenet') {
    const message = 'AKS refuses Windows node pools with networkPlugin kubenet';
    found.push({ code: 'AZURE_COMBINATION', message, accepted: 'networkPlugin azure' });
  }
  if (policy === 'cilium') {
    const message = 'AKS refuses Windows node pools with networkPolicy cilium';
    found.push({ code: 'AZURE_COMBINATION', message, accepted: 'azure, calico, none' });
  }
  if (pools.length === given.nodePools.length) {
    const message = 'AKS refuses a cluster of Windows node pools only: its system pool runs Linux';
    found.push({ code: 'AZURE_NODE_POOL', message, accepted: 'a pool with osType Linux' });
  }
  for (const { name } of pools.filter((pool) => pool.name.length > NAME)) {
    const message = `the name of the Windows node pool ${name} is longer than ${NAME} characters`;
    found.push({ code: 'AZURE_NODE_POOL', message, accepted: `at most ${NAME} characters` });
  }
  if (given.azure.outbound.type === 'loadBalancer') {
    for (const { name } of pools.filter((pool) => pool.disableOutboundNat === true)) {
      const message = `AKS refuses disableOutboundNat of ${name} with outboundType loadBalancer`;
      found.push({
        code: 'AZURE_OUTBOUND',
        message,
        accepted: 'a NAT gateway, userDefinedRouting',
      });
    }
  }
  return found;
}
