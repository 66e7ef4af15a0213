/**
 * What the user calls a stack: `NETWORK+POLICY[,option=value]`, read and checked.
 *
 * Which combinations exist on Azure is decided here, once. Sources: aks-engine
 * `pkg/api/vlabs/validate.go` (Calico with Azure CNI requires networkMode transparent) and
 * AgentBaker `cse_config.sh` `configureCNIIPTables` (bridge is rewritten to transparent when the
 * policy is calico); Microsoft's "Azure CNI Powered by Cilium" and "Use network policies" pages.
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import {
  NETWORKS,
  type NetworkName,
  type OptionSpec,
  POLICY_ENGINES,
  type PolicyEngineName,
  type Stack,
} from './dataplane.ts';
import { PROXY_MODE, PROXY_VERSION } from './kube-proxy/config.ts';
import { FORCE } from './offered.ts';
import { networkRenderer, policyRenderer } from './registry.ts';
import { DSR, NODE_OS } from './windows/options.ts';

/** Why Azure refuses a combination, whatever is emulated. */
const REFUSED: readonly {
  readonly network: NetworkName;
  readonly policy: PolicyEngineName;
  readonly reason: string;
}[] = [
  {
    network: 'azure-bridge',
    policy: 'calico',
    reason:
      'Felix matches workloads by interface (-i azv+), and a bridge port is never the ' +
      'in-interface of an IP packet, so nothing would be enforced; AKS rewrites the CNI mode to ' +
      'transparent when the policy is calico',
  },
  {
    network: 'kubenet',
    policy: 'npm',
    reason: 'Azure network policy manager requires Azure CNI; kubenet supports calico only',
  },
  {
    network: 'kubenet',
    policy: 'cilium',
    reason: 'Azure CNI powered by Cilium requires Azure CNI; kubenet supports calico only',
  },
  ...(['npm', 'cilium'] as const).map((policy) => ({
    network: 'byo' as const,
    policy,
    reason:
      policy === 'npm'
        ? 'AKS installs it, and AKS installs no policy engine where the network is your own'
        : 'Cilium is a network of its own, not a policy engine beside another',
  })),
  ...(['npm', 'calico', 'cilium'] as const).map((policy) => ({
    network: 'docker' as const,
    policy,
    reason: 'there is no Kubernetes on these hosts, so nothing reads NetworkPolicies',
  })),
  {
    network: 'azure-bridge',
    policy: 'cilium',
    reason: 'the Cilium dataplane attaches to routed interfaces, not to bridge ports',
  },
];

/** Options of every stack, whatever its policy engine. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  PROXY_MODE,
  PROXY_VERSION,
  FORCE,
  DSR,
  NODE_OS,
];

/**
 * Read `azure-bridge+npm,version=1.4.23,place-first=true`.
 *
 * Unknown names, refused combinations and options that the stack does not know are
 * all collected and thrown as one `UserError`. Option defaults are not filled in: `stackOption`
 * does that.
 */
export function parseStack(text: string): Stack {
  const problems: Diagnostic[] = [];
  const [head = '', ...rest] = text.split(',');
  const [networkText = '', policyText = '', ...extra] = head.split('+');
  const network = NETWORKS.find((name) => name === networkText);
  const policy = POLICY_ENGINES.find((name) => name === policyText);
  if (!head.includes('+') || extra.length > 0) {
    problems.push({
      code: 'STACK_FORM',
      message: 'a stack is NETWORK+POLICY[,option=value…]',
      found: text,
      accepted: `${NETWORKS.join('|')} + ${POLICY_ENGINES.join('|')}`,
    });
    throw new UserError(problems);
  }
  if (network === undefined) {
    problems.push(unknown('STACK_NETWORK', 'network', networkText, NETWORKS));
  } else if (networkRenderer(network) === undefined) {
    problems.push(notEmulated(`network ${network}`, emulatedNetworks()));
  }
  if (policy === undefined) {
    problems.push(unknown('STACK_POLICY', 'policy engine', policyText, POLICY_ENGINES));
  } else if (policyRenderer(policy) === undefined) {
    problems.push(notEmulated(`policy engine ${policy}`, emulatedPolicies()));
  }
  const own = policy === undefined ? [] : (policyRenderer(policy)?.options ?? []);
  const ofNetwork = network === undefined ? [] : (networkRenderer(network)?.options ?? []);
  const specs = [...own, ...ofNetwork, ...COMMON_OPTIONS];
  const options = readOptions(rest, specs, problems);
  if (network !== undefined && policy !== undefined) {
    const refused = REFUSED.find((r) => r.network === network && r.policy === policy);
    if (refused && options[FORCE.name] !== 'true') {
      problems.push({
        code: 'STACK_REFUSED',
        message: `Azure does not offer ${network} with ${policy}: ${refused.reason}`,
        found: head,
        accepted: `another combination; ${head},force=true goes on all the same`,
      });
    }
  }
  if (problems.length > 0 || network === undefined || policy === undefined) {
    throw new UserError(problems);
  }
  return { text, network, policy, options };
}

/** The value of an option of this stack's policy engine: the user's, or the engine's default. */
export function stackOption(stack: Stack, spec: OptionSpec): string {
  return stack.options[spec.name] ?? spec.default;
}

function readOptions(
  parts: readonly string[],
  specs: readonly OptionSpec[],
  problems: Diagnostic[],
): Record<string, string> {
  const options: Record<string, string> = {};
  const accepted = specs.map((s) => `${s.name}=${s.values}`).join(', ');
  for (const part of parts) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? '' : part.slice(equals + 1);
    const spec = specs.find((s) => s.name === name);
    if (equals < 0 || value === '') {
      const message = 'a stack option is name=value';
      problems.push({ code: 'STACK_OPTION_FORM', message, found: part, accepted });
    } else if (spec === undefined) {
      const message = `unknown stack option ${name}`;
      problems.push({ code: 'STACK_OPTION', message, found: part, accepted });
    } else if (Object.hasOwn(options, name)) {
      const message = `stack option ${name} is given twice`;
      problems.push({ code: 'STACK_OPTION_TWICE', message, found: part });
    } else {
      if (spec.accepts !== undefined && !spec.accepts(value)) {
        const message = `stack option ${name} has a value that is not accepted`;
        problems.push({
          code: 'STACK_OPTION_VALUE',
          message,
          found: value,
          accepted: spec.values,
        });
      }
      options[name] = value;
    }
  }
  return options;
}

function unknown(
  code: string,
  what: string,
  found: string,
  accepted: readonly string[],
): Diagnostic {
  return { code, message: `unknown ${what}`, found, accepted: accepted.join(', ') };
}

function notEmulated(what: string, emulated: readonly string[]): Diagnostic {
  return {
    code: 'STACK_NOT_EMULATED',
    message: `${what} is not emulated yet`,
    accepted: emulated.join(', '),
  };
}

function emulatedNetworks(): string[] {
  return NETWORKS.filter((name) => networkRenderer(name) !== undefined);
}

function emulatedPolicies(): string[] {
  return POLICY_ENGINES.filter((name) => policyRenderer(name) !== undefined);
}
