/**
 * What erasure coding costs on one core: `node dist/bench/erasure.js [FOLDER] [MIB]`. Encodes in memory, then writes an
 * aggregate of MIB (default 512) to an 8+2 volume of ten directories in FOLDER (default: a temporary one) and reads it
 * back: whole, at random 256 KiB, and both again with two directories away. Reads are of the host's cache. Beside each write
 * stands what one file of as many bytes as all cells takes. Everything is removed at the end.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatVolume } from '../aggregate/identity.ts';
import { assert } from '../base/assert.ts';
import type { BackingFile } from '../base/backing.ts';
import { isErrno, type Result } from '../base/errno.ts';
import { isal } from '../base/isal.ts';
import type { VolumeRow } from '../base/layout.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { type AggregateId, KIB, MIB, type VolumeId } from '../base/units.ts';
import { CELL_BYTES } from '../tiering/erasure/cell_layout.ts';
import { type Coder, erasureImplementation, IsalCoder, PackagedCoder } from '../tiering/erasure/coder.ts';
import { EcVolume } from '../tiering/erasure/ec_volume.ts';
import { positionsFor } from '../tiering/erasure/rendezvous.ts';
import { repairAggregate } from '../tiering/erasure/repair.ts';
import { isClean, scrubAggregate } from '../tiering/erasure/scrub.ts';

const STORE_ID = '00000000-0000-4000-8000-000000000000';
const CODE = { dataCells: 8, parityCells: 2 };
const ID = 1 as AggregateId;
const SMALL_READ_BYTES = 256 * KIB;
const SMALL_READS = 1_000;
/** Bytes of each cell that are encoded again and again: with the other cells they fit a core's own cache, or do not. */
const CACHED_BYTES = 64 * KIB;

const parent = process.argv[2] ?? tmpdir();
const bytes = Number(process.argv[3] ?? 512) * MIB;
const root = mkdtempSync(join(parent, 'pacsfs-bench-erasure-'));
try {
  benchEncoding();
  benchVolume();
} finally {
  rmSync(root, { recursive: true, force: true });
}

function benchEncoding(): void {
  const coders: (readonly [string, Coder, number])[] = [['npm package', new PackagedCoder(CODE), 20]];
  if (isal !== undefined) coders.unshift(['ISA-L', new IsalCoder(CODE, isal), 400]);
  for (const [name, coder, rounds] of coders)
    for (const [where, size] of [
      ['in cache', CACHED_BYTES],
      ['whole cells', CELL_BYTES],
    ] as const) {
      const blocks = Array.from({ length: 10 }, (_, i) => filled(size, i));
      const times = Math.ceil((rounds * MIB) / size);
      coder.encode(blocks.slice(0, 8), blocks.slice(8));
      report(`encode 8+2, ${name}, ${where}`, times * 8 * size, () => {
        for (let i = 0; i < times; i++) coder.encode(blocks.slice(0, 8), blocks.slice(8));
      });
      const from = blocks.slice(2).map((block, i) => ({ place: i + 2, bytes: block }));
      const lost = blocks.slice(0, 2).map((block, i) => ({ place: i, bytes: block }));
      report(`rebuild 2 of 8+2, ${name}, ${where}`, Math.ceil(times / 4) * 8 * size, () => {
        for (let i = 0; i < Math.ceil(times / 4); i++) coder.rebuild(from, lost);
      });
    }
}

function benchVolume(): void {
  const backing = new PosixBacking();
  const paths = Array.from({ length: 10 }, (_, i) => join(root, `disk${i}`));
  const row: VolumeRow = { id: 2 as VolumeId, name: 'cold', tier: 'cold', kind: 'ec', paths, ...CODE };
  must(formatVolume(backing, row, { storeId: STORE_ID }));
  const open = () => new EcVolume(row, { backing, storeId: STORE_ID });
  const segment = filled(CELL_BYTES, 3);
  report('one file of as many bytes, flushed', bytes, () => {
    const file = must(backing.open(join(root, 'plain'), { write: true, create: true }));
    for (let at = 0; at < bytes * 1.25; at += CELL_BYTES) assert(file.write(segment, at) >= 0, 'Cannot write');
    assert(file.flush() === 0, 'Cannot flush');
    file.close();
  });
  rmSync(join(root, 'plain'));
  report('write, sealed and flushed', bytes, () => {
    const writer = must(open().begin(ID, { start: 1 }));
    for (let at = 0; at < bytes; at += CELL_BYTES) assert(writer.append(segment) === 0, 'Cannot append');
    must(writer.seal());
  });
  benchReads('', open());
  report('scrub, past the cache', bytes, () => assert(isClean(must(scrubAggregate(open(), ID))), 'Damage found'));
  for (const position of positionsFor(ID, 10).slice(0, 2))
    rmSync(join(paths[position] ?? '', 'aggregates'), { recursive: true });
  benchReads(', two directories away', open());
  report('repair of two cells', bytes, () =>
    assert(must(repairAggregate(open(), ID)).repaired.length === 2, 'Not repaired'),
  );
  console.log(`Erasure coding by ${erasureImplementation}, an aggregate of ${bytes / MIB} MiB`);
}

function benchReads(how: string, volume: EcVolume): void {
  const file: BackingFile = must(volume.openAggregate(ID));
  const into = new Uint8Array(CELL_BYTES);
  report(`read in order, 4 MiB${how}`, bytes, () => {
    for (let at = 0; at < bytes; at += CELL_BYTES) assert(file.read(into, at) === into.length, 'Cannot read');
  });
  const small = into.subarray(0, SMALL_READ_BYTES);
  report(`read at random, 256 KiB${how}`, SMALL_READS * SMALL_READ_BYTES, () => {
    for (let i = 0; i < SMALL_READS; i++) {
      const at = (i * 2_654_435_761) % (bytes - SMALL_READ_BYTES);
      assert(file.read(small, at) === small.length, 'Cannot read');
    }
  });
  file.close();
}

function filled(size: number, seed: number): Uint8Array {
  const block = new Uint8Array(size);
  for (let i = 0; i < size; i++) block[i] = ((i + seed) * 2_654_435_761) >>> 13;
  return block;
}

function must<T>(result: Result<T>): T {
  assert(!isErrno(result), `Errno ${isErrno(result) ? result.name : ''}, expected a value`);
  return result;
}

function report(what: string, count: number, act: () => void): void {
  const before = performance.now();
  const cpuBefore = process.cpuUsage();
  act();
  const seconds = (performance.now() - before) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const cpuSeconds = (cpu.user + cpu.system) / 1e6;
  const rate = (seconds: number) => (count / seconds / 1e9).toFixed(2).padStart(6);
  console.log(`${what.padEnd(52)} ${rate(seconds)} GB/s   ${rate(cpuSeconds)} GB a second of CPU`);
}
