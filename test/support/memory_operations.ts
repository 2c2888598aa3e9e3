/** A filesystem in memory behind the operations' face, to try the kernel binding without the real core. */
import { E, isErrno, type Result } from '../../base/errno.ts';
import { SEEK_DATA } from '../../base/libc.ts';
import { SystemClock, type Timespec } from '../../base/time.ts';
import { FIRST_POSITION, type Ino, ino as inoOf, ROOT_INO } from '../../base/units.ts';
import {
  type AttributeChanges,
  type Attributes,
  type AttributesReply,
  type Caller,
  type DirectoryRequest,
  type Entry,
  type FilesystemStatistics,
  type ListedEntry,
  type NewNode,
  type OpenReply,
  type Operations,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  type ReadRequest,
  type WriteRequest,
} from '../../fs/types.ts';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const O_TRUNC = 0o1000;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const VALID_SEC = 60;

interface Child {
  readonly name: Uint8Array;
  ino: Ino;
  readonly cookie: number;
}

interface Node {
  attributes: Attributes;
  /** May lie in a larger buffer, into which it grows. */
  data: Uint8Array;
  readonly children: Map<string, Child>;
  readonly xattrs: Map<string, Uint8Array>;
  parent: Ino;
}

type At = { parent: Ino; name: Uint8Array };

const keyOf = (name: Uint8Array): string => Buffer.from(name).toString('latin1');

export class MemoryOperations implements Operations {
  readonly #nodes = new Map<Ino, Node>();
  readonly #clock = new SystemClock();
  #lastIno = 4096;
  #lastCookie = FIRST_POSITION;

  constructor() {
    this.#nodes.set(ROOT_INO, this.#node(ROOT_INO, { mode: S_IFDIR | 0o755, umask: 0 }, { uid: 0, gid: 0, pid: 0 }));
  }

  lookup(_caller: Caller, parent: Ino, name: Uint8Array): Result<Entry> {
    const key = keyOf(name);
    if (key === '.') return this.#entry(parent);
    if (key === '..') return this.#entry(this.#get(parent).parent);
    const child = this.#get(parent).children.get(key);
    return child === undefined ? E.ENOENT : this.#entry(child.ino);
  }

  forget(ino: Ino): void {
    const node = this.#nodes.get(ino);
    if (node !== undefined && node.attributes.nlink === 0) this.#nodes.delete(ino);
  }

  getAttributes(ino: Ino): Result<AttributesReply> {
    const node = this.#nodes.get(ino);
    return node === undefined ? E.ESTALE : { attributes: node.attributes, validSec: VALID_SEC };
  }

