/** Whether bytes of an aggregate are still those that an index says were written. */
import type { BackingFile } from '../../base/backing.ts';
import { CHECKSUM_BLOCK, crc32c } from '../../base/crc32c.ts';
import { type Extent, occupied } from '../../base/layout.ts';
import type { PartState } from '../../shard/catalogue.ts';

const buffer = new Uint8Array(CHECKSUM_BLOCK);

/**
 * Dead ranges are holes, and zeros in copies of the file: what differs from its checksum and is not zero is damaged.
 * Without `readAll` only ranges with holes are read.
 */
export function stateOf(file: BackingFile, extent: Extent, options: { readonly readAll: boolean }): PartState {
  const end = extent.rangeStart + occupied(extent.rangeLength);
  const hole = file.seek(extent.rangeStart, 'hole');
  // The end of a file is a hole too.
  const hasHole = hole < 0 || hole < Math.min(end, extent.rangeStart + extent.rangeLength);
  return options.readAll || hasHole ? verify(file, extent) : 'whole';
}

function verify(file: BackingFile, extent: Extent): PartState {
  let isPunched = false;
  for (const [block, checksum] of extent.checksums.entries()) {
    const from = block * CHECKSUM_BLOCK;
    const bytes = buffer.subarray(0, Math.min(CHECKSUM_BLOCK, extent.rangeLength - from));
    if (file.read(bytes, extent.rangeStart + from) < bytes.length) return 'damaged';
    if (crc32c(bytes) === checksum) continue;
    if (bytes.some((byte) => byte !== 0)) return 'damaged';
    isPunched = true;
  }
  return isPunched ? 'punched' : 'whole';
}

/** Of several parts. */
export function worst(states: Iterable<PartState>): PartState {
  let state: PartState = 'whole';
  for (const each of states) {
    if (each === 'punched') return 'punched';
    if (each === 'damaged') state = 'damaged';
  }
  return state;
}
