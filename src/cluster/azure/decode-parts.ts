/**
 * Reading the small parts of a wiring's network: addresses, prefixes, port ranges, names of other
 * parts. What can not be read is a problem at its place; the part is then left out.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { Address, Prefix } from '../../wire/address/address.ts';
import { maskAddress } from '../../wire/address/address.ts';
import { CIDR_DETAIL, IP_DETAIL } from '../decode/decode.ts';
import { parseCidr, parseIp } from '../manifest/cidr.ts';
import { show } from '../manifest/field-error.ts';
import type { Tree } from '../manifest/tree.ts';
import { items, placeOf, text } from '../manifest/tree.ts';

export interface Ports {
  readonly low: number;
  readonly high: number;
}

/** Collects what is wrong with a wiring's network. */
export class PartReader {
  readonly problems: Diagnostic[];

  constructor(problems: Diagnostic[]) {
    this.problems = problems;
  }

  refuse(at: Tree, code: string, field: string, message: string, accepted?: string): void {
    this.problems.push({
      code,
      ...placeOf(at),
      object: 'Wiring',
      field,
      message,
      found: show(at),
      ...(accepted === undefined ? {} : { accepted }),
    });
  }

  address(at: Tree | undefined, field: string): Address | null {
    if (!at) return null;
    const address = parseIp(text(at) ?? '');
    if (!address) this.refuse(at, 'ADDRESS_INVALID', field, IP_DETAIL);
    return address;
  }

  addresses(at: Tree | undefined, field: string): readonly Address[] {
    return items(at).flatMap((item, i) => this.address(item, `${field}[${i}]`) ?? []);
  }

  /** A range, host bits dropped; an address stands for itself alone where `orAddress`. */
  prefix(at: Tree, field: string, orAddress = false): Prefix | null {
    const written = text(at) ?? '';
    const one = orAddress ? parseIp(written) : null;
    if (one) return { address: one, length: one.family === 4 ? 32 : 128 };
    const prefix = parseCidr(written);
    if (prefix) {
      return { address: maskAddress(prefix.address, prefix.length), length: prefix.length };
    }
    this.refuse(at, 'CIDR_INVALID', field, CIDR_DETAIL);
    return null;
  }

  /** `*`, `80`, `80-90`; null when it is none of these; an empty list for every port. */
  ports(written: readonly Tree[], field: string): readonly Ports[] {
    const found: Ports[] = [];
    for (const at of written) {
      const given = at.kind === 'scalar' ? String(at.value) : '';
      if (given === '*') return [];
      const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(given);
      const low = Number(parts?.[1]);
      const high = Number(parts?.[2] ?? parts?.[1]);
      if (parts && low <= high && high <= 65_535) found.push({ low, high });
      else this.refuse(at, 'PORT_RANGE', field, 'not a port or range of ports', '*, 80, 80-90');
    }
    return found;
  }

  /** A part by the name that another gives; a problem when there is none. */
  named<T>(at: Tree | undefined, field: string, among: ReadonlyMap<string, T>): T | null {
    if (!at) return null;
    const found = among.get(text(at) ?? '');
    if (found !== undefined) return found;
    const accepted = [...among.keys()].join(', ');
    this.refuse(at, 'WIRING_NAME', field, 'nothing in the wiring has this name', accepted);
    return null;
  }

  /** Parts by name; a name that is there twice is a problem. */
  byName<T extends { readonly name: string }>(
    parts: readonly { readonly at: Tree; readonly part: T }[],
    field: string,
  ): ReadonlyMap<string, T> {
    const found = new Map<string, T>();
    for (const { at, part } of parts) {
      if (found.has(part.name)) {
        this.refuse(at, 'WIRING_NAME', field, `the name ${part.name} is given twice`);
      }
      found.set(part.name, part);
    }
    return found;
  }
}
