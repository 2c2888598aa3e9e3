/**
 * Cost of the namespace alone, without kernel and data: `node bench/namespace.ts` prints microseconds per operation at
 * the level of the store (wall, and of this process's CPU: user + system), and bytes of metadata a file. Arguments: number
 * of files, number of directories.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from '../base/assert.ts';
import { isErrno } from '../base/errno.ts';
import { silentLog } from '../base/log.ts';
import { SystemClock } from '../base/time.ts';
import { type Ino, ROOT_INO, type VolumeId } from '../base/units.ts';
import { emptyInode } from '../shard/empty_inode.ts';
import { DT_DIR, DT_REG, FLAG_UNSETTLED, type Inode } from '../shard/rows.ts';
import { formatNamespace, NamespaceStore, SINGLE_PARTITION } from '../shard/store.ts';

const FILES = Number(process.argv[2] ?? 100_000);
const DIRECTORIES = Number(process.argv[3] ?? 50);
const PACKED_BYTES = 250_000;
const ROWS_PER_BARRIER = 20_000;

const clock = new SystemClock();
const folder = mkdtempSync(join(process.env['PACSFS_BENCH_FOLDER'] ?? tmpdir(), 'pacsfs-namespace-'));
try {
  main();
} finally {
  rmSync(folder, { recursive: true });
}

function main(): void {
  const now = clock.now();
  const made = formatNamespace(folder, {
    storeId: 'bench',
    shardCount: 16,
    now,
    volumes: [],
    ballastBytes: 0,
  });
  assert(!isErrno(made), 'Cannot format');
  const before = bytesOnDisk();
  let store = open();
  const directories = makeDirectories(store);
  const names = Array.from({ length: FILES }, (_, i) => nameOf(i));
  const dirOf = (i: number) => directories[i % directories.length] ?? ROOT_INO;
  store.barrier();

  measure('create (dentry, inode, own file, partition)', FILES, (i) => create(store, dirOf(i), names[i]), store);
  measure('lookup, inode cached', FILES, (i) => find(store, dirOf(i), names[i]), store);
  measure('pack (put inode with one extent)', FILES, (i) => pack(store, dirOf(i), names[i], i), store);
  store.barrier();
  store.checkpoint();
  console.log(`${'metadata'.padEnd(48)} ${((bytesOnDisk() - before) / FILES).toFixed(0).padStart(8)} bytes a file`);
  store.close();
  store = open();
  measure('lookup and inode, nothing cached', FILES, (i) => find(store, dirOf(i), names[i]), store);
  measure('list 128 entries', Math.ceil(FILES / 128), (i) => list(store, dirOf(i)), store);
  measure('unlink (dentry, inode, partition)', FILES, (i) => unlink(store, dirOf(i), names[i]), store);
  store.close();
}

function open(): NamespaceStore {
  return NamespaceStore.open(folder, {
    log: silentLog,
    clock,
    ballastBytes: 0,
  });
}

/** 64 bytes, as a DICOM UID with its ending often is. */
function nameOf(index: number): Uint8Array {
  return Buffer.from(`1.2.840.113619.2.55.3.${String(index).padStart(38, '0')}.dcm`);
}

