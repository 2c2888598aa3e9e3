/** A seeded program that does with a store what programs do, and tells the model what it did and what it was promised. */
import { assert } from '../../base/assert.ts';
import { isErrno, type Result } from '../../base/errno.ts';
import { type Ino, KIB, ROOT_INO } from '../../base/units.ts';
import { type AttributeChanges, Deferred } from '../../fs/types.ts';
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import { LooseUser, O_RDWR, O_TRUNC, O_WRONLY, type OpenFile, ROOT_USER } from '../support/loose_user.ts';
import type { Random } from '../support/random.ts';
import { compactSome } from './power_compaction.ts';
import { migrateSome } from './power_migration.ts';
import type { PowerModel } from './power_model.ts';
import { isFolder, PowerNames } from './power_names.ts';
import { addShard, moveSlots } from './power_shards.ts';
import { isSynchronous, O_DSYNC, STEPS, type Step } from './power_steps.ts';

const HANDLES_MAX = 5;
/** Above `packBelow` of the run. */
const LARGE = 20 * KIB;

export interface PowerUserOptions {
  readonly model: PowerModel;
  readonly random: Random;
  /** kill -9 of the daemon, and of its supervisor or not; the machine stays on. */
  readonly restart: (isReplaced: boolean) => void;
}

type Handle = { readonly open: OpenFile; readonly writes: boolean };

export class PowerUser {
  readonly #loose: LooseFilesystem;
  readonly #user: LooseUser;
  readonly #model: PowerModel;
  readonly #random: Random;
  readonly #restart: PowerUserOptions['restart'];
  readonly #names: PowerNames;
  #handles: Handle[] = [];
  /** What was done, and how often. */
  readonly did = new Map<string, number>();

  constructor(loose: LooseFilesystem, options: PowerUserOptions) {
    this.#loose = loose;
    this.#restart = options.restart;
    this.#user = new LooseUser(() => loose.filesystem);
    this.#model = options.model;
    this.#random = options.random;
    this.#names = new PowerNames(options.random);
  }

  /** Takes over the names of a store that was recovered. */
  takeOver(names: ReadonlyMap<string, Ino>): void {
    for (const [path, ino] of names) if (path !== '') this.#names.paths.set(path.slice(1), ino);
  }

  /** Does one thing; says which. */
  step(): string {
    const total = STEPS.reduce((sum, [, weight]) => sum + weight, 0);
    let at = this.#random.below(total);
    for (const [what, weight] of STEPS) {
      at -= weight;
      if (at >= 0) continue;
      this.did.set(what, (this.did.get(what) ?? 0) + 1);
      this.#acts[what]();
      return what;
    }
    return 'nothing';
  }

