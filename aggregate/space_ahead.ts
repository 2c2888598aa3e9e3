/**
 * Space written with zeros ahead of its use, and given back. A flush of what is written there later changes nothing of the
 * host's metadata: with unwritten extents it would commit the host's journal, and wait for all that this carries.
 *
 * What is ahead lies in the rest of an open aggregate, behind all batches; it never held anything but zeros, so nothing in it
 * can be taken for a batch, and giving back zeros changes no byte that anybody could read.
 */
import type { Backing, BackingFile } from '../base/backing.ts';
import { alignUp } from '../base/bytes.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import { alignedBuffer, FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE } from '../base/libc.ts';
import { MIB } from '../base/units.ts';
import { headerOf } from './batch.ts';
import { encodeHeader, HEADER_BYTES } from './header_v1.ts';
import { BLOCK_BYTES, type PackJob, type PackResult } from './pack.ts';
import type { Volume } from './volume.ts';
import { openVolume } from './volume_set.ts';

/** One write, and one look for zeros: what a flush beside it waits for. */
const PIECE_BYTES = MIB;

/** Bytes of an aggregate. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * The worker's part, in the place of a packing job, so that nobody else writes to the aggregate meanwhile. Makes it, header
 * first, if need be. A full disk leaves it as it was.
 */
export function writeAhead(job: PackJob, range: Range, backing: Backing): PackResult {
  const volume = openVolume(job.volume, { backing });
  const base = { id: job.id, aggregate: job.aggregate, written: job.offset, sequence: job.sequence, files: [] };
  const result = {
    ...base,
    mentioned: 0,
    directRefused: false,
    ranges: undefined,
    flushed: undefined,
    ahead: false,
    moved: [],
  };
  const file = isErrno(volume) ? volume : open(volume, job);
  if (isErrno(file)) return { ...result, created: !job.fresh, error: job.fresh ? file.number : 0 };
  const failed = fill(file, job, range);
  if (failed !== 0 && job.fresh) {
    file.close();
    if (!isErrno(volume)) volume.unlinkAggregate(job.aggregate);
    return { ...result, created: false, error: failed };
  }
  if (failed !== 0) giveBack(file, range);
  // Whatever was written before is flushed with it; by the descriptor that hears of every failure since it was opened.
  const flushed = failed === 0 ? file.flush() : undefined;
  file.close();
  const error = failed === E.ENOSPC.number ? 0 : failed;
  return { ...result, created: true, error, flushed, ahead: flushed === 0 };
}

function open(volume: Volume, job: PackJob): Result<BackingFile> {
  const attempt = (direct: boolean) =>
    job.fresh
      ? volume.createAggregate(job.aggregate, { direct })
      : volume.openAggregate(job.aggregate, { write: true, direct });
  const file = attempt(job.direct);
  if (file !== E.EINVAL || !job.direct) return file;
  // Some hosts refuse O_DIRECT after they have made the file.
  if (job.fresh) volume.unlinkAggregate(job.aggregate);
  return attempt(false);
}

/** 0 or a positive errno. */
function fill(file: BackingFile, job: PackJob, range: Range): number {
  const end = range.offset + range.length;
  const zeros = alignedBuffer(PIECE_BYTES);
  zeros.fill(0);
  if (job.fresh) {
    const head = alignedBuffer(HEADER_BYTES);
    encodeHeader(headerOf(job), head);
    const written = file.write(head, 0);
    if (written < 0) return -written;
  }
  for (let at = range.offset; at < end; at += PIECE_BYTES) {
    const written = file.write(zeros.subarray(0, Math.min(PIECE_BYTES, end - at)), at);
    if (written < 0) return -written;
  }
  return 0;
}

/** Zeros that nobody writes over meanwhile: 0 or -errno. */
export function giveBack(file: BackingFile, range: Range): number {
  if (range.length <= 0) return 0;
  return file.allocate(FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, range);
}

/** Gives back those pieces of a range that hold nothing but zeros, whatever else is there; 0 or -errno. */
export function giveBackZeros(file: BackingFile, range: Range): number {
  const bytes = new Uint8Array(PIECE_BYTES);
  const zeros = Buffer.alloc(PIECE_BYTES);
  const end = range.offset + range.length;
  for (let at = alignUp(range.offset, BLOCK_BYTES); at < end; at += PIECE_BYTES) {
    const piece = bytes.subarray(0, Math.min(PIECE_BYTES, end - at));
    const count = file.read(piece, at);
    if (count < 0) return count;
    if (count === 0) return 0;
    if (!zeros.subarray(0, count).equals(piece.subarray(0, count))) continue;
    const outcome = giveBack(file, { offset: at, length: count });
    if (outcome < 0) return outcome;
  }
  return 0;
}
