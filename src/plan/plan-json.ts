/**
 * The JSON form of a plan, as a result carries it (report/result/plan-report.ts): the structure of
 * plan/model.ts with addresses, rules and members in the words of the tools, so that it can be read
 * without this program.
 * @module
 */

import type { EbTable } from '../netfilter/ebtables.ts';
import type { Rule, Table } from '../netfilter/rule.ts';
import { formatAddress, formatPrefix } from '../wire/address/address.ts';
import { formatListed } from './conntrack-text.ts';
import { formatEbRule } from './ebtables/text.ts';
import { hnsToJson } from './hns/text.ts';
import { formatMember } from './ipset/member.ts';
import type { Json } from './json.ts';
import type { Interface, Plan, Route, RoutingRule } from './model.ts';
import { printNft } from './nft/text/ruleset-text.ts';
import { formatRule } from './rule/rule-text.ts';
import { printVirtualServers } from './virtual-server-text.ts';

/** Make the JSON value of a plan; `undefined` fields are those that JSON.stringify leaves out. */
export function planToJson(plan: Plan) {
  const { host, role, evidence, kernel } = plan;
  return {
    host,
    role,
    evidence,
    kernel,
    interfaces: plan.interfaces.map(interfaceJson),
    routes: plan.routes.map(routeJson),
    routingRules: plan.routingRules.map(routingRuleJson),
    neighbors: plan.neighbors.map((neighbor) => ({
      ...neighbor,
      address: formatAddress(neighbor.address),
    })),
    fdb: plan.fdb.map((entry) => ({ ...entry })),
    tables: plan.tables.map(tableJson),
    nft: plan.nft && printNft(plan),
    ebtables: plan.ebtables.map(ebTableJson),
    ipsets: plan.ipsets.map(({ members, ...set }) => ({
      ...set,
      members: members.map(formatMember),
    })),
    hns: plan.hns && hnsToJson(plan.hns),
    ...(plan.virtualServers ? { ipvs: printVirtualServers(plan) } : {}),
    sysctls: plan.sysctls,
    gaps: [...(plan.gaps ?? [])],
    ...(plan.connections ? { connections: plan.connections.map(formatListed) } : {}),
  } satisfies Json;
}

function interfaceJson({ addresses, ...rest }: Interface): Json {
  const list = addresses.map(({ scope, ...prefix }) => ({ address: formatPrefix(prefix), scope }));
  return { ...rest, addresses: list };
}

function routeJson({ destination, via, source, ...rest }: Route): Json {
  return {
    ...rest,
    destination: formatPrefix(destination),
    via: via && formatAddress(via),
    source: source && formatAddress(source),
  };
}

function routingRuleJson({ from, to, fwmark, ...rest }: RoutingRule): Json {
  return {
    ...rest,
    from: from && formatPrefix(from),
    to: to && formatPrefix(to),
    fwmark: fwmark && { ...fwmark },
  };
}

function tableJson({ family, name, legacy, chains }: Table): Json {
  return {
    family,
    name,
    legacy,
    chains: chains.map((chain) => ({
      name: chain.name,
      policy: chain.policy,
      counters: chain.counters && { ...chain.counters },
      rules: chain.rules.map((rule, index) => ruleJson(rule, index, chain.name, family)),
    })),
  };
}

/** `index` counts from 1, as reports name rules. */
function ruleJson(rule: Rule, index: number, chain: string, family: Table['family']): Json {
  return {
    index: index + 1,
    text: formatRule(rule, chain, family),
    origin: rule.origin?.map((one) => ({ ...one })),
    place: rule.place,
    counters: rule.counters && { ...rule.counters },
  };
}

function ebTableJson({ name, backend, chains }: EbTable): Json {
  return {
    name,
    ...(backend === undefined ? {} : { backend }),
    chains: chains.map((chain) => ({
      ...chain,
      rules: chain.rules.map((rule) => formatEbRule(rule, chain.name)),
    })),
  };
}
