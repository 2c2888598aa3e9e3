/**
 * A copy of a store that a test may damage: rows changed with right checksums (`change`), behind SQLite's back or wrongly
 * (`sql`, `flip`), files removed or cut; and fsck run on it in this process.
 */
import { closeSync, cpSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { bootId } from '../../base/boot.ts';
import { isErrno } from '../../base/errno.ts';
import { silentLog } from '../../base/log.ts';
import { EPOCH, SystemClock } from '../../base/time.ts';
import { type Ino, type Lsn, ROOT_INO, type Slot, slotOf } from '../../base/units.ts';
import { readConfig, volumeRows } from '../../mountd/config.ts';
import type { Finding } from '../../mountd/fsck/findings.ts';
import { Progress } from '../../mountd/fsck/progress.ts';
import { type FsckOutcome, runFsck } from '../../mountd/fsck/rounds.ts';
import { metaFolder } from '../../mountd/store_paths.ts';
import { StoreDatabases } from '../../shard/databases.ts';
import { rowIdOf } from '../../shard/row_id.ts';
import type { Dentry, Inode } from '../../shard/rows.ts';
import { NamespaceStore } from '../../shard/store.ts';

export interface PlantedOutcome extends FsckOutcome {
  readonly findings: readonly Finding[];
  readonly leftFindings: readonly Finding[];
  readonly refilled: readonly string[];
}

export interface FsckRun {
  readonly repair?: boolean;
  readonly wasClean?: boolean;
  readonly contents?: boolean;
  readonly backup?: string;
}

export class PlantedStore {
  /** The STORE of the command line. */
  readonly path: string;

  /** Copies the store at `template`, which must not be mounted, to `path`. */
  constructor(template: string, path: string) {
    cpSync(template, path, { recursive: true, filter: (source) => !source.endsWith('/ballast') });
    this.path = path;
  }

  get meta(): string {
    return metaFolder(this.path);
  }

  get volume(): string {
    return join(this.path, 'volumes', 'hot');
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  fsck(run: FsckRun = {}): PlantedOutcome {
    const config = readConfig(this.path);
    const findings: Finding[] = [];
    const leftFindings: Finding[] = [];
    const refilled: string[] = [];
    const outcome = runFsck({
      store: this.path,
      storeId: config.storeId,
      volumes: volumeRows(config, this.path),
      wasClean: run.wasClean ?? true,
      repair: run.repair ?? false,
      contents: run.contents ?? true,
      backup: run.backup,
      progress: new Progress(),
      onRefilled: (text) => refilled.push(text),
      onFound: (finding) => findings.push(finding),
      onLeft: (finding) => leftFindings.push(finding),
    });
    return { ...outcome, findings, leftFindings, refilled };
  }

  read<T>(look: (namespace: NamespaceStore) => T): T {
    const clock = new SystemClock();
    const namespace = NamespaceStore.open(this.meta, { log: silentLog, clock, bootId: bootId(), readOnly: true });
    try {
      return look(namespace);
    } finally {
      namespace.close();
    }
  }

  /** Where a name lies, of a path like 'a/b'. */
  dentry(path: string): { readonly slot: Slot; readonly dentry: Dentry } {
    return this.read((namespace) => {
      let dir = ROOT_INO;
      let found: { slot: Slot; dentry: Dentry } | undefined;
      for (const part of path.split('/')) {
        const row = namespace.readInode(dir);
        const dentry = isErrno(row) ? row : namespace.findName(row, Buffer.from(part));
        if (isErrno(row) || isErrno(dentry)) throw new Error(`No ${path} in the store`);
        found = { slot: namespace.partitionOf(row, dentry.position).slot, dentry };
        dir = dentry.ino;
      }
      if (found === undefined) throw new Error('An empty path');
      return { slot: found.slot, dentry: { ...found.dentry, name: Uint8Array.from(found.dentry.name) } };
    });
  }

  ino(path: string): Ino {
    return path === '' ? ROOT_INO : this.dentry(path).dentry.ino;
  }

  inode(path: string): Inode {
    const ino = this.ino(path);
    return this.read((namespace) => {
      const row = namespace.inode(ino);
      if (row === undefined) throw new Error(`No inode ${ino}`);
      return row;
    });
  }

  exists(path: string): boolean {
    try {
      this.dentry(path);
      return true;
    } catch {
      return false;
    }
  }

  /** A dentry for a new name in a directory, in its right place. */
  newDentry(dir: string, name: string, of: Pick<Dentry, 'ino' | 'type'>): { slot: Slot; dentry: Dentry } {
    const row = this.inode(dir);
    return this.read((namespace) => {
      const bytes = Buffer.from(name);
      const position = namespace.inspect().positionBase(bytes);
      const { slot } = namespace.partitionOf(row, position);
      return { slot, dentry: { dir: row.ino, position, name: bytes, ...of } };
    });
  }

  /** Writes rows as the store itself would, checksums and all, and commits them. */
  change(act: (databases: StoreDatabases) => void): void {
    const databases = StoreDatabases.open(this.meta, { now: EPOCH, readOnly: false });
    try {
      const lsn = databases.highestLsn();
      act(databases);
      for (const shard of databases.shards) shard.commit(lsn);
      databases.system.commit(lsn);
    } finally {
      databases.close();
    }
  }

  changeInode(path: string, change: Partial<Inode>): void {
    const inode = { ...this.inode(path), ...change };
    this.change((databases) => putInode(databases, inode));
  }

  putDentry({ slot, dentry }: { readonly slot: Slot; readonly dentry: Dentry }): void {
    this.change((databases) => databases.shardOf(slot).putDentry(slot, dentry));
  }

  removeDentry(path: string): void {
    const { slot, dentry } = this.dentry(path);
    this.change((databases) => databases.shardOf(slot).deleteDentry(slot, dentry.dir, dentry.position));
  }

  /** Runs a statement in the shard of a slot, or in system.db; returns the rows changed. */
  sql(where: Slot | 'system', text: string, ...values: unknown[]): number {
    const database = new Database(this.databasePath(where));
    try {
      database.pragma('ignore_check_constraints = 1');
      return database.prepare(text).run(...values).changes;
    } finally {
      database.close();
    }
  }

  /** The first column of a query's first row. */
  query(where: Slot | 'system', text: string): unknown {
    const database = new Database(this.databasePath(where), { readonly: true });
    try {
      return database.prepare(text).pluck().get();
    } finally {
      database.close();
    }
  }

  /** Path of the shard of a slot, or of system.db. */
  databasePath(where: Slot | 'system'): string {
    if (where === 'system') return join(this.meta, 'system.db');
    const shard = this.read((namespace) => namespace.shardOf(where));
    return join(this.meta, 'shards', `${String(shard).padStart(3, '0')}.db`);
  }

  /** Changes one byte of a file. */
  flipByte(path: string, offset: number): void {
    const fd = openSync(path, 'r+');
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, offset);
    byte[0] = (byte[0] ?? 0) ^ 0xff;
    writeSync(fd, byte, 0, 1, offset);
    closeSync(fd);
  }

  aggregatePath(id: number): string {
    return join(this.volume, 'aggregates', String(Math.floor(id / 4096)), String(id));
  }

  ownPath(path: string): string {
    const { own } = this.inode(path);
    if (own === undefined) throw new Error(`${path} has no own file`);
    return join(this.volume, 'own', String(own.start), String(own.number));
  }
}

export function putInode(databases: StoreDatabases, inode: Inode): void {
  databases.shardOf(slotOf(inode.ino)).putInode({ kind: 'inode', inode, lists: 3, own: 'keep', orphan: 'keep' });
}

export function deleteInodeRow(store: PlantedStore, ino: Ino): void {
  store.sql(slotOf(ino), 'DELETE FROM inodes WHERE id = ?', rowIdOf(ino));
}

export const FAR_LSN = 1_000_000_000 as Lsn;
