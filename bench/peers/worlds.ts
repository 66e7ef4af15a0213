/**
 * The networks that both sides get: one rendered node with thirty pods, whose plan is loaded into the
 * real kernel and lowered for the engine. What a scenario changes, it changes in the plan.
 * @module
 */
import { parseStack } from '../../src/dataplane/stack.ts';
import { World } from '../../src/lab/world.ts';
import type { Plan } from '../../src/plan/model.ts';
import { parseNft } from '../../src/plan/nft/parse/ruleset-parser.ts';
import { generateCluster, OPEN_PORT } from '../clusters.ts';

const SEED = 1;
const PODS = 30;

function render(stack: string, policies: number): World {
  const inputs = generateCluster({ nodes: 1, podsPerNode: PODS, policies });
  return new World({ ...inputs, stack: parseStack(stack), seed: SEED });
}

function changed(stack: string, policies: number, change: (node: Plan) => Plan): World {
  const world = render(stack, policies);
  const network = { ...world.network, nodes: world.network.nodes.map(change) };
  const { cluster, policies: kept } = world;
  return new World({ cluster, policies: kept, stack: parseStack(stack), seed: SEED, network });
}

/**
 * Without the ebtables rules of the node's own NIC, which these packets never meet; what they cost the
 * kernel, it is spared.
 */
export function npm(policies: number): World {
  return changed('azure-bridge+npm', policies, (node) => ({ ...node, ebtables: [] }));
}

export function calico(policies: number): World {
  return render('azure-transparent+calico', policies);
}

/** Routed veth with a thousand policies and the masquerade agent's rules. */
export function routedNpm(): World {
  return render('azure-transparent+npm', 1000);
}

/** Routed veth with kube-proxy's and the masquerade agent's rules: connections are tracked. */
export function routed(): World {
  return render('azure-transparent+none', 0);
}

/** A bridge that asks no rules at all. */
export function plainBridge(): World {
  return changed('azure-bridge+none', 0, (node) => ({
    ...node,
    tables: [],
    ipsets: [],
    ebtables: [],
    sysctls: {
      ...node.sysctls,
      'net.bridge.bridge-nf-call-iptables': '0',
      'net.bridge.bridge-nf-call-ip6tables': '0',
    },
  }));
}

/** Routed veth whose only rule asks a map of addresses and port: one element is of the traffic. */
export function verdictMap(elements: number): World {
  return changed('azure-transparent+none', 0, ({ ...node }) => {
    const [client, server] = ['10.240.0.11', '10.240.0.12'];
    const lines = Array.from({ length: elements }, (_, i) =>
      i === elements - 1
        ? `${client} . ${server} . udp . ${OPEN_PORT} : accept`
        : `10.241.${i >> 8}.${i & 255} . ${server} . udp . ${1024 + (i % 8000)} : accept`,
    );
    const text = `table ip peers {
  map verdicts {
    type ipv4_addr . ipv4_addr . inet_proto . inet_service : verdict
    elements = { ${lines.join(', ')} }
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ip saddr . ip daddr . ip protocol . th dport vmap @verdicts
  }
}
`;
    return { ...node, tables: [], ipsets: [], ebtables: [], nft: parseNft(text, 'peers.nft') };
  });
}