  /** The store must say the same of every name as the model does. */
  verify(found: ReadonlyMap<string, Ino>): void {
    const expected = new Map<string, Ino>([['', ROOT_INO]]);
    for (const [path, ino] of this.#names.paths) expected.set(`/${path}`, ino);
    assert(found.size === expected.size, `${found.size} names, expected ${expected.size}: ${[...found.keys()]}`);
    for (const [path, ino] of expected)
      assert(found.get(path) === ino, `${path} is ${found.get(path)}, expected ${ino}`);
  }

  readonly #acts: Record<Step, () => void> = {
    create: () => this.#create(),
    write: () => this.#write(),
    append: () => this.#append(),
    rewrite: () => this.#rewrite(),
    'touch up': () => this.#fsyncNew(1, true),
    'fsync of new files': () => this.#fsyncNew(4, false),
    empty: () => this.#empty(),
    truncate: () => this.#truncate(),
    close: () => this.#closeOne(),
    read: () => this.#read(),
    fsync: () => this.#fsync(),
    'fsync of an open file': () => this.#fsyncOpen(),
    'fsync of a directory': () => this.#fsyncFolder(),
    sync: () => this.#sync(),
    rename: () => this.#rename(),
    publish: () => this.#publish(),
    link: () => this.#link(),
    unlink: () => this.#unlink(),
    mkdir: () => this.#makeFolder(),
    rmdir: () => this.#removeFolder(),
    symlink: () => this.#symlink(),
    copy: () => this.#copy(),
    attributes: () => this.#attributes(),
    xattr: () => this.#xattr(),
    tick: () => this.#tick(),
    split: () => this.#split(),
    crowd: () => this.#crowd(),
    work: () => this.#loose.work(),
    pack: () => this.#loose.pack(),
    compact: () => compactSome(this.#loose, this.#random),
    migrate: () => migrateSome(this.#loose, this.#random),
    kill: () => this.#kill(),
    replace: () => this.#restart(true),
    'more shards': () => addShard(this.#loose.namespace, this.#random),
    'move slots': () => moveSlots(this.#loose.namespace, this.#random),
  };

  // Contents

  #create(): void {
    const path = this.#names.free();
    if (path === undefined) return;
    const open = this.#make(path, this.#writing());
    if (open === undefined) return;
    if (this.#random.below(8) !== 0) this.#writeTo(open, { offset: 0, length: this.#length() });
    this.#keepOrClose(open, true);
  }

  #make(path: string, flags: number): OpenFile | undefined {
    const place = this.#user.place(path);
    const node = { mode: 0o644 | (this.#random.below(2) << 3), umask: 0 };
    const answer = this.#user.filesystem.create(ROOT_USER, { ...place, flags }, node);
    const { lsn } = this.#loose.namespace;
    const made = this.#done(answer);
    if (isErrno(made)) return undefined;
    const { ino } = made.entry.attributes;
    this.#names.paths.set(path, ino);
    this.#model.wrote(ino, new Uint8Array(0));
    // A moment of its own, whatever this step does besides.
    this.#model.snapshot('create', this.#loose);
    if (isSynchronous(flags)) this.#model.promise(lsn, []);
    return { ino, handle: made.open.handle };
  }

  #write(): void {
    const held = this.#names.pick(this.#handles.filter(({ writes }) => writes));
    if (held !== undefined && this.#random.below(2) === 0) {
      const { length } = this.#model.newest(held.open.ino);
      this.#writeTo(held.open, { offset: this.#random.below(length + 10), length: this.#length() });
      return;
    }
    this.#change((open, size) =>
      this.#writeTo(open, { offset: this.#random.below(size + 10), length: this.#length() }),
    );
  }

  #append(): void {
    this.#change((open, size) => this.#writeTo(open, { offset: size, length: this.#length() }));
  }

  /** Other bytes, the same size, and the time of before. */
  #rewrite(): void {
    const handle = this.#random.below(2) === 0 ? this.#names.pick(this.#handles) : undefined;
    const path = this.#names.anyOf(handle === undefined ? this.#model.contents : new Set([handle.open.ino]));
    const ino = this.#inoOf(path);
    if (path === undefined || ino === undefined) return;
    const before = this.#user.stat(path);
    if (before.size === 0) return;
    const held = this.#handles.find((handle) => handle.writes && handle.open.ino === ino);
    const open = held?.open ?? this.#open(ino, this.#writing());
    this.#writeTo(open, { offset: this.#random.below(before.size), length: 1 });
    this.#setAttributes(ino, { mtime: before.mtime });
    if (held === undefined) this.#keepOrClose(open, true);
  }

  /** Small files, one after the other: written, fsynced, changed without a trace if that is wanted, closed. */
  #fsyncNew(count: number, isChanged: boolean): void {
    for (let i = 0; i < count; i++) {
      const path = this.#names.free();
      const open = path === undefined ? undefined : this.#make(path, O_WRONLY);
      if (path === undefined || open === undefined) return;
      this.#writeTo(open, { offset: 0, length: 1 + this.#random.below(3000) });
      this.#flush(open.ino, true);
      const { mtime } = this.#user.stat(path);
      if (isChanged) this.#writeTo(open, { offset: 0, length: 1 });
      if (isChanged) this.#setAttributes(open.ino, { mtime });
      this.#user.close(open);
    }
  }

  #empty(): void {
    const path = this.#names.anyOf(this.#model.contents);
    const ino = this.#inoOf(path);
    if (ino === undefined) return;
    const open = this.#open(ino, O_RDWR | O_TRUNC);
    this.#model.wrote(ino, new Uint8Array(0));
    if (this.#random.below(3) !== 0) this.#writeTo(open, { offset: 0, length: this.#length() });
    this.#keepOrClose(open, true);
  }

