/**
 * What partitions cost at the level of the store, without kernel and data: `node dist/bench/partitions.js` prints
 * microseconds of this process's time for a create, a look-up and an unlink in directories of 1, 64 and 4,096 partitions
 * that hold equally many entries, and the time of one step of a split and of a merge. The directories take turns in short
 * rounds, so that other load on the machine meets all of them. Arguments: entries of each directory, rounds.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from '../base/assert.ts';
import { isErrno } from '../base/errno.ts';
import { silentLog } from '../base/log.ts';
import { SystemClock } from '../base/time.ts';
import { type Ino, ROOT_INO } from '../base/units.ts';
import { emptyInode } from '../shard/empty_inode.ts';
import { evenPartitions, POSITION_LIMIT, partitionIndexes, partitionSlot } from '../shard/partition_map.ts';
import { DT_REG, type Inode } from '../shard/rows.ts';
import { Splitter } from '../shard/splitter.ts';
import { formatNamespace, NamespaceStore } from '../shard/store.ts';
import { quantile } from './quantile.ts';

const ENTRIES = Number(process.argv[2] ?? 200_000);
const ROUNDS = Number(process.argv[3] ?? 40);
const OPERATIONS = 2_000;
const DEPTHS = [0, 6, 12];
const ROWS_PER_BARRIER = 20_000;

const clock = new SystemClock();
const folder = mkdtempSync(join(process.env['PACSFS_BENCH_FOLDER'] ?? tmpdir(), 'pacsfs-partitions-'));
class Subject {
  readonly store: NamespaceStore;
  readonly #dir: Ino;
  #made = 0;
  #removed = 0;
  #looked = 0;

  constructor(name: string, depth: number, splitAt: number) {
    const path = join(folder, name);
    const now = clock.now();
    const formatted = formatNamespace(path, { storeId: name, shardCount: 16, now, volumes: [], ballastBytes: 0 });
    assert(!isErrno(formatted), 'Cannot format');
    this.store = NamespaceStore.open(path, { log: silentLog, clock, ballastBytes: 0, splitAt });
    this.#dir = this.#makeDirectory(depth);
  }

  #makeDirectory(depth: number): Ino {
    const { store } = this;
    const root = this.#row(ROOT_INO);
    const name = Buffer.from('large');
    const position = store.placeFor(root, name);
    assert(!isErrno(position), 'No place');
    const record = store.begin();
    const ino = record.newIno(store.slotForDirectory(ROOT_INO, name));
    const now = clock.now();
    const partitions = evenPartitions(depth);
    record.putInode({ ...plain(ino), mode: 0o040755, position, partitions });
    record.putDentry(root, { dir: ROOT_INO, position, name, ino, type: 4 });
    record.touchDirectory(root, { entries: 1, directories: 1, now });
    for (const index of partitionIndexes(partitions)) {
      const slot = partitionSlot(ino, index);
      const boundary = POSITION_LIMIT;
      record.putPartition({
        slot,
        dir: ino,
        index,
        entries: 0,
        directories: 0,
        changed: now,
        lsn: record.lsn,
        boundary,
      });
    }
    store.commit(record);
    return ino;
  }

  #row(ino: Ino): Inode {
    const row = this.store.inode(ino);
    assert(row !== undefined, 'No inode');
    return row;
  }

  /** As CREATE does, the attributes of the directory that the kernel asks for afterwards included. */
  create(): void {
    const { store } = this;
    const dir = this.#row(this.#dir);
    const name = nameOf(this.#made++);
    assert(store.lookup(dir, name) === undefined, 'The name is there');
    const position = store.placeFor(dir, name);
    assert(!isErrno(position), 'No place');
    const record = store.begin();
    const ino = record.newIno(store.partitionOf(dir, position).slot);
    record.putDentry(dir, { dir: dir.ino, position, name, ino, type: DT_REG });
    record.touchDirectory(dir, { entries: 1, directories: 0, now: clock.now(), position });
    record.putInode({ ...plain(ino), parent: dir.ino, position });
    store.commit(record);
    store.totals(dir);
    if (store.pendingRows > ROWS_PER_BARRIER) store.barrier();
  }

  find(): void {
    const number = (Math.imul(++this.#looked, 0x9e3779b1) >>> 0) % (this.#made - this.#removed);
    const found = this.store.lookup(this.#row(this.#dir), nameOf(this.#removed + number));
    assert(found !== undefined, 'A name is missing');
  }

  unlink(): void {
    const { store } = this;
    const dir = this.#row(this.#dir);
    const dentry = store.lookup(dir, nameOf(this.#removed++));
    assert(dentry !== undefined, 'A name is missing');
    const record = store.begin();
    record.deleteDentry(dir, dentry);
    record.touchDirectory(dir, { entries: -1, directories: 0, now: clock.now(), position: dentry.position });
    record.deleteInode(dentry.ino);
    store.commit(record);
    if (store.pendingRows > ROWS_PER_BARRIER) store.barrier();
  }

  get left(): number {
    return this.#made - this.#removed;
  }
}

type Operation = 'create' | 'find' | 'unlink';

/** Microseconds of this process's time for each operation. */
function timed(subject: Subject, operation: Operation): number {
  const begin = process.cpuUsage();
  for (let i = 0; i < OPERATIONS; i++) subject[operation]();
  subject.store.barrier();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / OPERATIONS;
}

function compareDepths(): void {
  const subjects = DEPTHS.map((depth) => new Subject(`depth-${depth}`, depth, 2 ** 24));
  for (const subject of subjects) for (let i = 0; i < ENTRIES; i++) subject.create();
  const times = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const operation of ['create', 'find', 'unlink'] as const) {
      for (const [at, subject] of subjects.entries()) {
        const key = `${operation}/${DEPTHS[at]}`;
        times.set(key, [...(times.get(key) ?? []), timed(subject, operation)]);
      }
    }
  }
  console.log(
    `${ENTRIES} entries in each directory; medians of ${ROUNDS} rounds of ${OPERATIONS}, µs of processor time`,
  );
  for (const operation of ['create', 'find', 'unlink']) {
    const medians = DEPTHS.map((depth) => quantile(times.get(`${operation}/${depth}`) ?? [], 0.5));
    const shown = medians.map((median, at) => `${2 ** (DEPTHS[at] ?? 0)}: ${median.toFixed(2)}`).join('   ');
    const ratios = medians.map((median) => (median / (medians[0] ?? 1)).toFixed(3)).join('  ');
    console.log(`${operation.padEnd(8)} partitions ${shown}   ratios ${ratios}`);
  }
  for (const { store } of subjects) store.close();
}

/** One directory that grows to many partitions and shrinks to one, every step timed. */
function timeSteps(): void {
  const subject = new Subject('steps', 0, 4_096);
  const splitter = new Splitter(subject.store, silentLog);
  const steps = (): number[] => {
    const took: number[] = [];
    while (splitter.hasWork) {
      const begin = performance.now();
      splitter.step();
      took.push(performance.now() - begin);
      if (subject.store.pendingRows > ROWS_PER_BARRIER) subject.store.barrier();
    }
    return took;
  };
  for (let i = 0; i < ENTRIES; i++) subject.create();
  subject.store.barrier();
  show('split', steps());
  while (subject.left > 5_000) subject.unlink();
  subject.store.barrier();
  show('merge', steps());
  subject.store.close();
}

function show(what: string, took: readonly number[]): void {
  const at = (part: number) => `${quantile(took, part).toFixed(3)} ms`;
  console.log(`${what}: ${took.length} steps, median ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}`);
}

function nameOf(number: number): Buffer {
  return Buffer.from(`1.2.840.113619.2.55.${number}`);
}

function plain(ino: Ino): Inode {
  return { ...emptyInode(ino, 0o100644, clock.now()), uid: 1000, gid: 1000, generation: 1 };
}

try {
  compareDepths();
  timeSteps();
} finally {
  rmSync(folder, { recursive: true });
}
