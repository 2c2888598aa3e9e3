/**
 * A disk in memory whose power can be cut: a `Backing` that keeps what its readers see, what would survive, and all that
 * lies between. `cut` gives a disk as it may be found after the power is back:
 *
 * - a file: its bytes at the last flush, and of each page (own files) or sector (journal, aggregates) written since, any
 *   version that it had since; any size that it had since;
 * - a name: as at the last flush of its folder, with any of the changes since. A rename is all or nothing.
 *
 * Metadata folders below `mirrored` are made on the real disk too: SQLite keeps its databases there (see
 * `power_databases.ts`).
 */
import { mkdirSync } from 'node:fs';
import type { Backing, BackingFile, BackingOpen, BackingSpace, BackingStat } from '../../base/backing.ts';
import { E, type Result } from '../../base/errno.ts';
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE } from '../../base/libc.ts';
import { EPOCH, type Timespec } from '../../base/time.ts';
import { GIB } from '../../base/units.ts';
import type { Random } from '../support/random.ts';
import { type Keep, PAGE, PowerFile } from './power_file.ts';

type Node = PowerFile | PowerFolder;

class PowerFolder {
  names = new Map<string, Node>();
  durable = new Map<string, Node>();
}

interface NameChange {
  readonly change: number;
  readonly names: readonly { readonly folder: PowerFolder; readonly name: string; readonly node: Node | undefined }[];
}

/** Calls that change the disk or make it durable. */
export type PowerCall =
  | 'create'
  | 'write'
  | 'truncate'
  | 'allocate'
  | 'times'
  | 'flush'
  | 'flushFolder'
  | 'makeFolder'
  | 'removeFolder'
  | 'unlink'
  | 'rename';

/** How a state is made: what is kept of files and of names. */
export interface Mood {
  readonly files: (random: Random) => Keep;
  /** Share of the name changes that are kept. */
  readonly names: number;
}

export class PowerDisk implements Backing {
  readonly mirrored: string;
  /** Time of the files' changes. */
  now: () => Timespec;
  /** Told before each call: a place where the power may be cut. */
  before: (call: PowerCall, path: string) => void = () => {};
  /** Flushes that do nothing though they say so: a planted fault. */
  isLying: (path: string) => boolean = () => false;
  changes = 1;
  #root = new PowerFolder();
  #nextId = 1;
  #pending: NameChange[] = [];

  constructor(mirrored: string, now: () => Timespec) {
    this.mirrored = mirrored;
    this.now = now;
  }

  /** The disk as it may be found after a power cut now. */
  cut(mood: Mood, random: Random): PowerDisk {
    const disk = new PowerDisk(this.mirrored, this.now);
    disk.#nextId = this.#nextId;
    const kept = this.#pending.filter(() => random.below(1000) < mood.names * 1000);
    const made = new Map<Node, Node>();
    const copy = (node: Node): Node => {
      const known = made.get(node);
      if (known !== undefined) return known;
      if (node instanceof PowerFile) {
        const file = node.cut(mood.files(random), random);
        made.set(node, file);
        return file;
      }
      const folder = new PowerFolder();
      made.set(node, folder);
      const names = new Map(node.durable);
      for (const { names: changes } of kept)
        for (const change of changes) {
          if (change.folder !== node) continue;
          if (change.node === undefined) names.delete(change.name);
          else names.set(change.name, change.node);
        }
      for (const [name, child] of names) folder.names.set(name, copy(child));
      folder.durable = new Map(folder.names);
      return folder;
    };
    disk.#root = copy(this.#root) as PowerFolder;
    return disk;
  }

  /** The tree at `from` is found at `to` from now on, whatever becomes of the power. */
  move(from: string, to: string): void {
    const source = this.#place(from);
    const node = source.folder?.names.get(source.name);
    if (node === undefined) return;
    this.makeFolder(to.slice(0, to.lastIndexOf('/')));
    this.rename(from, to);
    this.flushAll();
  }

