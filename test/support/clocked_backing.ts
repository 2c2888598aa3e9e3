/**
 * A disk whose files have the times of a test's clock, as if the host had it too. What others than this disk change
 * shows as it is.
 */
import type { Backing, BackingFile, BackingOpen, BackingSpace, BackingStat, ByteRange } from '../../base/backing.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import { type Clock, compareTimes, type Timespec } from '../../base/time.ts';

interface Times {
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  /** What the host had as mtime when these were noted. */
  readonly seen: Timespec;
}

export class ClockedBacking implements Backing {
  readonly #below: Backing;
  readonly #clock: Clock;
  /** By inode number of the host: names change. */
  readonly #times = new Map<number, Times>();

  constructor(below: Backing, clock: Clock) {
    this.#below = below;
    this.#clock = clock;
  }

  open(path: string, options: BackingOpen = {}): Result<BackingFile> {
    const file = this.#below.open(path, options);
    if (isErrno(file)) return file;
    if (options.create === true) this.changed(file);
    return new ClockedFile(file, this);
  }

  /** The file's times are now's; its mtime the given one, if any. */
  changed(file: BackingFile, mtime?: Timespec): void {
    const stat = file.stat();
    if (isErrno(stat)) return;
    const now = this.#clock.now();
    this.#times.set(stat.ino, { mtime: mtime ?? now, ctime: now, seen: stat.mtime });
  }

  shown(stat: Result<BackingStat>): Result<BackingStat> {
    if (isErrno(stat)) return stat;
    const times = this.#times.get(stat.ino);
    if (times === undefined || compareTimes(times.seen, stat.mtime) !== 0) return stat;
    return { ...stat, mtime: times.mtime, ctime: times.ctime };
  }

  unlink(path: string): number {
    return this.#below.unlink(path);
  }

  rename(from: string, to: string): number {
    return this.#below.rename(from, to);
  }

  makeFolder(path: string): number {
    return this.#below.makeFolder(path);
  }

  removeFolder(path: string): number {
    return this.#below.removeFolder(path);
  }

  flushFolder(path: string): number {
    return this.#below.flushFolder(path);
  }

  list(path: string): Result<readonly string[]> {
    return this.#below.list(path);
  }

  stat(path: string): Result<BackingStat> {
    return this.shown(this.#below.stat(path));
  }

  space(path: string): Result<BackingSpace> {
    return this.#below.space(path);
  }

  copyRange(
    from: { readonly file: BackingFile; readonly offset: number },
    to: { readonly file: BackingFile; readonly offset: number },
    length: number,
  ): number {
    const below = (file: BackingFile) => (file instanceof ClockedFile ? file.below : file);
    const count = this.#below.copyRange({ ...from, file: below(from.file) }, { ...to, file: below(to.file) }, length);
    if (count > 0) this.changed(below(to.file));
    return count;
  }
}

class ClockedFile implements BackingFile {
  readonly path: string;
  readonly below: BackingFile;
  readonly descriptor?: number;
  readonly #backing: ClockedBacking;

  constructor(below: BackingFile, backing: ClockedBacking) {
    this.path = below.path;
    this.below = below;
    if (below.descriptor !== undefined) this.descriptor = below.descriptor;
    this.#backing = backing;
  }

  read(into: Uint8Array, offset: number): number {
    return this.below.read(into, offset);
  }

  readNow(into: Uint8Array, offset: number): number {
    return this.below.readNow?.(into, offset) ?? -E.EOPNOTSUPP.number;
  }

  write(from: Uint8Array, offset: number): number {
    return this.#changing(this.below.write(from, offset));
  }

  stat(): Result<BackingStat> {
    return this.#backing.shown(this.below.stat());
  }

  truncate(size: number): number {
    return this.#changing(this.below.truncate(size));
  }

  setModified(mtime: Timespec): number {
    const outcome = this.below.setModified(mtime);
    if (outcome >= 0) this.#backing.changed(this.below, mtime);
    return outcome;
  }

  allocate(mode: number, range: { readonly offset: number; readonly length: number }): number {
    return this.#changing(this.below.allocate(mode, range));
  }

  seek(offset: number, kind: 'data' | 'hole'): number {
    return this.below.seek(offset, kind);
  }

  flush(): number {
    return this.below.flush();
  }

  writeBack(range: ByteRange): number {
    return this.below.writeBack(range);
  }

  close(): void {
    this.below.close();
  }

  #changing(outcome: number): number {
    if (outcome >= 0) this.#backing.changed(this.below);
    return outcome;
  }
}
