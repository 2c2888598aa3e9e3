/** Reads a backup frame by frame. What is cut off, changed, or goes on behind its end is refused: `BackupError`. */
import type { BackingFile } from '../../base/backing.ts';
import {
  BACKUP_VERSION,
  type BackupFrame,
  decodeFrame,
  FRAME_BYTES,
  frameLength,
  PREAMBLE_BYTES,
  versionOf,
} from './format_v1.ts';

export class BackupError extends Error {
  override readonly name = 'BackupError';
}

const READ_BYTES = 4 * 1024 * 1024;

/** All frames in order; a payload is good until the next one is asked for. */
export function* readFrames(file: BackingFile): Generator<BackupFrame & { readonly end: number }> {
  const head = new Uint8Array(PREAMBLE_BYTES);
  const count = file.read(head, 0);
  const version = count < PREAMBLE_BYTES ? undefined : versionOf(head);
  if (version === undefined) throw new BackupError('it is no backup of pacsfs');
  if (version !== BACKUP_VERSION)
    throw new BackupError(`version ${version} found, this pacsfs knows ${BACKUP_VERSION}: use a newer one`);
  const source = new Buffered(file);
  let at = PREAMBLE_BYTES;
  let seed = 0;
  for (;;) {
    const start = source.read(at, FRAME_BYTES);
    if (start.length === 0) return;
    const length = frameLength(start);
    const bytes = length === undefined ? start : source.read(at, length);
    const frame = length === undefined || bytes.length < length ? undefined : decodeFrame(bytes, seed);
    if (frame === undefined) throw new BackupError(`at byte ${at} it is damaged, or cut off`);
    seed = frame.checksum;
    at += bytes.length;
    yield { ...frame, end: at };
  }
}

/** Reads ahead. */
class Buffered {
  readonly #file: BackingFile;
  #bytes = new Uint8Array(READ_BYTES);
  #from = 0;
  #to = 0;

  constructor(file: BackingFile) {
    this.#file = file;
  }

  /** Fewer bytes only at the end of the file. */
  read(at: number, length: number): Uint8Array {
    if (at < this.#from || at + length > this.#to) this.#fill(at, length);
    const start = at - this.#from;
    return this.#bytes.subarray(start, Math.min(start + length, this.#to - this.#from));
  }

  #fill(at: number, length: number): void {
    if (length > this.#bytes.length) this.#bytes = new Uint8Array(length);
    const count = this.#file.read(this.#bytes, at);
    if (count < 0) throw new BackupError(`it cannot be read: errno ${-count}`);
    this.#from = at;
    this.#to = at + count;
  }
}
