/**
 * The lines of a metadata dump, version 1: one JSON object each, the first a header, the last an end with counts and a
 * checksum; docs/formats/dump.md. Bytes that are UTF-8 are strings, others stand in base64 under a key of their own.
 * What is 0, empty or the default is left out of an inode.
 */
import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import type { AggregateRow, Extent, VolumeRow } from '../../base/layout.ts';
import type { Timespec } from '../../base/time.ts';
import type { Ino, Lsn } from '../../base/units.ts';
import { NO_PARTITIONS, SINGLE_PARTITION } from '../../shard/partition_map.ts';
import { type Dentry, DT_DIR, type Inode, type Partition } from '../../shard/rows.ts';
import type { ScannedDentry, ScannedSymlink, ScannedXattr } from '../../shard/scan.ts';

export const DUMP_VERSION = 1;
export const DUMP_MAGIC = 'metadata dump';

const whole = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const time = z.tuple([z.number().int(), z.number().int().min(0).max(999_999_999)]);
const base64 = z.base64();

export const headerSchema = z.strictObject({
  pacsfs: z.literal(DUMP_MAGIC),
  version: z.literal(DUMP_VERSION),
  store: z.uuid(),
  /** The store folder; relative paths of volumes count from it. */
  folder: z.string(),
  created: z.string(),
  hashKey: base64,
  starts: whole,
  lsn: whole,
});
export type Header = z.infer<typeof headerSchema>;

const extentSchema = z.strictObject({
  fileOffset: whole,
  length: whole,
  volume: whole,
  aggregate: whole,
  offset: whole,
  rangeStart: whole,
  rangeLength: whole,
  checksums: z.array(whole.max(0xffffffff)),
  shared: z.literal(true).optional(),
});

const inodeSchema = z.strictObject({
  row: z.literal('inode'),
  ino: whole,
  mode: whole.max(0xffff),
  uid: whole,
  gid: whole,
  nlink: whole,
  size: whole.optional(),
  atime: time,
  mtime: time,
  ctime: time,
  btime: time,
  rdev: whole.optional(),
  flags: whole.max(0xffff).optional(),
  generation: whole.optional(),
  layout: z.enum(['none', 'own', 'packed']),
  own: z.strictObject({ volume: whole, start: whole, number: whole }).optional(),
  extents: z.array(extentSchema).optional(),
  second: z.array(extentSchema).optional(),
  parent: whole,
  position: whole,
  project: whole.optional(),
  retainUntilSec: z.number().int().optional(),
  holds: whole.optional(),
  lsn: whole,
  partitions: base64.optional(),
});

export const rowSchema = z.discriminatedUnion('row', [
  z.strictObject({
    row: z.literal('volume'),
    id: whole,
    name: z.string(),
    tier: z.enum(['hot', 'warm', 'cold']),
    kind: z.enum(['dir', 'mirror', 'ec']),
    /** As in store.yaml. */
    paths: z.array(z.string()),
    dataCells: whole,
    parityCells: whole,
  }),
  z.strictObject({
    row: z.literal('aggregate'),
    id: whole,
    volume: whole,
    state: z.enum(['open', 'sealed', 'dead']),
    written: whole,
    live: whole,
    newestMtimeSec: z.number().int(),
    lastReadDay: whole,
  }),
  inodeSchema,
  z.strictObject({
    row: z.literal('dentry'),
    slot: whole,
    dir: whole,
    position: whole,
    name: z.string().optional(),
    nameBase64: base64.optional(),
    ino: whole,
    type: whole,
  }),
  z.strictObject({
    row: z.literal('partition'),
    slot: whole,
    dir: whole,
    index: whole,
    entries: whole,
    directories: whole,
    changed: time,
    lsn: whole,
    boundary: z.number(),
  }),
  z.strictObject({
    row: z.literal('xattr'),
    ino: whole,
    name: z.string().optional(),
    nameBase64: base64.optional(),
    value: base64,
  }),
  z.strictObject({
    row: z.literal('symlink'),
    ino: whole,
    target: z.string().optional(),
    targetBase64: base64.optional(),
  }),
  z.strictObject({ row: z.literal('sharer'), aggregate: whole, rangeStart: whole, ino: whole }),
  z.strictObject({ row: z.literal('sequence'), slot: whole, nextSequence: whole }),
  z.strictObject({ row: z.literal('damaged'), table: z.string(), ino: whole, place: whole }),
  z.strictObject({ row: z.literal('end'), counts: z.record(z.string(), whole), crc32c: z.string() }),
]);
export type Row = z.infer<typeof rowSchema>;
export type RowKind = Row['row'];
type RowOf<K extends RowKind> = Extract<Row, { row: K }>;

// ---- To lines ----

export function volumeLine(volume: VolumeRow): RowOf<'volume'> {
  return { row: 'volume', ...volume, paths: [...volume.paths] };
}

export function aggregateLine(row: AggregateRow): RowOf<'aggregate'> {
  return { row: 'aggregate', ...row };
}