function measure(what: string, count: number, act: (index: number) => void, store: NamespaceStore): void {
  let barrierMs = 0;
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  for (let i = 0; i < count; i++) {
    act(i);
    if (store.pendingRows < ROWS_PER_BARRIER) continue;
    const at = clock.monotonicMs();
    store.barrier();
    barrierMs += clock.monotonicMs() - at;
  }
  const totalUs = Number(process.hrtime.bigint() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const each = (us: number) => (us / count).toFixed(2).padStart(7);
  const wall = each(totalUs - barrierMs * 1000);
  console.log(
    `${what.padEnd(44)} ${wall} µs + barriers ${each(barrierMs * 1000)}; CPU ${each(user)} + ${each(system)}`,
  );
}

function makeDirectories(store: NamespaceStore): Ino[] {
  return Array.from({ length: DIRECTORIES }, (_, i) => {
    const root = inodeOf(store, ROOT_INO);
    const name = Buffer.from(`series-${i}`);
    const record = store.begin();
    const ino = record.newIno(store.slotForDirectory(ROOT_INO, name));
    const place = store.placeFor(root, name);
    assert(!isErrno(place), 'No place for a name');
    const now = clock.now();
    record.putInode({
      ...fileOf(ino, now),
      mode: 0o040755,
      layout: 'none',
      own: undefined,
      partitions: SINGLE_PARTITION,
    });
    record.putDentry(root, {
      dir: ROOT_INO,
      position: place,
      name,
      ino,
      type: DT_DIR,
    });
    record.touchDirectory(root, { entries: 1, directories: 1, now });
    store.commit(record);
    return ino;
  });
}

function inodeOf(store: NamespaceStore, ino: Ino): Inode {
  const found = store.inode(ino);
  assert(found !== undefined, `No inode ${ino}`);
  return found;
}

function fileOf(ino: Ino, now: Inode['btime']): Inode {
  const own = { volume: 1 as VolumeId, start: 1, number: ino };
  const row = { ...emptyInode(ino, 0o100644, now), uid: 1000, gid: 1000, generation: 1 };
  return { ...row, flags: FLAG_UNSETTLED, layout: 'own', own };
}

function create(store: NamespaceStore, directory: Ino, name: Uint8Array = nameOf(0)): void {
  const dir = inodeOf(store, directory);
  if (store.lookup(dir, name) !== undefined) return;
  const place = store.placeFor(dir, name);
  assert(!isErrno(place), 'No place for a name');
  const record = store.begin();
  const ino = record.newIno(store.partitionOf(dir, place).slot);
  const now = clock.now();
  record.putInode({ ...fileOf(ino, now), parent: directory, position: place });
  record.putDentry(dir, {
    dir: directory,
    position: place,
    name,
    ino,
    type: DT_REG,
  });
  record.touchDirectory(dir, { entries: 1, directories: 0, now });
  store.commit(record);
}

function find(store: NamespaceStore, directory: Ino, name: Uint8Array = nameOf(0)): Inode {
  const dentry = store.lookup(inodeOf(store, directory), name);
  assert(dentry !== undefined, 'A name is gone');
  return inodeOf(store, dentry.ino);
}

function pack(store: NamespaceStore, directory: Ino, name: Uint8Array = nameOf(0), index = 0): void {
  const inode = find(store, directory, name);
  const now = clock.now();
  const record = store.begin();
  const extent = {
    fileOffset: 0,
    length: PACKED_BYTES,
    volume: 1 as VolumeId,
    aggregate: (1 + Math.floor(index / 256)) as Inode['extents'][0]['aggregate'],
    offset: (index % 256) * 253_952,
    rangeStart: (index % 256) * 253_952,
    rangeLength: PACKED_BYTES,
    checksums: new Uint32Array(4).fill(index),
    shared: false,
  };
  record.putInode({
    ...inode,
    flags: 0,
    layout: 'packed',
    own: undefined,
    extents: [extent],
    size: PACKED_BYTES,
    mtime: now,
    ctime: now,
  });
  store.commit(record);
}

function list(store: NamespaceStore, directory: Ino): void {
  const found = store.list(inodeOf(store, directory), Math.floor(Math.random() * 2 ** 52), 128);
  assert(found.length > 0, 'An empty listing');
}

function unlink(store: NamespaceStore, directory: Ino, name: Uint8Array = nameOf(0)): void {
  const dir = inodeOf(store, directory);
  const dentry = store.lookup(dir, name);
  assert(dentry !== undefined, 'A name is gone');
  const record = store.begin();
  record.deleteDentry(dir, dentry);
  record.deleteInode(dentry.ino);
  record.touchDirectory(dir, { entries: -1, directories: 0, now: clock.now() });
  store.commit(record);
}

function bytesOnDisk(): number {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
  return files.filter((path) => path.endsWith('.db')).reduce((bytes, path) => bytes + statSync(path).size, 0);
}
