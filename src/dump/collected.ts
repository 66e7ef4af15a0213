/**
 * Everything that the files of one node say, read but not yet made into a host.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { EbTable } from '../netfilter/ebtables.ts';
import type { IpSet } from '../netfilter/ip-set.ts';
import type { ListedConnection } from '../netfilter/listed-connection.ts';
import type { NftRuleset } from '../netfilter/nft/ruleset.ts';
import type { Table } from '../netfilter/rule.ts';
import { DEFAULT_VIRTUAL_TIMEOUTS, type VirtualServers } from '../netfilter/virtual-server.ts';
import { parseConnections } from '../plan/conntrack-text.ts';
import { parseEbtables } from '../plan/ebtables/text.ts';
import { parseIpsets } from '../plan/ipset/text.ts';
import { parseSysctls } from '../plan/sysctl-text.ts';
import { parseVirtualServers } from '../plan/virtual-server-text.ts';
import type { DumpFile } from './file/dump-file.ts';
import { readNft } from './file/nft-file.ts';
import { damaged, type FileKind, type Recognised, recognise } from './file/recognise.ts';
import { gather, type RuleFile, readTables } from './file/rule-files.ts';
import { jsonFdb, jsonLinks, jsonNeighbors, jsonRoutes, jsonRules } from './record/json.ts';
import type {
  FdbRecord,
  LinkRecord,
  NeighborRecord,
  RouteRecord,
  RuleRecord,
} from './record/records.ts';
import { textFdb, textLinks, textNeighbors } from './record/text-links.ts';
import { textRoutes, textRouteTable, textRules } from './record/text-routes.ts';

export interface Collected {
  /** Kinds of which there is a file. */
  readonly kinds: ReadonlySet<FileKind>;
  /** Families of which there are rules. */
  readonly ruleFamilies: ReadonlySet<4 | 6>;
  readonly tables: readonly Table[];
  readonly nft?: NftRuleset;
  readonly ipsets: readonly IpSet[];
  readonly virtualServers?: VirtualServers;
  readonly ebtables: readonly EbTable[];
  readonly links: readonly LinkRecord[];
  readonly ports: readonly LinkRecord[];
  readonly routes: readonly RouteRecord[];
  readonly rules: readonly RuleRecord[];
  readonly neighbors: readonly NeighborRecord[];
  readonly fdb: readonly FdbRecord[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly connections: readonly ListedConnection[];
  readonly kernel: string | null;
  /** Files that no command of a node prints. */
  readonly strangers: readonly string[];
}

/** Kinds whose command prints nothing at all when there is nothing. */
const MAY_BE_EMPTY: ReadonlySet<FileKind> = new Set([
  ...(['iptables', 'rules-list', 'ipset', 'ebtables', 'nft', 'ipvs', 'conntrack'] as const),
]);

/** Read all files; every mistake goes to `faults`, and what could be read comes back. */
export function collect(files: readonly DumpFile[], faults: Diagnostic[]): Collected {
  const known: RuleFile[] = [];
  const strangers: string[] = [];
  for (const file of files) {
    const as = recognise(file);
    const damage = as === null ? damaged(file) : null;
    if (damage !== null) faults.push(damage);
    else if (as === null) strangers.push(file.path);
    else if (file.text.trim() !== '' || MAY_BE_EMPTY.has(as.kind)) known.push({ file, as });
  }
  const all = <T>(kind: FileKind, read: (file: DumpFile, as: Recognised) => readonly T[]): T[] =>
    known
      .filter(({ as }) => as.kind === kind)
      .flatMap(({ file, as }) => gather(faults, () => read(file, as)) ?? []);
  const byForm =
    <T>(json: (file: DumpFile) => readonly T[], text: (file: DumpFile) => readonly T[]) =>
    (file: DumpFile, { form }: Recognised) =>
      form === 'json' ? json(file) : text(file);
  const links = (withAddresses: boolean) =>
    byForm(
      (file) => jsonLinks(file, withAddresses),
      (file) => textLinks(file, withAddresses),
    );
  const tables = ([4, 6] as const).flatMap((family) => readTables(known, family, faults));
  const nft = readNft(known, tables, faults);
  const sysctls = all('sysctl', ({ text, path }) => Object.entries(parseSysctls(text, path)));
  return {
    kinds: new Set(known.map(({ as }) => as.kind)),
    ruleFamilies: new Set(known.flatMap(({ as }) => (isRules(as) ? [as.family ?? 4] : []))),
    tables,
    ...(nft === undefined ? {} : { nft }),
    ...virtualServersOf(all('ipvs', ({ text, path }) => [parseVirtualServers(text, path)])),
    ipsets: all('ipset', ({ text, path }) => parseIpsets(text, path)),
    ebtables: all('ebtables', ({ text, path }) => parseEbtables(text, path)),
    links: [...all('addr', links(true)), ...all('link', links(false))],
    ports: all('bridge-link', links(false)),
    routes: [
      ...all('route', (file, { form, family }) =>
        form === 'json' ? jsonRoutes(file, family) : textRoutes(file, family),
      ),
      ...all('route-table', textRouteTable),
    ],
    rules: all('rule', (file, { form, family }) =>
      form === 'json' ? jsonRules(file, family) : textRules(file, family),
    ),
    neighbors: all('neigh', byForm(jsonNeighbors, textNeighbors)),
    fdb: all('bridge-fdb', byForm(jsonFdb, textFdb)),
    sysctls: Object.fromEntries(sysctls),
    connections: all('conntrack', ({ text, path }) => parseConnections(text, path)),
    kernel: all('uname', ({ text }) => [kernelOf(text)]).at(0) ?? null,
    strangers,
  };
}

/** One file has the servers; another may have the timeouts. */
function virtualServersOf(read: readonly VirtualServers[]): Pick<Collected, 'virtualServers'> {
  const servers = read.flatMap((one) => one.servers);
  if (servers.length === 0) return {};
  const timed = read.find(({ timeouts }) => timeouts !== DEFAULT_VIRTUAL_TIMEOUTS);
  return { virtualServers: { servers, timeouts: timed?.timeouts ?? DEFAULT_VIRTUAL_TIMEOUTS } };
}

function isRules({ kind }: Recognised): boolean {
  return kind === 'iptables' || kind === 'rules-list';
}

/** `uname -r`, or the third word of `uname -a`. */
function kernelOf(text: string): string {
  const words = text.trim().split(/\s+/);
  return (words[0] === 'Linux' ? words[2] : words[0]) ?? '';
}
