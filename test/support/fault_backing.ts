/**
 * A backing that fails on request: the next calls of a kind, the nth, or all from a point on. Everything else passes to
 * the backing below.
 */
import type { Backing, BackingFile, BackingOpen, BackingSpace, BackingStat } from '../../base/backing.ts';
import { type Errno, isErrno, type Result } from '../../base/errno.ts';

export type FaultKind =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'stat'
  | 'truncate'
  | 'allocate'
  | 'seek'
  | 'flush'
  | 'flushFolder'
  | 'makeFolder'
  | 'unlink'
  | 'rename'
  | 'list'
  | 'space';

export interface Fault {
  readonly kind: FaultKind;
  readonly error: Errno;
  /** Calls of the kind on matching paths that succeed before. Default 0. */
  readonly after?: number;
  /** Calls that fail, then all is well again. Default: for ever. */
  readonly times?: number;
  /** Only paths that contain this. */
  readonly path?: string;
  /** Only opens with O_DIRECT, and writes through such. */
  readonly direct?: boolean;
  /** Bytes that a write which fails has written all the same. Default 0. */
  readonly partial?: number;
}

interface Armed {
  readonly fault: Fault;
  seen: number;
}

export class FaultBacking implements Backing {
  readonly #below: Backing;
  #armed: Armed[] = [];
  /** Calls so far, by kind. */
  readonly calls = new Map<FaultKind, number>();
  /** Files opened and not closed. */
  openFiles = 0;

  constructor(below: Backing) {
    this.#below = below;
  }

  arm(fault: Fault): void {
    this.#armed.push({ fault, seen: 0 });
  }

  disarm(): void {
    this.#armed = [];
  }

  /** The error that this call must fail with, if any. */
  check(kind: FaultKind, path: string, direct = false): Errno | undefined {
    return this.fault(kind, path, direct)?.error;
  }

  /** The fault that this call meets, if any. */
  fault(kind: FaultKind, path: string, direct = false): Fault | undefined {
    this.calls.set(kind, (this.calls.get(kind) ?? 0) + 1);
    for (const armed of this.#armed) {
      const { fault } = armed;
      if (fault.kind !== kind || (fault.path !== undefined && !path.includes(fault.path))) continue;
      if (fault.direct === true && !direct) continue;
      armed.seen += 1;
      const after = fault.after ?? 0;
      if (armed.seen > after && armed.seen <= after + (fault.times ?? Number.POSITIVE_INFINITY)) return fault;
    }
    return undefined;
  }

  open(path: string, options: BackingOpen = {}): Result<BackingFile> {
    const kind = options.create === true ? 'create' : 'open';
    const file = this.check(kind, path, options.direct) ?? this.#below.open(path, options);
    if (isErrno(file)) return file;
    this.openFiles += 1;
    return new FaultFile(file, { faults: this, direct: options.direct ?? false });
  }

  unlink(path: string): number {
    return this.#count('unlink', path, () => this.#below.unlink(path));
  }

  rename(from: string, to: string): number {
    return this.#count('rename', from, () => this.#below.rename(from, to));
  }

  makeFolder(path: string): number {
    return this.#count('makeFolder', path, () => this.#below.makeFolder(path));
  }

  removeFolder(path: string): number {
    return this.#below.removeFolder(path);
  }

  flushFolder(path: string): number {
    return this.#count('flushFolder', path, () => this.#below.flushFolder(path));
  }

  list(path: string): Result<readonly string[]> {
    return this.check('list', path) ?? this.#below.list(path);
  }

  stat(path: string): Result<BackingStat> {
    return this.check('stat', path) ?? this.#below.stat(path);
  }

  space(path: string): Result<BackingSpace> {
    return this.check('space', path) ?? this.#below.space(path);
  }

  copyRange(
    from: { readonly file: BackingFile; readonly offset: number },
    to: { readonly file: BackingFile; readonly offset: number },
    length: number,
  ): number {
    return this.#below.copyRange(
      { ...from, file: from.file instanceof FaultFile ? from.file.below : from.file },
      { ...to, file: to.file instanceof FaultFile ? to.file.below : to.file },
      length,
    );
  }

  #count(kind: FaultKind, path: string, act: () => number): number {
    const error = this.check(kind, path);
    return error === undefined ? act() : -error.number;
  }
}

class FaultFile implements BackingFile {
  readonly path: string;
  readonly below: BackingFile;
  readonly #faults: FaultBacking;
  readonly #direct: boolean;
  #open = true;

  constructor(below: BackingFile, options: { readonly faults: FaultBacking; readonly direct: boolean }) {
    this.path = below.path;
    this.below = below;
    this.#faults = options.faults;
    this.#direct = options.direct;
  }

  read(into: Uint8Array, offset: number): number {
    return this.#count('read', () => this.below.read(into, offset));
  }

  write(from: Uint8Array, offset: number): number {
    const fault = this.#faults.fault('write', this.path, this.#direct);
    if (fault === undefined) return this.below.write(from, offset);
    if (fault.partial !== undefined) this.below.write(from.subarray(0, fault.partial), offset);
    return -fault.error.number;
  }

  stat(): Result<BackingStat> {
    return this.#faults.check('stat', this.path) ?? this.below.stat();
  }

  truncate(size: number): number {
    return this.#count('truncate', () => this.below.truncate(size));
  }

  allocate(mode: number, range: { readonly offset: number; readonly length: number }): number {
    return this.#count('allocate', () => this.below.allocate(mode, range));
  }

  seek(offset: number, kind: 'data' | 'hole'): number {
    return this.#count('seek', () => this.below.seek(offset, kind));
  }

  flush(): number {
    return this.#count('flush', () => this.below.flush());
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#faults.openFiles -= 1;
    this.below.close();
  }

  #count(kind: FaultKind, act: () => number): number {
    const error = this.#faults.check(kind, this.path, this.#direct);
    return error === undefined ? act() : -error.number;
  }
}
