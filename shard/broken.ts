/**
 * The mark of a store that has lost something acknowledged: a file in the metadata folder, there before anything else is
 * done about it, that only `pacsfs fsck --repair` removes.
 */
import { join } from 'node:path';
import type { Backing } from '../base/backing.ts';
import { E, isErrno } from '../base/errno.ts';
import { formatTime, type Timespec } from '../base/time.ts';

const NAME = 'BROKEN';
const MAX_BYTES = 64 * 1024;

/** Why the store is broken; undefined when it is not. What cannot be read counts as broken. */
export function readBroken(backing: Backing, folder: string): string | undefined {
  const file = backing.open(join(folder, NAME));
  if (file === E.ENOENT) return undefined;
  if (isErrno(file)) return `The mark ${NAME} cannot be read: ${file.name}`;
  const bytes = new Uint8Array(MAX_BYTES);
  const count = file.read(bytes, 0);
  file.close();
  try {
    const mark: unknown = JSON.parse(Buffer.from(bytes.subarray(0, Math.max(0, count))).toString());
    if (typeof mark === 'object' && mark !== null && 'reason' in mark) return String(mark.reason);
  } catch {
    // Cut off while it was written: it stands for itself.
  }
  return 'The reason was not written down';
}

/** Durable when it returns 0, else -errno; a mark that is there stays as it is. */
export function writeBroken(backing: Backing, folder: string, mark: { reason: string; at: Timespec }): number {
  const file = backing.open(join(folder, NAME), { write: true, create: true });
  if (file === E.EEXIST) return 0;
  if (isErrno(file)) return -file.number;
  const text = `${JSON.stringify({ time: formatTime(mark.at), reason: mark.reason })}\n`;
  const written = file.write(Buffer.from(text), 0);
  const flushed = written < 0 ? written : file.flush();
  file.close();
  const named = backing.flushFolder(folder);
  return Math.min(written, flushed, named, 0);
}

/** For `fsck --repair` alone; 0 or -errno. */
export function removeBroken(backing: Backing, folder: string): number {
  const removed = backing.unlink(join(folder, NAME));
  if (removed === -E.ENOENT.number) return 0;
  return removed < 0 ? removed : backing.flushFolder(folder);
}
