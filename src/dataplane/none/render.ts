/**
 * No policy engine: NetworkPolicies are stored and nothing enforces them, as on an AKS cluster
 * created without `--network-policy`. The node keeps its network and kube-proxy's chains.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { policyId } from '../../policy/model.ts';
import type { PolicyRenderer, RenderInput } from '../dataplane.ts';

export const none: PolicyRenderer = {
  name: 'none',
  options: [],
  node() {},
  warnings,
};

function warnings(input: RenderInput): Diagnostic[] {
  return input.policies.map((policy) => ({
    code: 'POLICY_NOT_ENFORCED',
    file: policy.source.file,
    line: policy.source.line,
    object: policyId(policy),
    message: 'no policy engine is chosen, so nothing enforces this policy',
  }));
}
