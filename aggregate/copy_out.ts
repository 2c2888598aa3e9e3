/** Bytes of a packed file into an own file: data ranges only, holes stay holes, then the size. */
import type { BackingFile } from '../base/backing.ts';
import type { Extent } from '../base/layout.ts';
import { MIB } from '../base/units.ts';
import type { Reader } from './reader.ts';

/** Bytes at a time. */
const COPY_BYTES = MIB;

export interface CopyOut {
  readonly extents: readonly Extent[];
  /** Extents beyond it are left out. */
  readonly size: number;
  readonly file: BackingFile;
}

/** What copies out, with the buffer that is used for it again and again. Returns 0, -EIO from the source, or -errno of the write. */
export function copier(reader: Reader): (copy: CopyOut) => number {
  let buffer: Uint8Array | undefined;
  return (copy) => {
    buffer ??= new Uint8Array(COPY_BYTES);
    return copyOut(reader, copy, buffer);
  };
}

function copyOut(reader: Reader, { extents, size, file }: CopyOut, buffer: Uint8Array): number {
  for (const extent of extents) {
    const end = Math.min(size, extent.fileOffset + extent.length);
    for (let at = extent.fileOffset; at < end; ) {
      const part = buffer.subarray(0, Math.min(buffer.length, end - at));
      const count = reader.read([extent], { offset: at, length: part.length, size: end }, part);
      if (count < 0) return count;
      const written = file.write(part.subarray(0, count), at);
      if (written < 0) return written;
      at += count;
    }
  }
  return file.truncate(size);
}
