/**
 * A backing that fails on request: the next calls of a kind, the nth, or all from a point on. Everything else passes to
 * the backing below.
 */
import type { Backing, BackingFile, BackingOpen, BackingSpace, BackingStat, ByteRange } from '../../base/backing.ts';
import { E, type Errno, isErrno, type Result } from '../../base/errno.ts';
import type { Timespec } from '../../base/time.ts';

export type FaultKind =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'stat'
  | 'truncate'
  | 'setModified'
  | 'allocate'
  | 'seek'
  | 'flush'
  | 'flushFolder'
  | 'writeBack'
  | 'makeFolder'
  | 'unlink'
  | 'rename'
  | 'list'
  | 'space'
  | 'copyRange'
  | 'removeFolder';

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
  /** Bytes that a write which fails has written all the same, or, below 1, what part of them. Default 0. */
  readonly partial?: number;
}

/** What one call met, by its number: whatever kind it is of. */
export interface CallFault {
  /** From 1 on. */
  readonly call: number;
  readonly error: Errno;
  /** Part of a write's bytes that reach the disk all the same. Default 0. */
  readonly written?: number;
  /** All later calls of its kind fail too. Default false. */
  readonly isLasting?: boolean;
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
  /** Calls so far, of all kinds. */
  total = 0;
  /** Told of every call, before it is made. */
  onCall: ((kind: FaultKind, path: string) => void) | undefined;
  /** While set, calls neither count nor fail: those of a test that looks. */
  isPaused = false;
  #callFault: CallFault | undefined;
  /** What the call fault has met, once it has. */
  met: { readonly kind: FaultKind; readonly path: string } | undefined;

  constructor(below: Backing) {
    this.#below = below;
  }

  arm(fault: Fault): void {
    this.#armed.push({ fault, seen: 0 });
  }

  armCall(fault: CallFault): void {
    this.#callFault = fault;
    this.met = undefined;
  }

  disarm(): void {
    this.#armed = [];
    this.#callFault = undefined;
  }

  /** The error that this call must fail with, if any. */
  check(kind: FaultKind, path: string, direct = false): Errno | undefined {
    return this.fault(kind, path, direct)?.error;
  }

  /** The fault that this call meets, if any. */
  fault(kind: FaultKind, path: string, direct = false): Fault | undefined {
    if (this.isPaused) return undefined;
    this.calls.set(kind, (this.calls.get(kind) ?? 0) + 1);
    this.total += 1;
    this.onCall?.(kind, path);
    const called = this.#metCall(kind, path);
    if (called !== undefined) return called;
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

  #metCall(kind: FaultKind, path: string): Fault | undefined {
    const fault = this.#callFault;
    if (fault === undefined) return undefined;
    const isIt =
      this.met === undefined ? this.total === fault.call : fault.isLasting === true && this.met.kind === kind;
    if (!isIt) return undefined;
    this.met ??= { kind, path };
    return { kind, error: fault.error, ...(fault.written === undefined ? {} : { partial: fault.written }) };
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
    return this.#count('removeFolder', path, () => this.#below.removeFolder(path));
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
    const error = this.check('copyRange', to.file.path);
    if (error !== undefined) return -error.number;
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
  readonly descriptor?: number;
  readonly #faults: FaultBacking;
  readonly #direct: boolean;
  #open = true;

  constructor(below: BackingFile, options: { readonly faults: FaultBacking; readonly direct: boolean }) {
    this.path = below.path;
    this.below = below;
    if (below.descriptor !== undefined) this.descriptor = below.descriptor;
    this.#faults = options.faults;
    this.#direct = options.direct;
  }

  read(into: Uint8Array, offset: number): number {
    return this.#count('read', () => this.below.read(into, offset));
  }

  readNow(into: Uint8Array, offset: number): number {
    return this.#count('read', () => this.below.readNow?.(into, offset) ?? -E.EOPNOTSUPP.number);
  }

  write(from: Uint8Array, offset: number): number {
    const fault = this.#faults.fault('write', this.path, this.#direct);
    if (fault === undefined) return this.below.write(from, offset);
    const { partial = 0 } = fault;
    const count = partial < 1 ? Math.floor(partial * from.length) : partial;
    // Through O_DIRECT whole blocks only.
    const whole = this.#direct ? count - (count % 4096) : count;
    if (whole > 0) this.below.write(from.subarray(0, whole), offset);
    return -fault.error.number;
  }

  stat(): Result<BackingStat> {
    return this.#faults.check('stat', this.path) ?? this.below.stat();
  }

  truncate(size: number): number {
    return this.#count('truncate', () => this.below.truncate(size));
  }

  setModified(mtime: Timespec): number {
    return this.#count('setModified', () => this.below.setModified(mtime));
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

  writeBack(range: ByteRange): number {
    return this.#count('writeBack', () => this.below.writeBack(range));
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