  #truncate(): void {
    const ino = this.#inoOf(this.#names.anyOf(this.#model.contents));
    if (ino === undefined) return;
    const before = this.#model.newest(ino);
    const size = this.#random.below(2) === 0 ? this.#random.below(before.length + 1) : before.length + this.#length();
    const bytes = new Uint8Array(size);
    bytes.set(before.subarray(0, size));
    this.#setAttributes(ino, { size });
    this.#model.wrote(ino, bytes);
  }

  #read(): void {
    const path = this.#names.anyOf(this.#model.contents);
    const ino = this.#inoOf(path);
    if (path === undefined || ino === undefined) return;
    const found = this.#user.readInode(ino);
    const isSame = typeof found !== 'number' && Buffer.compare(found, this.#model.newest(ino)) === 0;
    assert(isSame, `${path} (${ino}) does not hold what was written`);
  }

  #copy(): void {
    const from = this.#inoOf(this.#names.anyOf(this.#model.contents));
    const path = this.#names.free();
    if (from === undefined || path === undefined) return;
    const source = this.#open(from, 0);
    const target = this.#make(path, this.#writing());
    if (target !== undefined) {
      const bytes = this.#model.newest(from);
      for (let done = 0; done < bytes.length; ) {
        const options = { from: done, to: done, length: bytes.length - done };
        const count = this.#user.copyRange(source, target, options);
        assert(count > 0, `copy_file_range returned ${count}`);
        done += count;
        this.#model.wrote(target.ino, bytes.slice(0, done));
      }
      this.#keepOrClose(target, true);
    }
    this.#user.close(source);
  }

  #change(act: (open: OpenFile, size: number) => void): void {
    const ino = this.#inoOf(this.#names.anyOf(this.#model.contents));
    if (ino === undefined) return;
    const open = this.#open(ino, this.#writing());
    act(open, this.#model.newest(ino).length);
    this.#keepOrClose(open, true);
  }

  #writeTo(open: OpenFile, range: { readonly offset: number; readonly length: number }): void {
    const bytes = this.#random.bytes(range.length);
    const before = this.#model.newest(open.ino);
    const after = new Uint8Array(Math.max(before.length, range.offset + range.length));
    after.set(before);
    after.set(bytes, range.offset);
    // What the write is to make of it may be found from its beginning on.
    this.#model.wrote(open.ino, after);
    const request = { ...open, offset: range.offset, killPrivileges: false, fromCache: false };
    const answer = this.#user.filesystem.write(request, bytes);
    const { lsn } = this.#loose.namespace;
    const version = this.#model.version(open.ino);
    const count = this.#done(answer);
    assert(count === range.length, `write returned ${count}, expected ${range.length}`);
    if (isSynchronous(open.handle)) this.#model.promise(lsn, [[open.ino, version]]);
  }

  #open(ino: Ino, flags: number): OpenFile {
    const answer = this.#user.filesystem.open(ROOT_USER, ino, flags);
    const { lsn } = this.#loose.namespace;
    const opened = this.#done(answer);
    assert(!isErrno(opened), `open of ${ino} gives ${isErrno(opened) ? opened.name : ''}`);
    if (isSynchronous(flags)) this.#model.promise(lsn, []);
    return { ino, handle: opened.handle };
  }

  /** Flags of an open for writing. */
  #writing(): number {
    const access = this.#random.below(5) < 2 ? O_RDWR : O_WRONLY;
    return this.#random.below(12) === 0 ? access | O_DSYNC : access;
  }

  #keepOrClose(open: OpenFile, writes: boolean): void {
    if (this.#handles.length < HANDLES_MAX && this.#random.below(4) === 0) this.#handles.push({ open, writes });
    else this.#user.close(open);
  }

  #closeOne(): void {
    const [handle] = this.#handles.splice(this.#random.below(this.#handles.length), 1);
    if (handle === undefined) return;
    this.#user.close(handle.open);
    this.#forgetUnnamed(handle.open.ino);
  }

  /** The mount is gone with its handles; all that was answered is there. */
  #kill(): void {
    this.#handles = [];
    this.#restart(false);
  }

  // Promises

  #fsync(): void {
    const ino = this.#inoOf(this.#names.anyOf(this.#model.contents));
    if (ino !== undefined) this.#flush(ino);
  }

  #fsyncOpen(): void {
    const handle = this.#names.pick(this.#handles);
    if (handle !== undefined) this.#flush(handle.open.ino);
  }

  /** The answer comes later, or within this step. */
  #flush(ino: Ino, isAwaited = this.#random.below(3) !== 0): void {
    const lsn = this.#loose.namespace.lsn;
    const version = this.#model.version(ino);
    const answer = this.#user.filesystem.flushFile(ino);
    this.#whenDone(answer, () => this.#model.promise(lsn, [[ino, version]]));
    if (isAwaited) this.#done(answer);
  }

  #fsyncFolder(): void {
    const lsn = this.#loose.namespace.lsn;
    const folder = this.#names.pick(['', ...this.#names.folders]) ?? '';
    const answer = this.#user.filesystem.flushDirectory(this.#names.paths.get(folder) ?? ROOT_INO);
    this.#whenDone(answer, () => this.#model.promise(lsn, []));
    if (this.#random.below(2) === 0) this.#done(answer);
  }

  #sync(): void {
    const lsn = this.#loose.namespace.lsn;
    const versions = [...this.#model.contents.keys()].map((ino) => [ino, this.#model.version(ino)] as const);
    const answer = this.#loose.filesystem.sync();
    this.#whenDone(answer, () => this.#model.promise(lsn, versions));
    if (this.#random.below(2) === 0) this.#done(answer);
  }

  #whenDone(answer: Result<void> | Deferred<void>, act: () => void): void {
    const settle = (outcome: Result<void>): void => {
      assert(!isErrno(outcome), `fsync gives ${isErrno(outcome) ? outcome.name : ''}`);
      act();
    };
    if (answer instanceof Deferred) answer.whenSettled(settle);
    else settle(answer);
  }

  /** Lets time pass and the workers work until an answer is there. */
  #done<T>(answer: Result<T> | Deferred<T>): Result<T> {
    if (!(answer instanceof Deferred)) return answer;
    let outcome: { readonly result: Result<T> } | undefined;
    answer.whenSettled((result) => {
      outcome = { result };
    });
    for (let round = 0; round < 1_000 && outcome === undefined; round++) {
      this.#loose.tick();
      if (outcome === undefined) this.#loose.work();
    }
    assert(outcome !== undefined, 'An answer does not come');
    return outcome.result;
  }

  #tick(): void {
    this.#loose.clock.advance(this.#random.below(1_500));
    this.#loose.tick();
  }

  /** The daemon has time for a few steps of a split or merge, if one is wanted. */
  #split(): void {
    for (let turns = 1 + this.#random.below(4); turns > 0; turns--) this.#loose.look();
  }

  // Names

  #rename(): void {
    const from = this.#random.below(5) === 0 ? this.#names.pick(this.#names.folders) : this.#names.any();
    if (from === undefined) return;
    const to = isFolder(from) ? this.#names.freeFolder() : this.#names.place();
    if (to === undefined || to === from || to.startsWith(`${from}/`) || isFolder(to)) return;
    this.#move(from, to);
  }

  /** As editors save: a new file takes the place of an old one. */
  #publish(): void {
    const to = this.#names.anyOf(this.#model.contents);
    const from = this.#names.free();
    if (to === undefined || from === undefined) return;
    const open = this.#make(from, O_WRONLY);
    if (open === undefined) return;
    this.#writeTo(open, { offset: 0, length: this.#length() });
    if (this.#random.below(3) !== 0) this.#user.close(open);
    else this.#handles.push({ open, writes: true });
    this.#move(from, to);
  }

  #move(from: string, to: string): void {
    const moved = this.#names.paths.get(from);
    const replaced = this.#names.paths.get(to);
    if (moved === undefined || moved === replaced) return;
    const version = this.#model.version(moved);
    const place = { ...this.#user.place(to), flags: 0 };
    const outcome = this.#done(this.#user.filesystem.rename(ROOT_USER, this.#user.place(from), place));
    assert(!isErrno(outcome), `rename ${from} to ${to} gives ${isErrno(outcome) ? outcome.name : ''}`);
    this.#names.move(from, to);
    if (replaced === undefined) return;
    // A replace is all or nothing, fsynced or not.
    if (this.#model.version(moved) === version) this.#model.raiseFloor(moved);
    this.#forgetUnnamed(replaced);
  }

  #link(): void {
    const from = this.#inoOf(this.#names.anyOf(this.#model.contents));
    const to = this.#names.free();
    if (from === undefined || to === undefined) return;
    const linked = this.#user.filesystem.makeLink(ROOT_USER, from, this.#user.place(to));
    if (!isErrno(linked)) this.#names.paths.set(to, from);
  }

  #unlink(path = this.#names.any()): void {
    const ino = this.#inoOf(path);
    if (path === undefined || ino === undefined || isFolder(path)) return;
    const outcome = this.#user.unlink(path);
    assert(!isErrno(outcome), `unlink ${path} gives ${isErrno(outcome) ? outcome.name : ''}`);
    this.#names.paths.delete(path);
    this.#forgetUnnamed(ino);
  }

  #forgetUnnamed(ino: Ino): void {
    if (!this.#names.isNamed(ino) && !this.#handles.some(({ open }) => open.ino === ino)) this.#user.forget(ino);
  }

  #makeFolder(): void {
    const path = this.#names.freeFolder();
    if (path === undefined) return;
    this.#names.paths.set(path, this.#user.mkdir(path));
  }

  #removeFolder(): void {
    const path = this.#names.pick(this.#names.folders);
    if (path === undefined || [...this.#names.paths.keys()].some((name) => name.startsWith(`${path}/`))) return;
    const { parent, name } = this.#user.place(path);
    const outcome = this.#user.filesystem.removeDirectory(ROOT_USER, parent, name);
    assert(!isErrno(outcome), `rmdir ${path} gives ${isErrno(outcome) ? outcome.name : ''}`);
    const ino = this.#names.paths.get(path);
    if (ino !== undefined) this.#user.forget(ino);
    this.#names.paths.delete(path);
  }

  /** Many names come, or go, one record each. */
  #crowd(): void {
    const isLeaving = this.#random.below(3) === 0;
    for (const path of this.#names.crowd(isLeaving)) {
      if (isLeaving) this.#unlink(path);
      else this.#symlink(path);
      this.#model.snapshot('crowd', this.#loose);
    }
  }

  #symlink(path = this.#names.free()): void {
    if (path === undefined) return;
    const target = Buffer.from(`to/${this.#random.below(1e6)}`);
    const made = this.#user.filesystem.makeSymlink(ROOT_USER, this.#user.place(path), target);
    if (!isErrno(made)) this.#names.paths.set(path, made.attributes.ino);
  }

  #attributes(): void {
    const path = this.#names.any();
    const ino = this.#inoOf(path);
    if (path === undefined || ino === undefined) return;
    const time = { sec: 1_000_000 + this.#random.below(1e6), nsec: this.#random.below(1e9) };
    const changes: readonly AttributeChanges[] = [
      { mode: 0o600 | this.#random.below(0o200) },
      { uid: this.#random.below(100), gid: this.#random.below(100) },
      { mtime: time, atime: time },
      { mtime: 'now' },
    ];
    const change = this.#names.pick(changes);
    // The mode of a symbolic link cannot be changed.
    if (change !== undefined && (change.mode === undefined || this.#model.contents.has(ino)))
      this.#setAttributes(ino, change);
  }

  #inoOf(path: string | undefined): Ino | undefined {
    return path === undefined ? undefined : this.#names.paths.get(path);
  }

  #length(): number {
    const kind = this.#random.below(20);
    if (kind === 0) return LARGE + this.#random.below(LARGE);
    return 1 + this.#random.below(kind < 4 ? 3 * 4096 : 1500);
  }

  #setAttributes(ino: Ino, changes: AttributeChanges): void {
    const outcome = this.#user.filesystem.setAttributes(ROOT_USER, ino, changes);
    this.#model.snapshot('setattr', this.#loose);
    assert(!isErrno(outcome), `setattr of ${ino} gives ${isErrno(outcome) ? outcome.name : ''}`);
  }

  #xattr(): void {
    const path = this.#names.any();
    if (path === undefined || this.#inoOf(path) === undefined) return;
    const name = `user.${this.#random.below(3)}`;
    if (this.#random.below(3) === 0) this.#user.removeXattr(path, name);
    else this.#user.setXattr(path, name, `value ${this.#random.below(1e6)}`);
  }
}