  /** All that was written is durable: how a recording begins. */
  flushAll(): void {
    const walk = (folder: PowerFolder): void => {
      folder.durable = new Map(folder.names);
      for (const node of folder.names.values()) node instanceof PowerFile ? node.flush() : walk(node);
    };
    walk(this.#root);
    this.#pending = [];
  }

  open(path: string, options: BackingOpen = {}): Result<BackingFile> {
    const { folder, name } = this.#place(path);
    if (folder === undefined) return E.ENOENT;
    let node = folder.names.get(name);
    if (options.create === true) {
      if (node !== undefined) return E.EEXIST;
      this.before('create', path);
      const tear = path.includes('/own/') ? PAGE : 512;
      const now = this.now();
      node = new PowerFile(this.#nextId++, { tear, mtime: now, ctime: now });
      this.#change([{ folder, name, node }]);
    }
    if (node === undefined) return E.ENOENT;
    if (node instanceof PowerFolder) return E.EISDIR;
    return new PowerHandle(this, path, { file: node, writable: options.write === true });
  }

  unlink(path: string): number {
    this.before('unlink', path);
    const { folder, name } = this.#place(path);
    const node = folder?.names.get(name);
    if (folder === undefined || node === undefined) return -E.ENOENT.number;
    if (node instanceof PowerFolder) return -E.EISDIR.number;
    return this.#change([{ folder, name, node: undefined }]);
  }

  rename(from: string, to: string): number {
    this.before('rename', to);
    const source = this.#place(from);
    const target = this.#place(to);
    const node = source.folder?.names.get(source.name);
    if (source.folder === undefined || target.folder === undefined || node === undefined) return -E.ENOENT.number;
    return this.#change([
      { folder: source.folder, name: source.name, node: undefined },
      { folder: target.folder, name: target.name, node },
    ]);
  }

  makeFolder(path: string): number {
    if (path.startsWith(this.mirrored) && path.includes('/meta')) mkdirSync(path, { recursive: true });
    let folder = this.#root;
    for (const name of partsOf(path)) {
      let node = folder.names.get(name);
      if (node instanceof PowerFile) return -E.ENOTDIR.number;
      if (node === undefined) {
        this.before('makeFolder', path);
        node = new PowerFolder();
        this.#change([{ folder, name, node }]);
      }
      folder = node;
    }
    return 0;
  }

  removeFolder(path: string): number {
    const { folder, name } = this.#place(path);
    const node = folder?.names.get(name);
    if (folder === undefined || !(node instanceof PowerFolder)) return -E.ENOENT.number;
    if (node.names.size > 0) return -E.ENOTEMPTY.number;
    this.before('removeFolder', path);
    return this.#change([{ folder, name, node: undefined }]);
  }

