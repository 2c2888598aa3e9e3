/** What a program does with files, spoken to a `Filesystem` the way the kernel speaks: look-ups, handles, forgets. */
import { assert } from '../../base/assert.ts';
import { isErrno, type Result } from '../../base/errno.ts';
import { type Ino, ROOT_INO } from '../../base/units.ts';
import type { Filesystem } from '../../fs/filesystem.ts';
import { type Attributes, type Caller, Deferred, type OpenReply } from '../../fs/types.ts';

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_TRUNC = 0o1000;

export const ROOT_USER: Caller = { uid: 0, gid: 0, pid: 1 };
const encoder = new TextEncoder();

/** An open file. */
export interface OpenFile {
  readonly ino: Ino;
  readonly handle: number;
}

export class LooseUser {
  readonly #filesystem: () => Filesystem;
  readonly caller: Caller;

  readonly #pump: ((round: number) => void) | undefined;

  /**
   * `filesystem` gives the present one: it changes with each restart. `pump` lets workers work, in its first round only at
   * what somebody waits for: with it, answers that come later are waited for.
   */
  constructor(filesystem: () => Filesystem, caller = ROOT_USER, pump?: (round: number) => void) {
    this.#filesystem = filesystem;
    this.caller = caller;
    this.#pump = pump;
  }

