/** A store's id as its 16 bytes and as the text of RFC 9562 (lower case, with hyphens). */
import { assert } from '../base/assert.ts';

export const STORE_ID_BYTES = 16;
const PATTERN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function isStoreId(text: string): boolean {
  return PATTERN.test(text);
}

export function writeStoreId(text: string, into: Uint8Array): void {
  assert(isStoreId(text), `Store id '${text}', expected a UUID in lower case`);
  into.set(Buffer.from(text.replaceAll('-', ''), 'hex'));
}

export function readStoreId(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, STORE_ID_BYTES).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
