/**
 * Which networks and policy engines are emulated: one line each. A further dataplane is one folder
 * and one line here.
 * @module
 */
import { azureBridge } from './azure-bridge/render.ts';
import { azureOverlay } from './azure-overlay/render.ts';
import { azurePodSubnet } from './azure-podsubnet/render.ts';
import { azureTransparent } from './azure-transparent/render.ts';
import { byo } from './byo/render.ts';
import { calico } from './calico/render.ts';
import type {
  NetworkName,
  NetworkRenderer,
  PolicyEngineName,
  PolicyRenderer,
} from './dataplane.ts';
import { docker } from './docker/render.ts';
import { kubenet } from './kubenet/render.ts';
import { none } from './none/render.ts';
import { npm } from './npm/render.ts';

const NETWORK_RENDERERS: readonly NetworkRenderer[] = [
  azureBridge,
  azureTransparent,
  azureOverlay,
  azurePodSubnet,
  kubenet,
  byo,
  docker,
];

const POLICY_RENDERERS: readonly PolicyRenderer[] = [none, npm, calico];

/** The renderer of a network; `undefined` while it is not emulated. */
export function networkRenderer(name: NetworkName): NetworkRenderer | undefined {
  return NETWORK_RENDERERS.find((renderer) => renderer.name === name);
}

/** The renderer of a policy engine; `undefined` while it is not emulated. */
export function policyRenderer(name: PolicyEngineName): PolicyRenderer | undefined {
  return POLICY_RENDERERS.find((renderer) => renderer.name === name);
}
