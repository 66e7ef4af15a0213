/**
 * One JSON object written piece by piece: arrays as their members come, the rest at the end, so
 * that a result of any length needs no memory of its own.
 * @module
 */
import type { TextOutput } from './text/text-output.ts';

export class StreamedObject {
  readonly #out: TextOutput;
  #first = true;
  #array: 'none' | 'empty' | 'filled' = 'none';

  constructor(out: TextOutput) {
    this.#out = out;
    out.write('{');
  }

  /** Write whole members. */
  members(values: Readonly<Record<string, unknown>>): void {
    for (const [name, value] of Object.entries(values)) {
      this.#name(name);
      this.#out.write(JSON.stringify(value));
    }
  }

  /** Open an array member; `item` fills it, the next `members` or `end` closes it. */
  array(name: string): void {
    this.#name(name);
    this.#out.write('[');
    this.#array = 'empty';
  }

  item(value: unknown): void {
    this.itemText(JSON.stringify(value));
  }

  /** An item that is JSON already. */
  itemText(json: string | Uint8Array): void {
    const between = this.#array === 'empty' ? '\n  ' : ',\n  ';
    this.#array = 'filled';
    if (typeof json === 'string') {
      this.#out.write(`${between}${json}`);
      return;
    }
    this.#out.write(between);
    this.#out.writeBytes(json);
  }

  end(): void {
    this.#closeArray();
    this.#out.write('\n}\n');
  }

  #name(name: string): void {
    this.#closeArray();
    this.#out.write(`${this.#first ? '\n' : ',\n'}${JSON.stringify(name)}: `);
    this.#first = false;
  }

  #closeArray(): void {
    if (this.#array === 'none') return;
    this.#out.write(this.#array === 'filled' ? '\n]' : ']');
    this.#array = 'none';
  }
}
