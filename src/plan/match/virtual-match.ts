/**
 * Text and reading of the match that asks for the virtual server of a packet.
 *
 * Source: iptables 1.8.9, extensions/libxt_ipvs.c. Not read: `--vportctl` (FTP's data connections).
 * @module
 */
import type { FurtherMatch } from '../../netfilter/further-match.ts';
import type { Match } from '../../netfilter/match.ts';
import {
  bits,
  formatAddress,
  formatPrefix,
  maskAddress,
  type Prefix,
  parsePrefix,
} from '../../wire/address/address.ts';
import {
  type Extension,
  type Given,
  OptionFault,
  oneOf,
  optional,
  portNumber,
} from '../rule/option-reader.ts';
import { parseProtocol } from '../rule/protocol-name.ts';
import { negated, words } from './match-words.ts';

type VirtualMatch = Extract<FurtherMatch, { kind: 'ipvs' }>;

/** Write it as iptables-save does. */
export function formatVirtual(match: VirtualMatch): string {
  const { handled, protocol, address, port, direction, method } = match;
  return words(
    '-m ipvs',
    handled && `${negated(handled)}--ipvs`,
    protocol && `${negated(protocol)}--vproto ${protocol.value}`,
    address && `${negated(address)}--vaddr ${addressText(address.value)}`,
    port && `${negated(port)}--vport ${port.value}`,
    direction && `--vdir ${direction}`,
    method && `${negated(method)}--vmethod ${method.value}`,
  );
}

function addressText(net: Prefix): string {
  const { address, length } = net;
  return length === bits(address.family) ? formatAddress(address) : formatPrefix(net);
}

function prefix(given: Given): (text: string) => Prefix {
  return (text) => {
    const found = parsePrefix(text);
    if (found?.address.family !== given.family) throw new OptionFault('not an address', text);
    return { address: maskAddress(found.address, found.length), length: found.length };
  };
}

function protocolNumber(text: string): number {
  const found = parseProtocol(text);
  if (found === null) throw new OptionFault('unknown protocol', text);
  return found;
}

export const virtual: Extension<Match> = {
  options: [
    { name: '--ipvs', values: 0, negatable: true },
    { name: '--vproto', values: 1, negatable: true },
    { name: '--vaddr', values: 1, negatable: true },
    { name: '--vport', values: 1, negatable: true },
    { name: '--vdir', values: 1 },
    { name: '--vmethod', values: 1, negatable: true },
  ],
  read(given): VirtualMatch {
    const asked = {
      ...optional('protocol', given.one('--vproto', protocolNumber)),
      ...optional('address', given.one('--vaddr', prefix(given))),
      ...optional('port', given.one('--vport', portNumber)),
      ...optional('direction', given.one('--vdir', oneOf(['ORIGINAL', 'REPLY']))?.value),
      ...optional('method', given.one('--vmethod', oneOf(['GATE', 'IPIP', 'MASQ']))),
    };
    const handled = given.flag('--ipvs');
    if (Object.keys(asked).length > 0) {
      if (handled?.negate) throw new OptionFault('! --ipvs stands alone');
      return { kind: 'ipvs', ...asked };
    }
    if (handled === undefined) throw new OptionFault('match ipvs asks nothing');
    return { kind: 'ipvs', handled };
  },
};
