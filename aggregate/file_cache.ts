/**
 * Open own files and aggregates, bounded: the process limit may be 20,000 and files are millions. What is evicted is
 * closed, so a file taken from here serves the present request only, and a request takes at most a handful.
 */
import { LRUCache } from 'lru-cache';
import type { BackingFile } from '../base/backing.ts';
import { isErrno, type Result } from '../base/errno.ts';
import type { OwnName } from '../base/layout.ts';
import type { AggregateId } from '../base/units.ts';

/** A copy between two files holds two at once; more are never needed, so eviction cannot reach a file in use. */
export const OPEN_FILES_MIN = 8;
export const OPEN_FILES_DEFAULT = 1024;

export class FileCache {
  readonly #files: LRUCache<string, BackingFile>;

  constructor(max: number) {
    this.#files = new LRUCache({ max: Math.max(max, OPEN_FILES_MIN), dispose: (file) => file.close() });
  }

  get size(): number {
    return this.#files.size;
  }

  get(key: string, open: () => Result<BackingFile>): Result<BackingFile> {
    const cached = this.#files.get(key);
    if (cached !== undefined) return cached;
    const file = open();
    if (!isErrno(file)) this.#files.set(key, file);
    return file;
  }

  add(key: string, file: BackingFile): void {
    this.#files.set(key, file);
  }

  /** Closes the file, if it is open here. */
  drop(key: string): void {
    this.#files.delete(key);
  }

  close(): void {
    this.#files.clear();
  }
}

export function ownKey(name: OwnName): string {
  return `${name.volume}/${name.start}/${name.number}`;
}

export function aggregateKey(id: AggregateId): string {
  return `a${id}`;
}
