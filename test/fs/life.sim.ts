/**
 * Seeded lives of a filesystem: files made, written, cut, copied, renamed, linked, removed and synced, packed meanwhile,
 * with disks that are full for a moment, stops and kills. It is what the model says all the time: a kill loses nothing.
 */
import { describe, expect, test } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import { KIB } from '../../base/units.ts';
import type { FaultKind } from '../support/fault_backing.ts';
import { O_RDWR, O_TRUNC, type OpenFile } from '../support/loose_user.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { type Fixture, same, start } from './fixture.ts';

const STEPS = 250;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'x/a', 'x/b', 'x/c'];
const FAULTS: readonly (readonly [FaultKind, string])[] = [
  ['write', '/own/'],
  ['create', '/own/'],
  ['truncate', '/own/'],
  ['write', '/aggregates/'],
  ['create', '/aggregates/'],
];

interface ModelFile {
  contents: Uint8Array;
}

class Life {
  readonly #fixture: Fixture;
  readonly #random: Random;
  #names = new Map<string, ModelFile>();
  #handles: { readonly open: OpenFile; readonly file: ModelFile }[] = [];
  readonly did = new Map<string, number>();

  constructor(fixture: Fixture, seed: number) {
    this.#fixture = fixture;
    this.#random = new Random(seed);
    fixture.loose.clock.isWallReal = true;
    fixture.user.mkdir('x');
    fixture.loose.sync();
  }

  step(): void {
    const { loose } = this.#fixture;
    const choice = this.#random.below(100);
    if (choice < 8) this.#armFault();
    if (choice < 70) this.#change();
    else if (choice < 80) this.#note('tick', () => this.#tick());
    else if (choice < 86) this.#note('work', () => loose.work());
    else if (choice < 90) this.#note('fsync', () => this.#fsync());
    else if (choice < 93) this.#note('sync', () => expect(loose.sync()).toBeUndefined());
    else if (choice < 95) this.#note('stop', () => this.#stop());
    else if (choice < 98) this.#note('kill', () => this.#kill());
    else this.#note('close', () => this.#closeOne());
    loose.backing.disarm();
    this.expectContents();
  }

