/**
 * A store whose slots move while its rows change, against a model of all rows: what each committed record did, in a map.
 * It is left by kills and power cuts at any step: a copy of its folder is opened, with logs of some databases gone as a
 * power cut may lose them, held against the model, and the walk goes on from there.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { assert } from '../../base/assert.ts';
import { isErrno } from '../../base/errno.ts';
import type { Ino, Lsn, Slot } from '../../base/units.ts';
import { slotOf } from '../../base/units.ts';
import type { Mutation } from '../../shard/mutation.ts';
import { FLAG_XATTRS } from '../../shard/rows.ts';
import { DamagedRow } from '../../shard/scan.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { KeptLog } from '../support/loose_filesystem.ts';
import type { Random } from '../support/random.ts';
import { extentAt, scratchFolder, TestStore } from './fixture.ts';

const DIRECTORIES = 24;
type Rows = Map<string, string>;

interface Logged {
  readonly lsn: Lsn;
  readonly mutations: readonly Mutation[];
}

export class SlotWalk {
  readonly test: TestStore;
  readonly log = new KeptLog();
  readonly #random: Random;
  readonly #base: Rows;
  #logged: Logged[] = [];
  #directories: Ino[] = [];
  #boot = 0;
  #number = 0;
  #committed: ((path: string) => void) | undefined;
  crashes = 0;

  constructor(random: Random, options: { readonly walLimit?: number } = {}) {
    this.#random = random;
    this.test = new TestStore({
      shardCount: 3,
      shardTxnRows: 30,
      shardTxnMs: 1e9,
      walLimit: options.walLimit ?? 64 << 10,
      sliceLimit: 2,
      bootId: 'boot 0',
      log: this.log,
      cachedInodes: 40,
      cachedPartitions: 8,
      watch: { committed: (path) => this.#committed?.(path), checkpointed: () => {} },
    });
    this.store.raiseStart();
    this.#base = rowsOf(this.store);
    this.#follow();
    for (let i = 0; i < DIRECTORIES; i++)
      this.#directories.push(this.test.makeDirectory(this.test.root(), `dir${i}`).ino);
    for (let i = 0; i < 300; i++) this.change();
    this.barrier();
  }

  get store(): NamespaceStore {
    return this.test.store;
  }

  /** Every record that this store commits from now on is in the model. */
  #follow(): void {
    const { store } = this;
    const commit = store.commit.bind(store);
    store.commit = (record) => {
      const mutations = [...record.mutations].map(copyOf);
      const lsn = commit(record);
      if (mutations.length > 0) this.#logged.push({ lsn, mutations });
      return lsn;
    };
  }

  barrier(): void {
    assert(!isErrno(this.store.barrier()), 'A barrier failed');
  }

  /** A change of some kind of row. */
  change(): void {
    const { test, store } = this;
    const random = this.#random;
    const dir = test.get(this.#directories[random.below(this.#directories.length)] ?? (1 as Ino));
    const key = `f${random.below(14)}`;
    const found = store.findName(dir, Buffer.from(key));
    this.#number += 1;
    if (isErrno(found)) {
      test.make(dir, key);
      return;
    }
    const inode = test.get(found.ino);
    const record = store.begin();
    switch (random.below(7)) {
      case 0:
      case 1:
        record.deleteDentry(dir, found);
        record.touchDirectory(dir, { entries: -1, directories: 0, now: test.clock.now() });
        record.deleteInode(inode.ino);
        break;
      case 2:
        record.putInode({ ...inode, flags: inode.flags | FLAG_XATTRS });
        record.putXattr(inode.ino, Buffer.from(`user.${random.below(4)}`), random.bytes(30));
        break;
      case 3: {
        const extents = Array.from({ length: random.below(8) }, (_, i) => extentAt(i * 70_000));
        record.putInode({ ...inode, layout: 'packed', own: undefined, extents, size: this.#number });
        break;
      }
      case 4: {
        const own = { volume: extentAt(0).volume, start: 1, number: this.#number };
        record.putInode({ ...inode, layout: 'own', own, extents: [] });
        break;
      }
      case 5:
        record.putInode({ ...inode, nlink: random.below(2), size: this.#number });
        break;
      default:
        record.deleteXattrs(inode.ino);
        record.putInode({ ...inode, flags: inode.flags & ~FLAG_XATTRS });
    }
    store.commit(record);
  }

  /** Steps of the move up to one that concerns rows, or waits. */
  move(): 'worked' | 'waiting' | 'idle' {
    for (let i = 0; i < 4_000; i++) {
      const outcome = this.store.moves.turn();
      if (outcome !== 'worked' || this.#isInteresting()) return outcome;
    }
    return 'worked';
  }

  /** Whether a slot with rows is on its way. */
  #isInteresting(): boolean {
    const busy = new Set<number>(this.#directories.map(slotOf));
    return this.store
      .inspect()
      .marks()
      .some(({ slot, key }) => busy.has(slot) && key !== undefined);
  }

  /** A kill, or a power cut after which any databases may have lost what their last checkpoint did not move. */
  crash(how: 'kill' | 'power', goesOn: boolean): void {
    this.crashes += 1;
    const copy = join(scratchFolder(), 'copy');
    // By another process: closing a file of an open database here would drop SQLite's locks on it.
    execFileSync('cp', ['-r', this.test.folder, copy]);
    if (how === 'power') {
      for (const name of readdirSync(copy, { recursive: true, encoding: 'utf8' }))
        if (name.endsWith('.db-wal') && this.#random.below(2) === 0) rmSync(join(copy, name));
    }
    const durable = this.store.durableLsn;
    const { lsn } = this.store;
    const boot = how === 'power' ? this.crashes : this.#boot;
    const opened = this.test.open(copy, { bootId: `boot ${boot}` });
    try {
      const found = opened.lsn;
      if (how === 'kill') expect(found).toBe(lsn);
      else expect(found).toBeGreaterThanOrEqual(durable);
      this.check(opened);
    } catch (thrown) {
      opened.close();
      throw thrown;
    }
    if (!goesOn) {
      opened.close();
      return;
    }
    this.store.close();
    this.#boot = boot;
    opened.raiseStart({ takeover: how === 'kill' });
    this.test.store = opened;
    this.test.moveTo(copy);
    this.#logged = this.#logged.filter((record) => record.lsn <= opened.lsn);
    const known = rowsOf(opened);
    this.#directories = this.#directories.filter((ino) => known.has(`inode ${ino}`));
    this.#follow();
  }

  /** Moves until a slot with rows has been switched; its number. */
  moveUntilSwitched(): Slot {
    const { store } = this;
    const busy = this.#directories.map(slotOf);
    const before = busy.map((slot) => store.shardOf(slot));
    for (;;) {
      const outcome = store.moves.turn();
      const switched = busy.find((slot, i) => store.shardOf(slot) !== before[i]);
      if (switched !== undefined) return switched;
      assert(outcome !== 'idle', 'No slot with rows is to be moved');
      if (outcome === 'waiting') this.barrier();
    }
  }

  /** The power goes when system.db has just been committed: of every shard only what a checkpoint has moved is there. */
  powerAtCommit(): void {
    const copy = join(scratchFolder(), 'copy');
    let isCut = false;
    this.#committed = (path) => {
      if (isCut || !path.endsWith('system.db')) return;
      isCut = true;
      execFileSync('cp', ['-r', this.test.folder, copy]);
    };
    this.barrier();
    this.#committed = undefined;
    assert(isCut, 'system.db was not committed');
    for (const name of readdirSync(copy, { recursive: true, encoding: 'utf8' }))
      if (name.endsWith('.db-wal') && !name.endsWith('system.db-wal')) rmSync(join(copy, name));
    const opened = this.test.open(copy, { bootId: 'after the cut' });
    try {
      this.check(opened);
    } finally {
      opened.close();
    }
  }

  /** All rows are those of the model at the store's LSN; each where its slot is, and foreign ones noted. */
  check(store = this.store): void {
    const model = new Map(this.#base);
    const map = store.shardOf.bind(store);
    for (const { lsn, mutations } of this.#logged)
      if (lsn <= store.lsn) for (const each of mutations) follow(model, each);
    expect(differences(rowsOf(store), model)).toEqual([]);
    const noted = new Set(
      store
        .inspect()
        .marks()
        .map(({ slot, shard }) => `${slot} ${shard}`),
    );
    for (let shard = 0; shard < store.shardCount; shard++) {
      for (const slot of foreignSlots(store, shard))
        expect([slot, shard, map(slot), noted.has(`${slot} ${shard}`)]).toEqual([slot, shard, map(slot), true]);
    }
    expect(this.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  }
}

/** Slots of which a shard has rows that are not its own. */
export function foreignSlots(store: NamespaceStore, shard: number): Set<Slot> {
  const scan = store.scan(shard, { foreign: true });
  const slots = new Set<Slot>();
  const see = (slot: Slot) => store.shardOf(slot) !== shard && slots.add(slot);
  for (const row of scan.dentries()) see(row.slot);
  for (const row of scan.partitions()) see(row.slot);
  for (const row of scan.inodes()) see(slotOf(row.ino));
  for (const row of scan.xattrs()) see(slotOf(row.ino));
  for (const key of scan.extentKeys()) see(slotOf(key.ino));
  for (const ino of scan.ownFiles()) see(slotOf(ino));
  for (const ino of scan.orphans()) see(slotOf(ino));
  for (const { slot } of scan.sequences()) see(slot);
  return slots;
}

/** Some of what differs, in short. */
function differences(found: Rows, model: Rows): string[] {
  const all: string[] = [];
  for (const [key, value] of model)
    if (found.get(key) !== value) all.push(`${key}: ${found.has(key) ? 'older' : 'lost'}`);
  for (const key of found.keys()) if (!model.has(key)) all.push(`${key}: not gone`);
  return all.slice(0, 5);
}

/** Everything that the shards hold of their own slots. */
function rowsOf(store: NamespaceStore): Rows {
  const rows: Rows = new Map();
  for (let shard = 0; shard < store.shardCount; shard++) {
    const scan = store.scan(shard);
    for (const row of scan.inodes()) {
      assert(!(row instanceof DamagedRow), 'A damaged inode');
      rows.set(`inode ${row.ino}`, text(row));
    }
    for (const row of scan.dentries()) {
      assert(!(row instanceof DamagedRow), 'A damaged dentry');
      rows.set(`dentry ${row.slot} ${row.dentry.dir} ${row.dentry.position}`, text(row.dentry));
    }
    for (const row of scan.partitions()) {
      assert(!(row instanceof DamagedRow), 'A damaged partition');
      rows.set(`partition ${row.dir} ${row.index}`, text(row));
    }
    for (const row of scan.xattrs()) {
      assert(!(row instanceof DamagedRow), 'A damaged xattr');
      rows.set(`xattr ${row.ino} ${text(row.name)}`, text(row.value));
    }
    for (const ino of scan.ownFiles()) rows.set(`own ${ino}`, '');
    for (const ino of scan.orphans()) rows.set(`orphan ${ino}`, '');
    for (const { slot, nextSequence } of scan.sequences()) rows.set(`sequence ${slot}`, `${nextSequence}`);
    for (const { ino, list, offset } of scan.extentKeys()) rows.set(`extent ${ino} ${list} ${offset}`, '');
  }
  return rows;
}

/** What a mutation does, in the model. */
function follow(rows: Rows, mutation: Mutation): void {
  const drop = (prefix: string) => {
    for (const key of [...rows.keys()]) if (key.startsWith(prefix)) rows.delete(key);
  };
  const index = (name: string, change: 'keep' | 'add' | 'remove') => {
    if (change === 'add') rows.set(name, '');
    else if (change === 'remove') rows.delete(name);
  };
  switch (mutation.kind) {
    case 'inode': {
      const { ino, extents } = mutation.inode;
      rows.set(`inode ${ino}`, text(mutation.inode));
      if ((mutation.lists & 1) !== 0) {
        drop(`extent ${ino} 0 `);
        if (extents.length > 4) for (const { fileOffset } of extents) rows.set(`extent ${ino} 0 ${fileOffset}`, '');
      }
      index(`own ${ino}`, mutation.own);
      index(`orphan ${ino}`, mutation.orphan);
      return;
    }
    case 'no-inode':
      rows.delete(`inode ${mutation.ino}`);
      if (mutation.extents) drop(`extent ${mutation.ino} `);
      if (mutation.xattrs) drop(`xattr ${mutation.ino} `);
      if (mutation.own) rows.delete(`own ${mutation.ino}`);
      if (mutation.orphan) rows.delete(`orphan ${mutation.ino}`);
      return;
    case 'dentry': {
      const { slot, dentry } = mutation;
      rows.set(`dentry ${slot} ${dentry.dir} ${dentry.position}`, text(dentry));
      return;
    }
    case 'no-dentry':
      rows.delete(`dentry ${mutation.slot} ${mutation.dir} ${mutation.position}`);
      return;
    case 'partition':
      rows.set(`partition ${mutation.partition.dir} ${mutation.partition.index}`, text(mutation.partition));
      return;
    case 'xattr':
      rows.set(`xattr ${mutation.ino} ${text(mutation.name)}`, text(mutation.value));
      return;
    case 'no-xattrs':
      drop(`xattr ${mutation.ino} `);
      return;
    case 'sequence':
      rows.set(`sequence ${mutation.slot}`, `${mutation.next}`);
      return;
    case 'slot':
    case 'shards':
      return;
    default:
      assert(false, `The model knows no mutation '${mutation.kind}'`);
  }
}

/** A row's bytes are the encoder's, and gone with the next record. */
function copyOf(mutation: Mutation): Mutation {
  return mutation.kind === 'inode' ? { ...mutation, row: new Uint8Array(0) } : mutation;
}

/** Fields in the order of their names. */
function text(value: object): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Uint8Array || part instanceof Uint32Array) return [...part].join();
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    if ('type' in part && 'data' in part) return (part.data as number[]).join();
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
