/**
 * What each version of Azure NPM (v2, Linux) does differently where it shows in rules or verdicts.
 *
 * Thresholds are the first release tag that contains the commit, in
 * Azure/azure-container-networking (tags v1.4.21 to v1.6.48 were looked through); `main` is the
 * main branch of 2026-09-15, which no release tag contained when this was written.
 * @module
 */
import { assert } from '../../diagnostic/diagnostic.ts';
import type { OptionSpec, Stack } from '../dataplane.ts';

/** A mark that NPM sets and tests: xt_MARK / xt_mark value and mask, and its text in comments. */
export interface NpmMark {
  readonly value: number;
  readonly mask: number;
  readonly text: string;
}

export interface NpmBehavior {
  readonly ingressAllow: NpmMark;
  readonly ingressDrop: NpmMark;
  readonly egressDrop: NpmMark;
  /** AZURE-NPM-ACCEPT starts by clearing the whole mark (until 1.4.23, PR 1313). */
  readonly clearsMarks: boolean;
  /** Kernel names of sets and chains: FNV-1a 32 until 1.6.45, SHA-256 since (PRs 4574, 4587). */
  readonly names: 'fnv' | 'sha256';
  /** How a set of several label values is named (PR 1384 in 1.4.27; PR 4593 in 1.6.46). */
  readonly nestedLabel: 'key' | 'policy-key' | 'policy:key';
  /** How the set of an ipBlock is named (PR 4593 in 1.6.46). */
  readonly cidr: 'policy-in-ns-' | 'policy:in-ns:';
  /** What an IPv6 ipBlock does: its member is skipped, or (PR 1738, 1.4.42) its whole policy. */
  readonly ipv6Block: 'memberSkipped' | 'policyRejected';
  /** An empty rule among others: is ignored, or (PR 2409, 1.5.17) allows everything. */
  readonly emptyRule: 'ignoredAmongOthers' | 'allowsAll';
  /** namespaceSelector `NotIn [a, b]`: one of the negations, or (PR 4866, main) all of them. */
  readonly namespaceNotIn: 'alternatives' | 'conjunction';
  /** A namespaceSelector of negations only: bare, or (PR 4868, main) within all namespaces. */
  readonly negationOnly: 'bare' | 'withinAllNamespaces';
}

const OLDEST = [1, 4, 21] as const;
const NEWEST = [1, 6, 48] as const;
const MAIN = 'main';

export const VERSION_OPTION: OptionSpec = {
  name: 'version',
  values: `${OLDEST.join('.')} to ${NEWEST.join('.')}, or ${MAIN}`,
  default: MAIN,
  describes: 'the release of Azure NPM whose rules and known bugs are emulated',
  accepts: (value) => value === MAIN || parseVersion(value) !== null,
};

export const PLACE_FIRST_OPTION: OptionSpec = {
  name: 'place-first',
  values: 'true|false',
  default: 'false',
  describes: 'AZURE-NPM is the first rule of FORWARD instead of the one after KUBE-SERVICES',
  accepts: (value) => value === 'true' || value === 'false',
};

/** What the stack's version of NPM does. Precondition: the option was checked by `parseStack`. */
export function npmBehavior(stack: Stack): NpmBehavior {
  const text = stack.options[VERSION_OPTION.name] ?? VERSION_OPTION.default;
  const version = text === MAIN ? ([Infinity, 0, 0] as const) : parseVersion(text);
  assert(version !== null, `${text} is a version of Azure NPM`);
  const since = (major: number, minor: number, patch: number) =>
    compareVersions(version, [major, minor, patch]) >= 0;
  const masked = since(1, 4, 24);
  const wide = since(1, 6, 46);
  return {
    ingressAllow: masked ? maskedMark(0x200) : wholeMark(0x2000),
    ingressDrop: masked ? maskedMark(0x400) : wholeMark(0x4000),
    egressDrop: masked ? maskedMark(0x800) : wholeMark(0x5000),
    clearsMarks: !masked,
    names: wide ? 'sha256' : 'fnv',
    nestedLabel: wide ? 'policy:key' : since(1, 4, 27) ? 'policy-key' : 'key',
    cidr: wide ? 'policy:in-ns:' : 'policy-in-ns-',
    ipv6Block: since(1, 4, 42) ? 'policyRejected' : 'memberSkipped',
    emptyRule: since(1, 5, 17) ? 'allowsAll' : 'ignoredAmongOthers',
    namespaceNotIn: text === MAIN ? 'conjunction' : 'alternatives',
    negationOnly: text === MAIN ? 'withinAllNamespaces' : 'bare',
  };
}

type Version = readonly [number, number, number];

function parseVersion(text: string): Version | null {
  const m = /^v?(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!m) return null;
  const version: Version = [Number(m[1]), Number(m[2]), Number(m[3])];
  const known = compareVersions(version, OLDEST) >= 0 && compareVersions(version, NEWEST) <= 0;
  return known ? version : null;
}

function compareVersions(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

function maskedMark(bit: number): NpmMark {
  const hex = `0x${bit.toString(16)}`;
  return { value: bit, mask: bit, text: `${hex}/${hex}` };
}

function wholeMark(value: number): NpmMark {
  return { value, mask: 0xffff_ffff, text: `0x${value.toString(16)}` };
}
