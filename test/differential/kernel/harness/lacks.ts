/**
 * What the running kernel has not, found out by asking it: what rests on source alone here, and is no skip.
 * @module
 */
import type { Agent } from './agent.ts';

/** A rule, set or service that needs one part of the kernel, and what that part is. */
const PROBES: readonly (readonly [part: string, argv: readonly string[], stdin?: string])[] = [
  ['ebtables (legacy)', ['ebtables-legacy', '-t', 'filter', '-L']],
  ['ebtables broute', ['ebtables-restore'], '*broute\n:BROUTING ACCEPT\n-A BROUTING -j DROP\n'],
  [
    'ebtables --logical-in, --logical-out (nft_meta_bridge)',
    ['ebtables-restore'],
    '*filter\n:FORWARD ACCEPT\n-A FORWARD --logical-in br0 -j DROP\n',
  ],
  ['IPVS', ['test', '-e', '/proc/net/ip_vs']],
  ...[
    'bitmap:ip range 10.0.0.0/24',
    'bitmap:ip,mac range 10.0.0.0/24',
    'bitmap:port range 0-100',
    'hash:ip',
    'hash:mac',
    'hash:ip,mac',
    'hash:net',
    'hash:net,net',
    'hash:ip,port',
    'hash:net,port',
    'hash:ip,port,ip',
    'hash:ip,port,net',
    'hash:ip,mark',
    'hash:net,port,net',
    'hash:net,iface',
    'list:set',
  ].map((type) => {
    const name = `ip sets ${type.replace(/ .*/, '')}`;
    return [name, ['ipset', 'create', type.replaceAll(/\W/g, '-'), ...type.split(' ')]] as const;
  }),
];

/** Names of all parts that are missing, in a fresh namespace. */
export async function lackingParts(agent: Agent): Promise<readonly string[]> {
  await agent.build([]);
  const missing: string[] = [];
  for (const [part, argv, stdin] of PROBES) {
    const [ran] = await agent.run([argv], stdin);
    if (ran?.rc !== 0) missing.push(part);
  }
  return missing;
}
