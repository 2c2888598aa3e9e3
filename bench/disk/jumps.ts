/** How often a disk's head jumps when files are read one after another. */

/** In bytes: of a disk, or of a file that `place` puts on one. */
export interface Span {
  readonly start: number;
  readonly length: number;
}

/** A piece of a file and where it lies, in bytes. */
export interface Extent {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
}

/** A gap up to this is read over: at 180 MB/s that is a third of a millisecond. */
const SKIPPED_BYTES = 65_536;

/** Counts each span that neither follows the one before nor begins a little behind it. */
export function jumps(spans: Iterable<Span>): number {
  let count = 0;
  let end: number | undefined;
  for (const { start, length } of spans) {
    if (end !== undefined && (start < end || start > end + SKIPPED_BYTES)) count += 1;
    end = start + length;
  }
  return count;
}

/** Where a part of a file lies on the disk. What no extent maps is left out. */
export function place(extents: readonly Extent[], { start, length }: Span): Span[] {
  const found: Span[] = [];
  for (const extent of extents) {
    const from = Math.max(start, extent.logical);
    const to = Math.min(start + length, extent.logical + extent.length);
    if (from < to) found.push({ start: extent.physical + from - extent.logical, length: to - from });
  }
  return found;
}

/** A line of the load program: a path, a tab, and three numbers for each extent. */
export function parseExtents(line: string): { readonly path: string; readonly extents: Extent[] } {
  const [path = '', rest = ''] = line.split('\t');
  const numbers = rest.trim() === '' ? [] : rest.trim().split(' ').map(Number);
  const extents: Extent[] = [];
  for (let at = 0; at + 2 < numbers.length; at += 3) {
    const [logical = 0, physical = 0, length = 0] = numbers.slice(at, at + 3);
    extents.push({ logical, physical, length });
  }
  return { path, extents };
}
