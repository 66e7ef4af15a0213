/**
 * The cases of ../shared/suites/kube-proxy-iptables, and each as what our renderer makes of it.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeService } from '../../src/cluster/decode/object/service.ts';
import { decodeEndpointSlice } from '../../src/cluster/decode/object/slices.ts';
import { FieldErrors } from '../../src/cluster/manifest/field-error.ts';
import { gather } from '../../src/cluster/manifest/load.ts';
import { sourceText } from '../../src/cluster/manifest/tree.ts';
import { type ProxyInput, renderKubeProxy } from '../../src/dataplane/kube-proxy/render.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import type { Interface, Plan } from '../../src/plan/model.ts';
import { type Family, parsePrefix } from '../../src/wire/address/address.ts';
import { PROXY_DEFAULTS } from '../support/bare-proxy.ts';
import { address } from '../support/packets.ts';
import type { Flow } from '../support/proxy-node.ts';
import { sharedPath } from '../support/shared.ts';

export interface Case {
  readonly id: string;
  readonly family: 'ipv4' | 'ipv6';
  readonly flows: readonly Flow[] | null;
  readonly objects: readonly unknown[] | null;
  readonly node: {
    readonly name: string;
    readonly nodeIP: string;
    readonly localIPs: readonly string[];
  };
  readonly proxy: {
    readonly conntrackTCPBeLiberal: boolean;
    readonly detectLocal: { readonly implemented: boolean; readonly podCIDR?: string };
    readonly localhostNodePorts: boolean;
    readonly masqueradeAll: boolean;
    readonly nodePortAddresses: readonly string[] | null;
    readonly randomFully: boolean;
  };
  /** What the real kube-proxy wrote. */
  readonly rules: string;
}

const folder = sharedPath('suites/kube-proxy-iptables/cases');

export const needsSuite = { skip: folder === null && 'needs ../shared' };

export function readCases(): readonly Case[] {
  return readdirSync(folder ?? '')
    .toSorted()
    .map((id) => {
      const at = (file: string) => readFileSync(join(folder ?? '', id, file), 'utf8');
      return { ...JSON.parse(at('case.json')), rules: at('rules.iptables-save') } as Case;
    });
}

export function familyOf(c: Case): Family {
  return c.family === 'ipv4' ? 4 : 6;
}

/**
 * What kube-proxy's tests hand to it: objects as they are, which no API server has checked or
 * completed.
 */
export function proxyInput(c: Case): ProxyInput {
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: c.objects ?? [] });
  const { objects } = gather([sourceText(`${c.id}.json`, text)]);
  const errors = new FieldErrors();
  const { detectLocal, nodePortAddresses, ...proxy } = c.proxy;
  const cidr = parsePrefix(detectLocal.podCIDR ?? '');
  return {
    services: objects.filter((o) => o.kind === 'Service').map((o) => decodeService(errors, o)),
    endpointSlices: objects
      .filter((o) => o.kind === 'EndpointSlice')
      .flatMap((o) => decodeEndpointSlice(errors, o) ?? []),
    node: {
      name: c.node.name,
      addresses: [address(c.node.nodeIP)],
      podCidrs: [],
      labels: {},
    },
    settings: {
      ...PROXY_DEFAULTS,
      masqueradeAll: proxy.masqueradeAll,
      localhostNodePorts: proxy.localhostNodePorts,
      tcpBeLiberal: proxy.conntrackTCPBeLiberal,
      nodePortAddresses: (nodePortAddresses ?? []).flatMap((p) => parsePrefix(p) ?? []),
      detectLocal:
        detectLocal.implemented && cidr ? { mode: 'ClusterCIDR', cidrs: [cidr] } : { mode: 'none' },
    },
  };
}

/** A node with the case's addresses, and kube-proxy's rules on it; `more` are other settings. */
export function renderCase(c: Case, more: Partial<ProxyInput['settings']> = {}): Plan {
  const builder = new PlanBuilder(c.node.name, 'node');
  builder.interfaces.push(device('lo', c, true), device('eth0', c, false));
  const input = proxyInput(c);
  renderKubeProxy(builder, { ...input, settings: { ...input.settings, ...more } });
  return builder.build();
}

function device(name: string, c: Case, loopback: boolean): Interface {
  const isLoopback = (ip: string) => ip.startsWith('127.') || ip === '::1';
  return {
    name,
    kind: loopback ? 'loopback' : 'physical',
    mac: loopback ? '00:00:00:00:00:00' : '02:00:00:00:00:01',
    mtu: 1500,
    up: true,
    addresses: c.node.localIPs
      .filter((ip) => isLoopback(ip) === loopback)
      .map((ip) => ({
        address: address(ip),
        length: loopback ? (ip.includes(':') ? 128 : 8) : ip.includes(':') ? 64 : 24,
        scope: loopback ? 'host' : 'global',
      })),
  };
}
