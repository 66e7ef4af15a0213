/**
 * Which rules of nft make the kernel track connections.
 *
 * Source: net/netfilter/nft_ct.c `nft_ct_get_init`, `nft_ct_set_init`, nft_nat.c, nft_masq.c,
 * nft_redir.c: each asks with `nf_ct_netns_get` for the family of its table, a translation for that
 * of its addresses; a chain of type nat alone does not, nor does notrack. Dormant tables count.
 * Seen on Linux 6.18 by test/differential/kernel/nft-order.test.ts.
 * @module
 */
import type { NftExpression } from '../../netfilter/nft/expression.ts';
import { type NftFamily, type NftRule, seesFamily } from '../../netfilter/nft/ruleset.ts';
import type { NftStatement } from '../../netfilter/nft/statement.ts';
import type { Plan } from '../../plan/model.ts';
import type { Family } from '../../wire/address/address.ts';

/** The families whose connections are tracked because of nft's rules. */
export function nftTracks({ nft }: Plan): ReadonlySet<Family> {
  const found = new Set<Family>();
  for (const { family, chains } of nft?.tables ?? []) {
    for (const rule of chains.flatMap((chain) => chain.rules)) {
      for (const one of familiesOf(rule, family)) {
        for (const own of [4, 6] as const) if (seesFamily(one, own)) found.add(own);
      }
    }
  }
  return found;
}

function familiesOf({ statements }: NftRule, table: NftFamily): readonly NftFamily[] {
  return statements.flatMap((statement) => {
    if (statement.kind === 'snat' || statement.kind === 'dnat') return [statement.family ?? table];
    return tracks(statement) ? [table] : [];
  });
}

function tracks(statement: NftStatement): boolean {
  switch (statement.kind) {
    case 'match':
      return asks(statement.left);
    case 'vmap':
      return asks(statement.key);
    case 'mangle':
      return statement.target.kind === 'ct' || asks(statement.value);
    case 'masquerade':
    case 'redirect':
      return true;
    case 'update':
      return asks(statement.key);
    default:
      return false;
  }
}

function asks(expression: NftExpression): boolean {
  switch (expression.kind) {
    case 'ct':
      return true;
    case 'concat':
      return expression.parts.some(asks);
    case 'bits':
      return asks(expression.left);
    case 'map':
      return asks(expression.key);
    case 'jhash':
      return asks(expression.of);
    default:
      return false;
  }
}