export function inodeLine(inode: Inode): RowOf<'inode'> {
  const { ino, mode, uid, gid, nlink, layout, parent, position, lsn, own } = inode;
  return {
    row: 'inode',
    ino,
    mode,
    uid,
    gid,
    nlink,
    ...given('size', inode.size),
    atime: timeLine(inode.atime),
    mtime: timeLine(inode.mtime),
    ctime: timeLine(inode.ctime),
    btime: timeLine(inode.btime),
    ...given('rdev', inode.rdev),
    ...given('flags', inode.flags),
    ...given('generation', inode.generation),
    layout,
    ...(own === undefined ? {} : { own: { ...own } }),
    ...(inode.extents.length === 0 ? {} : { extents: inode.extents.map(extentLine) }),
    ...(inode.second.length === 0 ? {} : { second: inode.second.map(extentLine) }),
    parent,
    position,
    ...given('project', inode.project),
    ...given('retainUntilSec', inode.retainUntilSec),
    ...given('holds', inode.holds),
    lsn,
    ...(hasSplit(inode) ? { partitions: Buffer.from(inode.partitions).toString('base64') } : {}),
  };
}

export function dentryLine({ slot, dentry }: ScannedDentry): RowOf<'dentry'> {
  const { dir, position, ino, type, name } = dentry;
  return { row: 'dentry', slot, dir, position, ...nameLine(name), ino, type };
}

export function partitionLine(partition: Partition): RowOf<'partition'> {
  return { row: 'partition', ...partition, changed: timeLine(partition.changed) };
}

export function xattrLine({ ino, name, value }: ScannedXattr): RowOf<'xattr'> {
  return { row: 'xattr', ino, ...nameLine(name), value: Buffer.from(value).toString('base64') };
}

export function symlinkLine({ ino, target }: ScannedSymlink): RowOf<'symlink'> {
  const bytes = Buffer.from(target);
  const shown = isUtf8(bytes) ? { target: bytes.toString('utf8') } : { targetBase64: bytes.toString('base64') };
  return { row: 'symlink', ino, ...shown };
}

function hasSplit(inode: Inode): boolean {
  return inode.partitions.length > 1 || (inode.partitions[0] ?? 1) !== 1;
}

function given<K extends string>(key: K, value: number): Partial<Record<K, number>> {
  return value === 0 ? {} : ({ [key]: value } as Record<K, number>);
}

function timeLine(at: Timespec): [number, number] {
  return [at.sec, at.nsec];
}

function nameLine(name: Uint8Array): { name: string } | { nameBase64: string } {
  const bytes = Buffer.from(name);
  return isUtf8(bytes) ? { name: bytes.toString('utf8') } : { nameBase64: bytes.toString('base64') };
}

function extentLine(extent: Extent): z.infer<typeof extentSchema> {
  const { shared, checksums, ...rest } = extent;
  return { ...rest, checksums: [...checksums], ...(shared ? { shared } : {}) };
}

// ---- And back; numbers are checked by the schemas and once more by the rows' own encoders ----

export function inodeOf(line: RowOf<'inode'>): Inode {
  const isDirectory = line.mode >> 12 === DT_DIR;
  return {
    ino: line.ino as Ino,
    mode: line.mode,
    uid: line.uid,
    gid: line.gid,
    nlink: line.nlink,
    size: line.size ?? 0,
    atime: timeOf(line.atime),
    mtime: timeOf(line.mtime),
    ctime: timeOf(line.ctime),
    btime: timeOf(line.btime),
    rdev: line.rdev ?? 0,
    flags: line.flags ?? 0,
    generation: line.generation ?? 0,
    layout: line.layout,
    own: line.own as Inode['own'],
    extents: (line.extents ?? []).map(extentOf),
    second: (line.second ?? []).map(extentOf),
    parent: line.parent as Ino,
    position: line.position,
    project: line.project ?? 0,
    retainUntilSec: line.retainUntilSec ?? 0,
    holds: line.holds ?? 0,
    lsn: line.lsn as Lsn,
    partitions: partitionsOf(line.partitions, isDirectory),
  };
}

export function dentryOf(line: RowOf<'dentry'>): Dentry {
  const { dir, position, ino, type } = line;
  return { dir, position, name: nameOf(line), ino, type } as Dentry;
}

export function partitionOf(line: RowOf<'partition'>): Partition {
  const { row: _, changed, ...rest } = line;
  return { ...rest, changed: timeOf(changed) } as Partition;
}

export function xattrOf(line: RowOf<'xattr'>): ScannedXattr {
  return { ino: line.ino as Ino, name: nameOf(line), value: Buffer.from(line.value, 'base64') };
}

export function targetOf(line: RowOf<'symlink'>): Uint8Array {
  return line.target === undefined ? Buffer.from(line.targetBase64 ?? '', 'base64') : Buffer.from(line.target);
}

function partitionsOf(bitmap: string | undefined, isDirectory: boolean): Uint8Array {
  if (bitmap !== undefined) return new Uint8Array(Buffer.from(bitmap, 'base64'));
  return isDirectory ? SINGLE_PARTITION : NO_PARTITIONS;
}

function timeOf([sec, nsec]: readonly [number, number]): Timespec {
  return { sec, nsec };
}

function nameOf(line: { readonly name?: string | undefined; readonly nameBase64?: string | undefined }): Uint8Array {
  return line.name === undefined ? Buffer.from(line.nameBase64 ?? '', 'base64') : Buffer.from(line.name);
}

function extentOf(line: z.infer<typeof extentSchema>): Extent {
  const { shared, checksums, ...rest } = line;
  return { ...rest, checksums: Uint32Array.from(checksums), shared: shared === true } as Extent;
}