  /** Of changes in several folders all is durable with one of them, and all that came before it there. */
  flushFolder(path: string): number {
    const folder = this.#find(path);
    if (!(folder instanceof PowerFolder)) return -E.ENOENT.number;
    this.before('flushFolder', path);
    if (this.isLying(path)) return 0;
    const reached = new Set([folder]);
    for (let before = 0; before !== reached.size; ) {
      before = reached.size;
      for (const { names } of this.#pending)
        if (names.some((change) => reached.has(change.folder))) for (const change of names) reached.add(change.folder);
    }
    const isReached = ({ names }: NameChange) => names.some((change) => reached.has(change.folder));
    for (const { names } of this.#pending.filter(isReached))
      for (const { folder: where, name, node } of names) {
        if (node === undefined) where.durable.delete(name);
        else where.durable.set(name, node);
      }
    this.#pending = this.#pending.filter((change) => !isReached(change));
    return 0;
  }

  list(path: string): Result<readonly string[]> {
    const folder = this.#find(path);
    if (folder === undefined) return E.ENOENT;
    return folder instanceof PowerFolder ? [...folder.names.keys()] : E.ENOTDIR;
  }

  stat(path: string): Result<BackingStat> {
    const node = this.#find(path);
    return node === undefined ? E.ENOENT : statOf(node);
  }

  space(): Result<BackingSpace> {
    return { total: 100 * GIB, free: 90 * GIB, available: 90 * GIB };
  }

  copyRange(
    from: { readonly file: BackingFile; readonly offset: number },
    to: { readonly file: BackingFile; readonly offset: number },
    length: number,
  ): number {
    const bytes = new Uint8Array(length);
    const count = from.file.read(bytes, from.offset);
    return count <= 0 ? count : to.file.write(bytes.subarray(0, count), to.offset) < 0 ? -E.EIO.number : count;
  }

  #change(names: NameChange['names']): number {
    this.#pending.push({ change: this.changes++, names });
    for (const { folder, name, node } of names) {
      if (node === undefined) folder.names.delete(name);
      else folder.names.set(name, node);
    }
    return 0;
  }

  #place(path: string): { readonly folder: PowerFolder | undefined; readonly name: string } {
    const cut = path.lastIndexOf('/');
    const folder = this.#find(path.slice(0, cut));
    return { folder: folder instanceof PowerFolder ? folder : undefined, name: path.slice(cut + 1) };
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of partsOf(path)) {
      node = node instanceof PowerFolder ? node.names.get(name) : undefined;
      if (node === undefined) return undefined;
    }
    return node;
  }
}

class PowerHandle implements BackingFile {
  readonly path: string;
  readonly #disk: PowerDisk;
  readonly #file: PowerFile;
  readonly #writable: boolean;

  constructor(disk: PowerDisk, path: string, options: { readonly file: PowerFile; readonly writable: boolean }) {
    this.path = path;
    this.#disk = disk;
    this.#file = options.file;
    this.#writable = options.writable;
  }

  read(into: Uint8Array, offset: number): number {
    return this.#file.read(into, offset);
  }

  write(from: Uint8Array, offset: number): number {
    const outcome = this.#change('write', (change) => this.#file.write(from, offset, change));
    return outcome < 0 ? outcome : from.length;
  }

  stat(): Result<BackingStat> {
    return statOf(this.#file);
  }

  truncate(size: number): number {
    return this.#change('truncate', (change) => this.#file.truncate(size, change));
  }

  setModified(mtime: Timespec): number {
    return this.#change('times', () => {}, mtime);
  }

  allocate(mode: number, range: { readonly offset: number; readonly length: number }): number {
    const end = range.offset + range.length;
    return this.#change('allocate', (change) => {
      if ((mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) !== 0) this.#file.clear(range.offset, range.length, change);
      if ((mode & FALLOC_KEEP_SIZE) === 0 && end > this.#file.size) this.#file.truncate(end, change);
    });
  }

  seek(offset: number, kind: 'data' | 'hole'): number {
    return this.#file.seek(offset, kind) ?? -E.ENXIO.number;
  }

  flush(): number {
    this.#disk.before('flush', this.path);
    if (!this.#disk.isLying(this.path)) this.#file.flush();
    return 0;
  }

  writeBack(): number {
    return 0;
  }

  close(): void {}

  #change(call: PowerCall, act: (change: number) => void, mtime?: Timespec): number {
    if (!this.#writable) return -E.EBADF.number;
    this.#disk.before(call, this.path);
    const change = this.#disk.changes++;
    act(change);
    const ctime = this.#disk.now();
    this.#file.changed(change, { mtime: mtime ?? ctime, ctime });
    return 0;
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function statOf(node: Node): BackingStat {
  const common = { device: 1, isDirectory: node instanceof PowerFolder };
  if (node instanceof PowerFolder) return { ...common, ino: 0, size: PAGE, blocks: 8, mtime: EPOCH, ctime: EPOCH };
  const { id: ino, size, blocks, mtime, ctime } = node;
  return { ...common, ino, size, blocks, mtime, ctime };
}
