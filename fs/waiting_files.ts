/**
 * Settled files that wait to be packed, by directory, so that a series comes to lie together and in name order however
 * its writers interleaved. Plain bookkeeping: what to do about it is the packer's.
 */
import type { Ino } from '../base/units.ts';
import type { SettledFile } from './describer.ts';

export interface WaitingFile {
  readonly file: SettledFile;
  /** The live file's version when it settled: a change since then means that it is not the same file. */
  readonly version: number;
  readonly sinceMs: number;
}

interface Directory {
  readonly files: Map<Ino, WaitingFile>;
  bytes: number;
  /** When its oldest file came, roughly: kept when files leave. */
  oldestMs: number;
}

export class WaitingFiles {
  readonly #directories = new Map<Ino, Directory>();
  readonly #directoryOf = new Map<Ino, Ino>();
  /** Directories with a whole load. The control thread asks after every round: nothing here may look at them all. */
  readonly #full = new Set<Directory>();
  readonly #loadBytes: number;
  #bytes = 0;

  /** `loadBytes`: so much of one directory is worth a job of its own. */
  constructor(loadBytes: number) {
    this.#loadBytes = loadBytes;
  }

  get count(): number {
    return this.#directoryOf.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  has(ino: Ino): boolean {
    return this.#directoryOf.has(ino);
  }

  add(waiting: WaitingFile): void {
    const { ino, parent, size } = waiting.file;
    this.remove(ino);
    let directory = this.#directories.get(parent);
    if (directory === undefined) {
      directory = { files: new Map(), bytes: 0, oldestMs: waiting.sinceMs };
      this.#directories.set(parent, directory);
    }
    directory.files.set(ino, waiting);
    directory.bytes += size;
    if (directory.bytes >= this.#loadBytes) this.#full.add(directory);
    directory.oldestMs = Math.min(directory.oldestMs, waiting.sinceMs);
    this.#directoryOf.set(ino, parent);
    this.#bytes += size;
  }

  remove(ino: Ino): WaitingFile | undefined {
    const parent = this.#directoryOf.get(ino);
    if (parent === undefined) return undefined;
    const directory = this.#directories.get(parent);
    const waiting = directory?.files.get(ino);
    this.#directoryOf.delete(ino);
    if (directory === undefined || waiting === undefined) return undefined;
    directory.files.delete(ino);
    directory.bytes -= waiting.file.size;
    if (directory.bytes < this.#loadBytes) this.#full.delete(directory);
    this.#bytes -= waiting.file.size;
    if (directory.files.size === 0) this.#directories.delete(parent);
    return waiting;
  }

  /** When the directory that came first got its oldest file (they are kept in that order), or undefined with none. */
  oldestMs(): number | undefined {
    const [first] = this.#directories.values();
    return first?.oldestMs;
  }

  /** Whether some file came at `ms` or before. */
  hasFrom(ms: number): boolean {
    for (const { files, oldestMs } of this.#directories.values()) {
      if (oldestMs > ms) continue;
      for (const { sinceMs } of files.values()) if (sinceMs <= ms) return true;
    }
    return false;
  }

  clear(): void {
    this.#directories.clear();
    this.#directoryOf.clear();
    this.#full.clear();
    this.#bytes = 0;
  }

  /** Whether some directory has a whole load. */
  get hasFull(): boolean {
    return this.#full.size > 0;
  }

  /**
   * Takes about a load of files, directory after directory, each in name order: first directories that have a
   * whole load, then, if `dueMs` is given, those whose oldest file came before it. Fewer when there are no more.
   */
  take(options: { readonly files: number; readonly dueMs: number | undefined }): WaitingFile[] {
    const taken: WaitingFile[] = [];
    let room = this.#loadBytes;
    const takeFrom = (directory: Directory) => {
      for (const waiting of inNameOrder(directory)) {
        if (taken.length >= options.files || (taken.length > 0 && waiting.file.size > room)) return;
        taken.push(waiting);
        room -= waiting.file.size;
        this.remove(waiting.file.ino);
      }
    };
    const [full] = this.#full;
    if (full !== undefined) {
      takeFrom(full);
      return taken;
    }
    const { dueMs } = options;
    if (dueMs === undefined) return taken;
    for (const directory of [...this.#directories.values()]) {
      if (directory.oldestMs > dueMs) continue;
      takeFrom(directory);
      if (room <= 0 || taken.length >= options.files) break;
    }
    return taken;
  }
}

function inNameOrder(directory: Directory): WaitingFile[] {
  return [...directory.files.values()].sort((a, b) => Buffer.compare(a.file.name, b.file.name));
}
