/** Names of a populated store's files: the same for the same number and length, so that whoever measures can make them. */

export const MIN_NAME_BYTES = 14;
const UID_ROOT = '1.2.840.113619.2.55.3.604688119.971.1234567890.';
const ENDING = '.dcm';
const ZERO = 0x30;

export class FileNames {
  /** The last name that was asked for. */
  readonly #bytes: Buffer;
  readonly #firstDigit: number;

  /** `length`: bytes of each name, `MIN_NAME_BYTES` to 255. */
  constructor(length: number) {
    this.#firstDigit = length - MIN_NAME_BYTES;
    const prefix = UID_ROOT.repeat(6).slice(0, this.#firstDigit);
    this.#bytes = Buffer.from(prefix + ENDING.padStart(MIN_NAME_BYTES, '0'), 'latin1');
  }

  /** Valid until the next call. */
  bytesOf(number: number): Uint8Array {
    let rest = number;
    for (let at = this.#bytes.length - ENDING.length - 1; at >= this.#firstDigit; at--) {
      const quotient = Math.floor(rest / 10);
      this.#bytes[at] = ZERO + rest - quotient * 10;
      rest = quotient;
    }
    return this.#bytes;
  }

  textOf(number: number): string {
    return Buffer.from(this.bytesOf(number)).toString('latin1');
  }
}
