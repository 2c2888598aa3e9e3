/**
 * How fast one worker packs: `node dist/bench/packing.js [FOLDER] [COUNT]`. COUNT own files of 250 to 450 KB are made in
 * FOLDER (default: a temporary one), just written and so in the page cache, as they are when they settle; then they are
 * packed a segment's worth at a time, and read back verified. Everything is removed at the end.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PackDirectory, type PackFile, SEGMENT_BYTES } from '../aggregate/pack.ts';
import { DataStore, formatVolume, type PackedFile, PackWorker } from '../aggregate/store.ts';
import { assert } from '../base/assert.ts';
import { crc32cImplementation } from '../base/crc32c.ts';
import { isErrno } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import { createLog } from '../base/log.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import type { Ino, VolumeId } from '../base/units.ts';

const STORE_ID = '00000000-0000-4000-8000-000000000000';
const VOLUME = 1 as VolumeId;
const SMALLEST = 250_000;
const LARGEST = 450_000;

const parent = process.argv[2] ?? tmpdir();
const count = Number(process.argv[3] ?? 2000);
const root = mkdtempSync(join(parent, 'pacsfs-bench-packing-'));
try {
  bench(root);
} finally {
  rmSync(root, { recursive: true, force: true });
}

function bench(folder: string): void {
  const backing = new PosixBacking();
  const data = openStore(backing, folder);
  const files = makeFiles(data);
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const worker = new PackWorker(backing);
  const packed: PackedFile[] = [];
  report('pack', bytes, () => {
    for (const load of loads(files)) packed.push(...packLoad(data, worker, load));
    assert(!isErrno(data.flush()), 'Cannot flush');
  });
  report('read, verified', bytes, () => {
    const into = new Uint8Array(LARGEST);
    for (const [i, { extents }] of packed.entries()) {
      const size = files[i]?.size ?? 0;
      assert(data.read(extents, { offset: 0, length: size, size }, into) === size, 'A file did not come back');
    }
  });
  data.close();
  console.log(`CRC32C by ${crc32cImplementation}, ${count} files, ${[...data.ledger.rows()].length} aggregates`);
}

function openStore(backing: PosixBacking, folder: string): DataStore {
  const volume: VolumeRow = {
    id: VOLUME,
    name: 'hot',
    tier: 'hot',
    kind: 'dir',
    paths: [join(folder, 'hot')],
    dataCells: 0,
    parityCells: 0,
  };
  assert(!isErrno(formatVolume(backing, volume, { storeId: STORE_ID })), 'Cannot format a volume');
  const data = DataStore.open({
    backing,
    storeId: STORE_ID,
    start: 1,
    volumes: [volume],
    aggregates: [],
    log: createLog({ name: 'bench' }),
  });
  assert(!isErrno(data), 'Cannot open the data store');
  return data;
}

const ROOT = { ino: 1 as Ino, name: new Uint8Array(0), mode: 0o40755, uid: 0, gid: 0, above: undefined };

function series(number: number): PackDirectory {
  return { ...ROOT, ino: (4096 + number) as Ino, name: new TextEncoder().encode(`series-${number}`), above: ROOT };
}

function makeFiles(data: DataStore): PackFile[] {
  const contents = new Uint8Array(LARGEST);
  for (let i = 0; i < contents.length; i++) contents[i] = (i * 2654435761) >>> 13;
  const files: PackFile[] = [];
  for (let i = 0; i < count; i++) {
    const made = data.createOwn(VOLUME);
    assert(!isErrno(made), 'Cannot make an own file');
    const size = SMALLEST + ((i * 7919) % (LARGEST - SMALLEST));
    assert(made.file.write(contents.subarray(0, size), 0) === size, 'Cannot write an own file');
    files.push({
      ino: (100_000 + i) as Ino,
      own: made.name,
      size,
      name: new TextEncoder().encode(`1.2.840.${i}.dcm`),
      directory: series(Math.floor(i / 300)),
      mode: 0o100644,
      uid: 0,
      gid: 0,
      mtime: { sec: 1_700_000_000, nsec: 0 },
    });
  }
  return files;
}

/** About one segment's worth each. */
function* loads(files: readonly PackFile[]): Generator<PackFile[]> {
  let load: PackFile[] = [];
  let bytes = 0;
  for (const file of files) {
    load.push(file);
    bytes += file.size;
    if (bytes < SEGMENT_BYTES) continue;
    yield load;
    load = [];
    bytes = 0;
  }
  if (load.length > 0) yield load;
}

function packLoad(data: DataStore, worker: PackWorker, load: readonly PackFile[]): PackedFile[] {
  const packed: PackedFile[] = [];
  for (let waiting = load; waiting.length > 0; ) {
    const job = data.startPack(waiting);
    assert(job !== undefined, 'No packing job');
    const result = worker.pack(job);
    packed.push(...data.finishPack(result, new Set(waiting.map(({ ino }) => ino))).switched);
    waiting = waiting.filter((_, i) => result.files[i]?.status === 'postponed');
  }
  return packed;
}

function report(what: string, bytes: number, act: () => void): void {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  act();
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const used = process.cpuUsage(cpu);
  const rate = `${(bytes / 1e6 / seconds).toFixed(0)} MB/s, ${(count / seconds).toFixed(0)} files/s`;
  const cost = ((used.user + used.system) / count).toFixed(0);
  console.log(`${what.padEnd(16)} ${rate.padEnd(28)} ${cost} µs of CPU a file`);
}
