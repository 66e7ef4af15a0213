/**
 * All sets that NPM keeps in the kernel, with their members: the same on every node, whatever
 * policies there are (ApplyIPSetsOnNeed is off on Linux).
 *
 * Sources: azure-container-networking `npm/pkg/controlplane/controllers/v2/podController.go`
 * `syncAddedPod` (who is in which set), `namespaceController.go` `syncAddNamespace`,
 * `npm/pkg/dataplane/ipsets/ipsetmanager_linux.go` `createSetForApply` (types and sizes).
 * @module
 */
import type { Cluster, Pod } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { IpSet, SetMember } from '../../netfilter/ip-set.ts';
import { addressKey, formatPrefix, hostPrefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { kernelSetName } from './hash.ts';
import {
  ALL_NAMESPACES,
  type NpmSet,
  namedPortSet,
  namespaceLabelSet,
  namespaceLabelValueSet,
  namespaceSet,
  podLabelSet,
  podLabelValueSet,
} from './set.ts';
import type { NpmBehavior } from './version.ts';

/** ipset's own limit for hash types, which NPM leaves as it is except for CIDR sets. */
const MAX_ELEMENTS = 65_536;
const CIDR_MAX_ELEMENTS = 4_294_967_295;
/** `list:set` is created with ipset's default `size 8`; kernels do not hold it to that. */
const LIST_SIZE = 8;

const PROTOCOLS = { TCP: Protocol.tcp, UDP: Protocol.udp, SCTP: Protocol.sctp } as const;

type SetShape = 'hash:net' | 'hash:ip,port' | 'list:set';

interface Draft {
  readonly name: string;
  readonly shape: SetShape;
  readonly maxElements: number;
  readonly describes: string[];
  readonly members: Map<string, SetMember>;
}

/** Sets under construction, by kernel name. */
export class SetTable {
  readonly warnings: Diagnostic[] = [];
  readonly #behavior: NpmBehavior;
  readonly #drafts = new Map<string, Draft>();
  /** The prefixed names that share a kernel name, first owner first. */
  readonly #owners = new Map<string, string>();

  constructor(behavior: NpmBehavior) {
    this.#behavior = behavior;
  }

  /** The kernel name of a set. */
  nameOf(set: NpmSet): string {
    return kernelSetName(set.name, this.#behavior.names);
  }

  /** Make the set, with the members that it brings itself, if it is not there. */
  ensure(set: NpmSet): void {
    const draft = this.#draft(set);
    if (draft === null) return;
    if (set.kind === 'nested') {
      for (const member of set.members) {
        this.ensure(member);
        this.#addSet(draft, member);
      }
    }
    if (set.kind === 'cidr') {
      for (const { net, nomatch } of set.members) {
        draft.members.set(formatPrefix(net), { kind: 'net', net, nomatch });
      }
    }
  }

  /** Every set that the cluster's objects alone bring about. */
  addCluster(cluster: Cluster): void {
    this.ensure(ALL_NAMESPACES);
    for (const { name, labels } of cluster.namespaces) {
      this.#addNamespace(name, [
        ALL_NAMESPACES,
        ...Object.entries(labels).flatMap(([key, value]) => [
          namespaceLabelSet(key),
          namespaceLabelValueSet(key, value),
        ]),
      ]);
    }
    for (const pod of cluster.pods) if (isTracked(pod)) this.#addPod(pod);
  }

  /** All sets, hash sets before the lists that name them. */
  build(): IpSet[] {
    const sets = [...this.#drafts.values()].map((draft) => this.#finish(draft));
    const rank = (set: IpSet) => (set.type === 'list:set' ? 1 : 0);
    return sets.toSorted((a, b) => rank(a) - rank(b));
  }

  #addNamespace(namespace: string, lists: readonly NpmSet[]): void {
    const set = namespaceSet(namespace);
    this.ensure(set);
    for (const list of lists) {
      const draft = this.#draft(list);
      if (draft) this.#addSet(draft, set);
    }
  }

  #addPod(pod: Pod): void {
    const [address] = pod.addresses;
    if (address === undefined) return;
    this.#addNamespace(pod.namespace, [ALL_NAMESPACES]);
    const sets = [
      namespaceSet(pod.namespace),
      ...Object.entries(pod.labels).flatMap(([key, value]) => [
        podLabelSet(key),
        podLabelValueSet(key, value),
      ]),
    ];
    const net: SetMember = { kind: 'net', net: hostPrefix(address), nomatch: false };
    for (const set of sets) this.#draft(set)?.members.set(addressKey(address), net);
    for (const { name, protocol, containerPort, init } of pod.ports) {
      if (name === undefined || init) continue;
      const member: SetMember = {
        kind: 'ip,port',
        address,
        protocol: PROTOCOLS[protocol],
        port: containerPort,
      };
      const key = `${addressKey(address)} ${protocol} ${containerPort}`;
      this.#draft(namedPortSet(name))?.members.set(key, member);
    }
  }

  #addSet(list: Draft, member: NpmSet): void {
    const name = this.nameOf(member);
    list.members.set(name, { kind: 'set', set: name });
  }

  /**
   * The draft of a set, made when missing. Two prefixed names may hash to one kernel name: then
   * they are one set, or, when their types differ, the second is never made (NPM logs and goes on).
   */
  #draft(set: NpmSet): Draft | null {
    const name = this.nameOf(set);
    const shape = shapeOf(set);
    const found = this.#drafts.get(name);
    if (found === undefined) {
      const draft: Draft = {
        name,
        shape,
        maxElements: maxElementsOf(set),
        describes: [set.describes],
        members: new Map(),
      };
      this.#drafts.set(name, draft);
      this.#owners.set(name, set.name);
      return draft;
    }
    const owner = this.#owners.get(name);
    if (owner === set.name) return found;
    if (!found.describes.includes(set.describes)) {
      found.describes.push(set.describes);
      this.warnings.push({
        code: 'NPM_SET_NAMES_COLLIDE',
        message:
          `${owner} and ${set.name} have the same 32-bit hash, so NPM ` +
          (found.shape === shape ? 'keeps one set for both' : `never makes ${set.name}`),
        found: name,
      });
    }
    return found.shape === shape ? found : null;
  }

  #finish(draft: Draft): IpSet {
    const { name, shape, maxElements, describes } = draft;
    let members = [...draft.members.values()];
    if (shape !== 'list:set' && members.length > maxElements) {
      members = members.slice(0, maxElements);
      this.warnings.push({
        code: 'NPM_SET_FULL',
        message: `the set of ${describes.join(' and of ')} holds ${maxElements} members at most`,
        found: String(draft.members.size),
      });
    }
    const common = { name, maxElements, members, describes: describes.join('; ') };
    return shape === 'list:set'
      ? { ...common, type: shape }
      : { ...common, type: shape, family: 4 };
  }
}

/**
 * Whether NPM's pod controller puts the pod in sets: not on the host's network, not completed, and
 * its first address is IPv4. (It looks at `status.podIP` only.)
 */
function isTracked(pod: Pod): boolean {
  return (
    !pod.hostNetwork &&
    pod.phase !== 'Succeeded' &&
    pod.phase !== 'Failed' &&
    pod.addresses[0]?.family === 4
  );
}

function shapeOf(set: NpmSet): SetShape {
  if (set.kind === 'namedPort') return 'hash:ip,port';
  return set.kind === 'nested' || set.kind === 'namespaces' ? 'list:set' : 'hash:net';
}

function maxElementsOf(set: NpmSet): number {
  if (set.kind === 'cidr') return CIDR_MAX_ELEMENTS;
  return shapeOf(set) === 'list:set' ? LIST_SIZE : MAX_ELEMENTS;
}