  setAttributes(_caller: Caller, ino: Ino, changes: AttributeChanges): Result<AttributesReply> {
    const node = this.#get(ino);
    const now = this.#clock.now();
    const { atime, mtime } = changes;
    if (changes.size !== undefined) this.#resize(node, changes.size);
    const type = node.attributes.mode & S_IFMT;
    this.#change(node, {
      ...(changes.mode !== undefined && { mode: type | changes.mode }),
      ...(changes.uid !== undefined && { uid: changes.uid }),
      ...(changes.gid !== undefined && { gid: changes.gid }),
      ...(atime !== undefined && { atime: atime === 'now' ? now : atime }),
      ...(mtime !== undefined && { mtime: mtime === 'now' ? now : mtime }),
      ctime: changes.ctime ?? now,
    });
    if (changes.killPrivileges === true) this.#killPrivileges(node);
    return this.getAttributes(ino);
  }

  readLink(ino: Ino): Result<Uint8Array> {
    return this.#get(ino).data;
  }

  makeNode(caller: Caller, at: At, node: NewNode): Result<Entry> {
    return this.#make(caller, at, { ...node, mode: node.mode & ~node.umask });
  }

  makeDirectory(caller: Caller, at: At, node: NewNode): Result<Entry> {
    return this.#make(caller, at, { ...node, mode: node.mode & ~node.umask });
  }

  makeSymlink(caller: Caller, at: At, target: Uint8Array): Result<Entry> {
    const entry = this.#make(caller, at, { mode: S_IFLNK | 0o777, umask: 0 });
    if (isErrno(entry)) return entry;
    const node = this.#get(entry.attributes.ino);
    node.data = new Uint8Array(target);
    this.#change(node, { size: target.length });
    return this.#entry(entry.attributes.ino);
  }

  makeLink(_caller: Caller, ino: Ino, at: At): Result<Entry> {
    if (this.#get(at.parent).children.has(keyOf(at.name))) return E.EEXIST;
    const node = this.#get(ino);
    this.#change(node, { nlink: node.attributes.nlink + 1, ctime: this.#clock.now() });
    this.#link(at, ino);
    return this.#entry(ino);
  }

  unlink(_caller: Caller, parent: Ino, name: Uint8Array): Result<void> {
    const child = this.#get(parent).children.get(keyOf(name));
    if (child === undefined) return E.ENOENT;
    if (this.#isDirectory(child.ino)) return E.EISDIR;
    this.#unlink({ parent, name });
    return undefined;
  }

  removeDirectory(_caller: Caller, parent: Ino, name: Uint8Array): Result<void> {
    const child = this.#get(parent).children.get(keyOf(name));
    if (child === undefined) return E.ENOENT;
    if (!this.#isDirectory(child.ino)) return E.ENOTDIR;
    if (this.#get(child.ino).children.size > 0) return E.ENOTEMPTY;
    this.#unlink({ parent, name });
    return undefined;
  }

  rename(_caller: Caller, from: At, to: At & { flags: number }): Result<void> {
    const source = this.#get(from.parent).children.get(keyOf(from.name));
    const target = this.#get(to.parent).children.get(keyOf(to.name));
    if ((to.flags & RENAME_WHITEOUT) !== 0) return E.EINVAL;
    if (source === undefined) return E.ENOENT;
    if ((to.flags & RENAME_EXCHANGE) !== 0) {
      if (target === undefined) return E.ENOENT;
      [source.ino, target.ino] = [target.ino, source.ino];
      return undefined;
    }
    if (target !== undefined) {
      if ((to.flags & RENAME_NOREPLACE) !== 0) return E.EEXIST;
      if (target.ino === source.ino) return undefined;
      if (this.#get(target.ino).children.size > 0) return E.ENOTEMPTY;
      this.#unlink(to);
    }
    this.#get(from.parent).children.delete(keyOf(from.name));
    this.#link(to, source.ino);
    this.#get(source.ino).parent = to.parent;
    return undefined;
  }

  open(_caller: Caller, ino: Ino, flags: number): Result<OpenReply> {
    if ((flags & O_TRUNC) !== 0) this.#resize(this.#get(ino), 0);
    return { handle: ino, openFlags: 0 };
  }

  create(
    caller: Caller,
    at: At & { flags: number },
    node: NewNode,
  ): Result<{ readonly entry: Entry; readonly open: OpenReply }> {
    const entry = this.makeNode(caller, at, node);
    return isErrno(entry) ? entry : { entry, open: { handle: entry.attributes.ino, openFlags: 0 } };
  }

  createUnnamed(
    caller: Caller,
    _at: { parent: Ino; flags: number },
    given: NewNode,
  ): Result<{ readonly entry: Entry; readonly open: OpenReply }> {
    const ino = this.#newIno();
    const node = this.#node(ino, { ...given, mode: given.mode & ~given.umask }, caller);
    this.#nodes.set(ino, node);
    this.#change(node, { nlink: 0 });
    return { entry: this.#entry(ino), open: { handle: ino, openFlags: 0 } };
  }

  read(request: ReadRequest, into: Uint8Array): number {
    const { data } = this.#get(request.ino);
    const part = data.subarray(request.offset, request.offset + into.length);
    into.set(part);
    return part.length;
  }

  write(request: WriteRequest, from: Uint8Array): number {
    const node = this.#get(request.ino);
    const end = request.offset + from.length;
    if (end > node.data.length) this.#resize(node, end);
    node.data.set(from, request.offset);
    if (request.killPrivileges) this.#killPrivileges(node);
    const now = this.#clock.now();
    this.#change(node, { mtime: now, ctime: now });
    return from.length;
  }

  release(_ino: Ino, _handle: number): void {}

  flushFile(_ino: Ino, _options: { dataOnly: boolean }): Result<void> {
    return undefined;
  }

  flushDirectory(_ino: Ino): Result<void> {
    return undefined;
  }

  openDirectory(_caller: Caller, ino: Ino): Result<OpenReply> {
    return { handle: ino, openFlags: 0 };
  }

  releaseDirectory(_ino: Ino, _handle: number): void {}

  listDirectory(
    request: DirectoryRequest & { readonly plus: boolean },
    take: (entry: ListedEntry) => boolean,
  ): Result<void> {
    const node = this.#get(request.ino);
    const own = { type: S_IFDIR >> 12, entry: undefined };
    if (request.cookie < 1 && !take({ name: Buffer.from('.'), ino: request.ino, cookie: 1, ...own })) return undefined;
    if (request.cookie < 2 && !take({ name: Buffer.from('..'), ino: node.parent, cookie: 2, ...own })) return undefined;
    for (const { name, ino, cookie } of node.children.values()) {
      if (cookie <= request.cookie) continue;
      const type = (this.#get(ino).attributes.mode & S_IFMT) >> 12;
      if (!take({ name, ino, type, cookie, entry: request.plus ? this.#entry(ino) : undefined })) break;
    }
    return undefined;
  }

  statistics(): Result<FilesystemStatistics> {
    const blocks = 1_000_000;
    return {
      blockSize: 4096,
      blocks,
      blocksFree: blocks,
      blocksAvailable: blocks,
      files: this.#nodes.size,
      filesFree: blocks,
      nameMax: 255,
    };
  }

  setXattr(_caller: Caller, ino: Ino, change: { name: Uint8Array; value: Uint8Array; flags: number }): Result<void> {
    const { xattrs } = this.#get(ino);
    const key = keyOf(change.name);
    if ((change.flags & XATTR_CREATE) !== 0 && xattrs.has(key)) return E.EEXIST;
    if ((change.flags & XATTR_REPLACE) !== 0 && !xattrs.has(key)) return E.ENODATA;
    xattrs.set(key, change.value.slice());
    return undefined;
  }

  getXattr(_caller: Caller, ino: Ino, name: Uint8Array): Result<Uint8Array> {
    return this.#get(ino).xattrs.get(keyOf(name)) ?? E.ENODATA;
  }

  listXattrs(_caller: Caller, ino: Ino): Result<Uint8Array> {
    return Buffer.from([...this.#get(ino).xattrs.keys()].map((name) => `${name}\0`).join(''), 'latin1');
  }

  removeXattr(_caller: Caller, ino: Ino, name: Uint8Array): Result<void> {
    return this.#get(ino).xattrs.delete(keyOf(name)) ? undefined : E.ENODATA;
  }

  allocate(request: ReadRequest, range: { mode: number; length: number }): Result<void> {
    const node = this.#get(request.ino);
    const end = request.offset + range.length;
    if ((range.mode & PUNCH_HOLE) !== 0) node.data.fill(0, request.offset, end);
    else if (range.mode !== 0 && range.mode !== KEEP_SIZE) return E.EOPNOTSUPP;
    else if (range.mode === 0 && end > node.data.length) this.#resize(node, end);
    return undefined;
  }

  seek(request: ReadRequest, whence: number): number {
    const { length } = this.#get(request.ino).data;
    if (request.offset >= length) return -E.ENXIO.number;
    return whence === SEEK_DATA ? request.offset : length;
  }

  copyRange(from: ReadRequest, to: ReadRequest, options: { length: number; flags: number }): number {
    const part = this.#get(from.ino).data.slice(from.offset, from.offset + options.length);
    return this.write({ ...to, killPrivileges: false, fromCache: false }, part);
  }

  #get(ino: Ino): Node {
    const node = this.#nodes.get(ino);
    if (node === undefined) throw new Error(`No inode ${ino} in memory`);
    return node;
  }

  #newIno(): Ino {
    this.#lastIno += 1;
    return inoOf(this.#lastIno);
  }

  #isDirectory(ino: Ino): boolean {
    return (this.#get(ino).attributes.mode & S_IFMT) === S_IFDIR;
  }

  #entry(ino: Ino): Entry {
    return { attributes: this.#get(ino).attributes, validSec: VALID_SEC, entryValidSec: VALID_SEC, generation: 1 };
  }

  #node(ino: Ino, given: NewNode, caller: Caller): Node {
    const now: Timespec = this.#clock.now();
    const isDirectory = (given.mode & S_IFMT) === S_IFDIR;
    const attributes: Attributes = {
      ino,
      size: 0,
      blocks: 0,
      atime: now,
      mtime: now,
      ctime: now,
      btime: now,
      mode: given.mode,
      nlink: isDirectory ? 2 : 1,
      uid: caller.uid,
      gid: caller.gid,
      rdev: given.rdev ?? 0,
    };
    return { attributes, data: new Uint8Array(0), children: new Map(), xattrs: new Map(), parent: ino };
  }

  #make(caller: Caller, at: At, given: NewNode): Result<Entry> {
    if (this.#get(at.parent).children.has(keyOf(at.name))) return E.EEXIST;
    const ino = this.#newIno();
    const node = this.#node(ino, given, caller);
    node.parent = at.parent;
    this.#nodes.set(ino, node);
    this.#link(at, ino);
    return this.#entry(ino);
  }

  #link(at: At, ino: Ino): void {
    this.#lastCookie += 1;
    const parent = this.#get(at.parent);
    parent.children.set(keyOf(at.name), { name: at.name.slice(), ino, cookie: this.#lastCookie });
    this.#change(parent, { mtime: this.#clock.now(), ctime: this.#clock.now() });
  }

  #unlink(at: At): void {
    const parent = this.#get(at.parent);
    const child = parent.children.get(keyOf(at.name));
    if (child === undefined) return;
    parent.children.delete(keyOf(at.name));
    const node = this.#get(child.ino);
    this.#change(node, { nlink: this.#isDirectory(child.ino) ? 0 : node.attributes.nlink - 1 });
  }

  #change(node: Node, changes: Partial<Attributes>): void {
    node.attributes = { ...node.attributes, ...changes };
  }

  #resize(node: Node, size: number): void {
    const room = node.data.buffer.byteLength;
    const used = node.data.length;
    const data = new Uint8Array(size <= room ? node.data.buffer : new ArrayBuffer(2 * size), 0, size);
    if (size > room) data.set(node.data);
    else data.fill(0, Math.min(used, size));
    node.data = data;
    const now = this.#clock.now();
    this.#change(node, { size, blocks: Math.ceil(size / 512), mtime: now, ctime: now });
  }

  #killPrivileges(node: Node): void {
    this.#change(node, { mode: node.attributes.mode & ~(S_ISUID | S_ISGID) });
  }
}
