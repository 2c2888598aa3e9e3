/** Little-endian fields wider than a `DataView` offers, and alignment. */
import { unreachable } from './assert.ts';

const TWO_32 = 2 ** 32;

export function getU48(view: DataView, offset: number): number {
  return view.getUint16(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
}

export function setU48(view: DataView, offset: number, value: number): void {
  if (!(value >= 0 && value < 2 ** 48)) unreachable(`value ${value} does not fit in 48 bits`);
  view.setUint32(offset, value % TWO_32, true);
  view.setUint16(offset + 4, Math.floor(value / TWO_32), true);
}

/** A 64-bit field whose value must be exact in a double; NaN when the stored one is not. */
export function getU53(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  return high >= 2 ** 21 ? Number.NaN : high * TWO_32 + view.getUint32(offset, true);
}

export function setU53(view: DataView, offset: number, value: number): void {
  // The message is made only when it is needed: this runs a dozen times a request.
  if (!Number.isSafeInteger(value) || value < 0) unreachable(`value ${value} does not fit in 53 bits`);
  const high = Math.floor(value / TWO_32);
  // Exact, and several times faster than the remainder of two doubles.
  view.setUint32(offset, value - high * TWO_32, true);
  view.setUint32(offset + 4, high, true);
}

/** A signed 64-bit field as a number; exact within ±2^53. */
export function getI64(view: DataView, offset: number): number {
  return view.getInt32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
}

export function setI64(view: DataView, offset: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  view.setInt32(offset + 4, high, true);
  view.setUint32(offset, value - high * TWO_32, true);
}

export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

export function alignDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Equality of contents. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Bytes as people read them: 1.5 GiB. */
export function formatBytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}