  /** The answer, now or after the workers' turn. */
  #await<T>(answer: Result<T> | Deferred<T>): Result<T> {
    if (!(answer instanceof Deferred)) return answer;
    let settled: { readonly result: Result<T> } | undefined;
    answer.whenSettled((result) => {
      settled = { result };
    });
    for (let round = 0; round < 100 && settled === undefined; round++) this.#pump?.(round);
    assert(settled !== undefined, 'An answer does not come');
    return settled.result;
  }

  get filesystem(): Filesystem {
    return this.#filesystem();
  }

  /** Directory and last name of a path. */
  place(path: string): { parent: Ino; name: Uint8Array } {
    const parts = path.split('/');
    const name = encoder.encode(parts.pop() ?? '');
    let parent: Ino = ROOT_INO;
    for (const part of parts) {
      parent = must(this.filesystem.lookup(this.caller, parent, encoder.encode(part)), path).attributes.ino;
    }
    return { parent, name };
  }

  lookup(path: string): Result<Attributes> {
    const { parent, name } = this.place(path);
    const found = this.filesystem.lookup(this.caller, parent, name);
    return isErrno(found) ? found : found.attributes;
  }

  stat(path: string): Attributes {
    return must(this.lookup(path), path);
  }

  exists(path: string): boolean {
    return !isErrno(this.lookup(path));
  }

  mkdir(path: string): Ino {
    return must(this.filesystem.makeDirectory(this.caller, this.place(path), { mode: 0o755, umask: 0 }), path)
      .attributes.ino;
  }

  tryCreate(path: string, flags = O_RDWR, mode = 0o644): Result<OpenFile> {
    const made = this.#await(this.filesystem.create(this.caller, { ...this.place(path), flags }, { mode, umask: 0 }));
    if (isErrno(made)) return made;
    const { ino } = made.entry.attributes;
    this.filesystem.openAnswered(ino);
    return { ino, handle: made.open.handle };
  }

  create(path: string, flags = O_RDWR): OpenFile {
    return must(this.tryCreate(path, flags), path);
  }

  createUnnamed(directory: Ino = ROOT_INO): OpenFile {
    const at = { parent: directory, flags: O_RDWR };
    const made = must(this.filesystem.createUnnamed(this.caller, at, { mode: 0o600, umask: 0 }), 'O_TMPFILE');
    const { ino } = made.entry.attributes;
    this.filesystem.openAnswered(ino);
    return { ino, handle: made.open.handle };
  }

  tryOpen(path: string, flags = O_RDONLY): Result<OpenFile> {
    const found = this.lookup(path);
    if (isErrno(found)) return found;
    const opened: Result<OpenReply> = this.#await(this.filesystem.open(this.caller, found.ino, flags));
    if (isErrno(opened)) return opened;
    this.filesystem.openAnswered(found.ino);
    return { ino: found.ino, handle: opened.handle };
  }

  open(path: string, flags = O_RDONLY): OpenFile {
    return must(this.tryOpen(path, flags), path);
  }

  /** Bytes written, or -errno. */
  tryWrite(file: OpenFile, bytes: Uint8Array | string, offset = 0): number {
    const from = typeof bytes === 'string' ? encoder.encode(bytes) : bytes;
    const request = { ...file, offset, killPrivileges: false, fromCache: false };
    const written = this.#await(this.filesystem.write(request, from));
    return isErrno(written) ? -written.number : written;
  }

  write(file: OpenFile, bytes: Uint8Array | string, offset = 0): void {
    const count = this.tryWrite(file, bytes, offset);
    assert(count === bytes.length, `write returned ${count}, expected ${bytes.length}`);
  }

  close(file: OpenFile): void {
    this.filesystem.release(file.ino, file.handle);
    this.filesystem.releaseAnswered(file.ino, file.handle);
  }

  forget(ino: Ino): void {
    this.filesystem.forget(ino);
  }

  /** Makes a file with these contents. */
  put(path: string, bytes: Uint8Array | string): Ino {
    const file = this.create(path);
    if (bytes.length > 0) this.write(file, bytes);
    this.close(file);
    return file.ino;
  }

  /** All bytes of an inode, or the error of reading them. */
  readInode(ino: Ino): Uint8Array | number {
    const size = must(this.filesystem.getAttributes(ino), `inode ${ino}`).attributes.size;
    const into = new Uint8Array(size);
    const count = this.filesystem.read({ ino, handle: O_RDONLY, offset: 0 }, into);
    return count < 0 ? count : into.subarray(0, count);
  }

  read(path: string): Uint8Array | number {
    return this.readInode(this.stat(path).ino);
  }

  text(path: string): string {
    const bytes = this.read(path);
    return typeof bytes === 'number' ? `errno ${-bytes}` : new TextDecoder().decode(bytes);
  }

  truncate(path: string, size: number): Result<unknown> {
    return this.filesystem.setAttributes(this.caller, this.stat(path).ino, { size });
  }

  unlink(path: string): Result<void> {
    const { parent, name } = this.place(path);
    return this.filesystem.unlink(this.caller, parent, name);
  }

  /** Unlinks it, and the kernel forgets it. */
  remove(path: string): void {
    const { ino, nlink } = this.stat(path);
    must(this.unlink(path), path);
    if (nlink === 1) this.forget(ino);
  }

  rename(from: string, to: string, flags = 0): Result<void> {
    return this.#await(this.filesystem.rename(this.caller, this.place(from), { ...this.place(to), flags }));
  }

  link(from: string, to: string): Result<unknown> {
    return this.filesystem.makeLink(this.caller, this.stat(from).ino, this.place(to));
  }

  /** Bytes copied by copy_file_range, or -errno. */
  copyRange(from: OpenFile, to: OpenFile, options: { from?: number; to?: number; length: number }): number {
    const { length } = options;
    const source = { ...from, offset: options.from ?? 0 };
    return this.filesystem.copyRange(source, { ...to, offset: options.to ?? 0 }, { length, flags: 0 });
  }

  /** Copies a whole file by copy_file_range into a new one, as `cp` does. */
  copy(from: string, to: string): void {
    const source = this.open(from);
    const target = this.create(to, O_WRONLY);
    const { size } = this.stat(from);
    for (let done = 0; done < size; ) {
      const count = this.copyRange(source, target, { from: done, to: done, length: size - done });
      assert(count > 0, `copy_file_range returned ${count}`);
      done += count;
    }
    this.close(target);
    this.close(source);
  }

  /** `own` or `packed`. */
  layout(path: string): string {
    return this.getXattr(path, 'user.pacsfs.layout');
  }

  /** The value as text, or the error's name. */
  getXattr(path: string, name: string): string {
    const found = this.filesystem.getXattr(this.caller, this.stat(path).ino, encoder.encode(name));
    return isErrno(found) ? found.name : new TextDecoder('latin1').decode(found);
  }

  setXattr(path: string, name: string, value: string | Uint8Array, flags = 0): Result<void> {
    const bytes = typeof value === 'string' ? encoder.encode(value) : value;
    const change = { name: encoder.encode(name), value: bytes, flags, killSetgid: false };
    return this.filesystem.setXattr(this.caller, this.stat(path).ino, change);
  }

  removeXattr(path: string, name: string): Result<void> {
    return this.filesystem.removeXattr(this.caller, this.stat(path).ino, encoder.encode(name));
  }

  /** Asks for an fsync; the answer is there after the next tick. */
  fsync(ino: Ino): { readonly outcome: () => Result<void> | 'waiting' } {
    let outcome: Result<void> | 'waiting' = 'waiting';
    const answer = this.filesystem.flushFile(ino);
    if (answer === undefined || isErrno(answer)) return { outcome: () => answer };
    answer.whenSettled((result) => {
      outcome = result;
    });
    return { outcome: () => outcome };
  }

  list(path: string): string[] {
    const ino = path === '' ? ROOT_INO : this.stat(path).ino;
    const names: string[] = [];
    must(
      this.filesystem.listDirectory({ ino, cookie: 0, plus: false }, ({ name }) => {
        names.push(new TextDecoder('latin1').decode(name));
        return true;
      }),
      path,
    );
    return names.filter((name) => name !== '.' && name !== '..').sort();
  }
}

function must<T>(result: Result<T>, what: string): T {
  assert(!isErrno(result), `${what}: ${isErrno(result) ? result.name : ''}, expected success`);
  return result;
}