  expectContents(): void {
    const { user } = this.#fixture;
    const names = [...user.list(''), ...user.list('x').map((name) => `x/${name}`)].filter((name) => name !== 'x');
    expect(names.sort()).toEqual([...this.#names.keys()].sort());
    for (const [name, file] of this.#names) {
      const found = user.read(name);
      expect([name, same(found, file.contents), user.stat(name).size]).toEqual([name, true, file.contents.length]);
    }
  }

  #note(what: string, act: () => void): void {
    this.did.set(what, (this.did.get(what) ?? 0) + 1);
    act();
  }

  #change(): void {
    const acts: readonly (readonly [string, () => void])[] = [
      ['create', () => this.#create()],
      ['write', () => this.#write()],
      ['write', () => this.#write()],
      ['truncate', () => this.#truncate()],
      ['copy', () => this.#copy()],
      ['rename', () => this.#rename()],
      ['link', () => this.#link()],
      ['unlink', () => this.#unlink()],
    ];
    const [what, act] = this.#pick(acts);
    this.#note(what, act);
  }

  /** The disk refuses the next call of some kind, or the one after. */
  #armFault(): void {
    const [kind, path] = this.#pick(FAULTS);
    const error = this.#random.below(2) === 0 ? E.ENOSPC : E.EIO;
    this.#fixture.loose.backing.arm({ kind, path, error, after: this.#random.below(2), times: 1 });
  }

  #create(): void {
    const { user } = this.#fixture;
    const name = this.#pick(NAMES);
    const isThere = this.#names.has(name);
    const made = isThere ? user.tryOpen(name, O_RDWR | O_TRUNC) : user.tryCreate(name);
    if (isErrno(made)) return;
    const file = this.#names.get(name) ?? { contents: new Uint8Array(0) };
    this.#names.set(name, file);
    this.#become(file, new Uint8Array(0));
    this.#writeTo(made, file, 0);
    this.#keepOrClose(made, file);
  }

  #write(): void {
    const name = this.#anyName();
    if (name === undefined) return;
    const file = this.#fileOf(name);
    const opened = this.#fixture.user.tryOpen(name, O_RDWR);
    if (isErrno(opened)) return;
    this.#writeTo(opened, file, this.#random.below(file.contents.length + 10));
    this.#keepOrClose(opened, file);
  }

  #writeTo(open: OpenFile, file: ModelFile, offset: number): void {
    const bytes = this.#random.bytes(1 + this.#random.below(this.#random.below(5) === 0 ? 40 * KIB : 200));
    const count = this.#fixture.user.tryWrite(open, bytes, offset);
    if (count < 0) return;
    const contents = new Uint8Array(Math.max(file.contents.length, offset + bytes.length));
    contents.set(file.contents);
    contents.set(bytes, offset);
    this.#become(file, contents);
  }

  #truncate(): void {
    const name = this.#anyName();
    if (name === undefined) return;
    const file = this.#fileOf(name);
    const size = this.#random.below(2 * file.contents.length + 2);
    if (isErrno(this.#fixture.user.truncate(name, size))) return;
    const contents = new Uint8Array(size);
    contents.set(file.contents.subarray(0, size));
    this.#become(file, contents);
  }

  #copy(): void {
    const { user } = this.#fixture;
    const [from, to] = [this.#anyName(), this.#pick(NAMES)];
    if (from === undefined || this.#names.has(to)) return;
    const source = this.#fileOf(from);
    const made = user.tryCreate(to);
    if (isErrno(made)) return;
    const file: ModelFile = { contents: new Uint8Array(0) };
    this.#names.set(to, file);
    this.#become(file, new Uint8Array(0));
    const opened = user.open(from);
    const count = user.copyRange(opened, made, { length: source.contents.length });
    user.close(opened);
    if (count > 0) this.#become(file, source.contents.slice(0, count));
    this.#keepOrClose(made, file);
  }

  #rename(): void {
    const [from, to] = [this.#anyName(), this.#pick(NAMES)];
    if (from === undefined || from === to) return;
    const replaced = this.#names.get(to);
    const { user } = this.#fixture;
    const ino = replaced === undefined ? undefined : user.stat(to).ino;
    const outcome = user.rename(from, to);
    if (isErrno(outcome)) return;
    const file = this.#fileOf(from);
    if (file === replaced) return;
    this.#names.set(to, file);
    this.#names.delete(from);
    if (ino !== undefined && replaced !== undefined) this.#forgetUnnamed(ino, replaced);
  }

  #link(): void {
    const [from, to] = [this.#anyName(), this.#pick(NAMES)];
    if (from === undefined || this.#names.has(to)) return;
    if (!isErrno(this.#fixture.user.link(from, to))) this.#names.set(to, this.#fileOf(from));
  }

  #unlink(): void {
    const name = this.#anyName();
    if (name === undefined) return;
    const { user } = this.#fixture;
    const { ino } = user.stat(name);
    const file = this.#fileOf(name);
    if (isErrno(user.unlink(name))) return;
    this.#names.delete(name);
    this.#forgetUnnamed(ino, file);
  }

  /** FORGET may come before the last RELEASE. */
  #forgetUnnamed(ino: OpenFile['ino'], file: ModelFile): void {
    if (![...this.#names.values()].includes(file)) this.#fixture.user.forget(ino);
  }

  #fsync(): void {
    const name = this.#anyName();
    if (name === undefined) return;
    const { loose, user } = this.#fixture;
    const answer = user.fsync(user.stat(name).ino);
    loose.tick();
    expect(answer.outcome()).toBeUndefined();
  }

  #tick(): void {
    this.#fixture.loose.clock.advance(this.#random.below(1_500));
    this.#fixture.loose.tick();
  }

  #closeOne(): void {
    const handle = this.#handles.splice(this.#random.below(this.#handles.length), 1)[0];
    if (handle !== undefined) this.#fixture.user.close(handle.open);
  }

  #keepOrClose(open: OpenFile, file: ModelFile): void {
    if (this.#random.below(5) === 0 && this.#handles.length < 4) this.#handles.push({ open, file });
    else this.#fixture.user.close(open);
  }

  #stop(): void {
    const { loose } = this.#fixture;
    loose.backing.disarm();
    loose.stop();
    expect(loose.damage()).toEqual([]);
    this.#reopen();
  }

  #kill(): void {
    const { loose } = this.#fixture;
    loose.backing.disarm();
    loose.kill();
    this.#reopen();
  }

  #reopen(): void {
    this.#handles = [];
    this.#fixture.loose.open();
  }

  #become(file: ModelFile, contents: Uint8Array): void {
    file.contents = contents;
  }

  #anyName(): string | undefined {
    return this.#names.size === 0 ? undefined : this.#pick([...this.#names.keys()]);
  }

  #fileOf(name: string): ModelFile {
    const file = this.#names.get(name);
    if (file === undefined) throw new Error(`The model has no ${name}`);
    return file;
  }

  #pick<T>(list: readonly T[]): T {
    const picked = list[this.#random.below(list.length)];
    if (picked === undefined) throw new Error('Nothing to pick from');
    return picked;
  }
}

describe('lives of a filesystem', () => {
  const first = firstSeed('PACSFS_SEED');
  for (const seed of [first, first + 1, first + 2])
    test(`seed ${seed}`, () => {
      console.log(`life of a filesystem: PACSFS_SEED=${seed}`);
      // Some files are packed, some are dedicated.
      const fixture = start({ filesystem: { packBelow: 20 * KIB }, data: { ownAhead: 4 } });
      const life = new Life(fixture, seed);
      for (let step = 0; step < STEPS; step++) life.step();
      expect(fixture.loose.filesystem.status().broken).toBeUndefined();
      expect(fixture.loose.damageNow()).toEqual([]);
      life.expectContents();
      for (const what of ['create', 'write', 'truncate', 'copy', 'rename', 'unlink', 'tick', 'work'])
        expect([what, life.did.has(what)]).toEqual([what, true]);
    });
});
