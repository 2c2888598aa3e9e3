/**
 * A disk in memory that loses what was not flushed: at a power cut each 512-byte sector written since the last flush of its
 * file is any of the versions it had since, and files whose folder was not flushed may be gone. It can also stop the
 * program at any write or flush.
 */
import type { Backing, BackingFile, BackingOpen, BackingSpace, BackingStat } from '../../../base/backing.ts';
import { E, type Errno, type Result } from '../../../base/errno.ts';
import type { Random } from '../../support/random.ts';

const SECTOR = 512;

/** The program ends here. */
export class Stopped extends Error {}

interface DiskFile {
  now: Uint8Array;
  durable: Uint8Array;
  /** Versions of sectors since the last flush, by number. */
  versions: Map<number, Uint8Array[]>;
  isNamed: boolean;
}

export class SectorDisk implements Backing {
  #files = new Map<string, DiskFile>();
  /** Writes and flushes that still succeed; then `Stopped`. */
  #left = Number.POSITIVE_INFINITY;
  fault: { readonly path: string; readonly kind: 'write' | 'flush' | 'create'; readonly error: Errno } | undefined;
  calls = 0;

  copy(): SectorDisk {
    const disk = new SectorDisk();
    for (const [path, file] of this.#files) {
      const versions = new Map([...file.versions].map(([at, list]) => [at, [...list]]));
      disk.#files.set(path, { ...file, now: file.now.slice(), durable: file.durable.slice(), versions });
    }
    return disk;
  }

  stopAfter(calls: number): void {
    this.#left = calls;
  }

  powerCut(random: Random): void {
    this.#left = Number.POSITIVE_INFINITY;
    for (const [path, file] of [...this.#files]) {
      if (!file.isNamed && random.below(2) === 0) {
        this.#files.delete(path);
        continue;
      }
      for (const [at, versions] of file.versions) {
        const chosen = random.below(versions.length + 1);
        const version = versions[chosen - 1];
        if (version !== undefined) file.durable.set(version, at * SECTOR);
      }
      file.versions.clear();
      file.now = file.durable.slice();
      file.isNamed = true;
    }
  }

  bytes(path: string): Uint8Array {
    return this.#files.get(path)?.now ?? new Uint8Array(0);
  }

  paths(): string[] {
    return [...this.#files.keys()];
  }

  step(kind: 'write' | 'flush' | 'create', path: string): number {
    this.calls += 1;
    if (this.#left <= 0) throw new Stopped();
    this.#left -= 1;
    const { fault } = this;
    return fault !== undefined && fault.kind === kind && path.includes(fault.path) ? -fault.error.number : 0;
  }

  open(path: string, options: BackingOpen = {}): Result<BackingFile> {
    if (options.create === true) {
      if (this.#files.has(path)) return E.EEXIST;
      if (this.step('create', path) < 0) return this.fault?.error ?? E.EIO;
      const none = new Uint8Array(0);
      this.#files.set(path, { now: none, durable: none, versions: new Map(), isNamed: false });
    }
    const file = this.#files.get(path);
    return file === undefined ? E.ENOENT : new SectorFile(path, file, this);
  }

  unlink(path: string): number {
    return this.#files.delete(path) ? 0 : -E.ENOENT.number;
  }

  rename(): number {
    return -E.EOPNOTSUPP.number;
  }

  makeFolder(): number {
    return 0;
  }

  removeFolder(): number {
    return 0;
  }

  setTimes(): number {
    return 0;
  }

  flushFolder(path: string): number {
    const outcome = this.step('flush', path);
    if (outcome < 0) return outcome;
    for (const [name, file] of this.#files) if (name.startsWith(`${path}/`)) file.isNamed = true;
    return 0;
  }

  list(path: string): Result<readonly string[]> {
    const prefix = `${path}/`;
    const names = this.paths().filter((name) => name.startsWith(prefix));
    return names.length === 0 ? E.ENOENT : names.map((name) => name.slice(prefix.length));
  }

  stat(path: string): Result<BackingStat> {
    const size = this.#files.get(path)?.now.length;
    if (size === undefined && !this.paths().some((name) => name.startsWith(`${path}/`)) && path !== '/other')
      return E.ENOENT;
    const time = { sec: 0, nsec: 0 };
    return {
      ino: 1,
      device: 1,
      size: size ?? 0,
      blocks: 0,
      isDirectory: size === undefined,
      mtime: time,
    } as BackingStat;
  }

  space(): Result<BackingSpace> {
    return { total: 2 ** 40, free: 2 ** 40, available: 2 ** 40 };
  }

  copyRange(): number {
    return -E.EXDEV.number;
  }
}

class SectorFile implements BackingFile {
  readonly path: string;
  readonly #file: DiskFile;
  readonly #disk: SectorDisk;

  constructor(path: string, file: DiskFile, disk: SectorDisk) {
    this.path = path;
    this.#file = file;
    this.#disk = disk;
  }

  read(into: Uint8Array, offset: number): number {
    const found = this.#file.now.subarray(offset, offset + into.length);
    into.set(found);
    return found.length;
  }

  write(from: Uint8Array, offset: number): number {
    const outcome = this.#disk.step('write', this.path);
    if (outcome < 0) return outcome;
    const file = this.#file;
    const end = offset + from.length;
    if (end > file.now.length) {
      file.now = grown(file.now, end);
      file.durable = grown(file.durable, end);
    }
    file.now.set(from, offset);
    for (let at = Math.floor(offset / SECTOR); at * SECTOR < end; at++) {
      const versions = file.versions.get(at) ?? [];
      versions.push(file.now.slice(at * SECTOR, (at + 1) * SECTOR));
      file.versions.set(at, versions);
    }
    return from.length;
  }

  stat(): Result<BackingStat> {
    return this.#disk.stat(this.path);
  }

  truncate(): number {
    return -E.EOPNOTSUPP.number;
  }

  allocate(): number {
    return -E.EOPNOTSUPP.number;
  }

  setModified(): number {
    return 0;
  }

  writeBack(): number {
    return 0;
  }

  seek(): number {
    return -E.EOPNOTSUPP.number;
  }

  setTimes(): number {
    return 0;
  }

  flush(): number {
    const outcome = this.#disk.step('flush', this.path);
    if (outcome < 0) return outcome;
    this.#file.durable = this.#file.now.slice();
    this.#file.versions.clear();
    return 0;
  }

  close(): void {}
}

function grown(bytes: Uint8Array, length: number): Uint8Array {
  const longer = new Uint8Array(length);
  longer.set(bytes);
  return longer;
}
