/**
 * What a user may choose about Windows nodes.
 * @module
 */
import type { OptionSpec } from '../dataplane.ts';

/** kube-proxy's `--enable-dsr`: AKS sets it with the feature gate WinDSR. */
export const DSR: OptionSpec = {
  name: 'windows-dsr',
  values: 'true|false',
  default: 'true',
  describes: 'kube-proxy on Windows nodes returns answers directly; false puts the node in between',
  accepts: (value) => value === 'true' || value === 'false',
};

/** What all nodes are taken to run, to hold one kind of pool against the other. */
export const NODE_OS: OptionSpec = {
  name: 'os',
  values: 'linux|windows',
  default: 'as the objects say',
  describes: 'emulate every node as one of this operating system',
  accepts: (value) => value === 'linux' || value === 'windows',
};
