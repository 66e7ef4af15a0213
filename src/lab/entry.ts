/**
 * Where packets enter the emulation.
 * @module
 */
import type { Address } from '../wire/address/address.ts';

/**
 * A host's own sockets; a device that receives; everything outside; or somebody behind a device of
 * whom only the host's tables tell, and who sends whole frames.
 */
export type EntryPoint =
  | { readonly as: 'local'; readonly host: string }
  | { readonly as: 'received'; readonly host: string; readonly device: string }
  | { readonly as: 'edge' }
  | {
      readonly as: 'endpoint';
      readonly host: string;
      readonly device: string;
      /** The frame's addresses, as the sender of such a packet would write them. */
      macs(src: Address, dst: Address): { readonly source: string; readonly destination: string };
    };

/** Where an address is, by the tables of hosts alone. */
export type Location =
  | { readonly kind: 'node'; readonly host: string }
  | { readonly kind: 'endpoint'; readonly name: string; readonly entry: EntryPoint }
  | { readonly kind: 'outside' }
  /** Several hosts have it. */
  | { readonly kind: 'ambiguous' }
  /** It would be behind a device, and nobody knows that it is there. */
  | { readonly kind: 'nobody' }
  /** The tables that would tell are missing. */
  | { readonly kind: 'missing' };

export type Locate = (address: Address) => Location;
