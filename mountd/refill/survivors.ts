/** What the rows that are left say of those that a lost shard had: names of its inodes, inodes of its names. */
import type { OwnName } from '../../base/layout.ts';
import { type Ino, type Position, ROOT_INO, type ShardId, type Slot, slotOf } from '../../base/units.ts';
import { parentPartition, partitionSlot, SINGLE_PARTITION } from '../../shard/partition_map.ts';
import { type Dentry, DT_DIR } from '../../shard/rows.ts';
import { DamagedRow } from '../../shard/scan.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { ownKey } from '../rebuild/survey.ts';

/** An inode that is there, and whose recorded name is not. */
export interface NamelessInode {
  readonly ino: Ino;
  readonly parent: Ino;
  readonly position: Position;
}

/** Memory: about 200 bytes for each name and inode that crosses the border of the lost shards. */
export class Survivors {
  /** Names, elsewhere, of inodes that are lost. */
  readonly named = new Map<Ino, Dentry[]>();
  /** Directories that are lost and in which something is left. */
  readonly directories = new Set<Ino>();
  /** Partitions that lost directories have elsewhere. */
  readonly #partitions = new Map<Ino, number[]>();
  readonly nameless = new Map<Ino, NamelessInode>();
  /** By `ownKey`. */
  readonly ownFiles = new Map<string, OwnName>();
  /** What the journal says was removed, as far back as it goes. */
  readonly removed = new Set<Ino>();
  readonly #removedNames = new Set<string>();
  readonly #namespace: NamespaceStore;
  readonly #lost: ReadonlySet<ShardId>;

  constructor(namespace: NamespaceStore, lost: ReadonlySet<ShardId>) {
    this.#namespace = namespace;
    this.#lost = lost;
  }

  run(): void {
    const { shardCount } = this.#namespace;
    for (let shard = 0; shard < shardCount; shard++) this.#scanNames(shard);
    for (let shard = 0; shard < shardCount; shard++) this.#scanInodes(shard);
    this.#readJournal();
  }

  /** Whether rows of the slot lay in a shard that is lost. */
  isLost(slot: Slot): boolean {
    return this.#lost.has(this.#namespace.shardOf(slot));
  }

  /** Whether the inode's row was lost, and nothing has brought it back yet. One that cannot be read has not come back. */
  lacks(ino: Ino): boolean {
    if (!this.isLost(slotOf(ino))) return false;
    const row = this.#namespace.readInode(ino);
    return !('ino' in row);
  }

  /** The partitions that a lost directory must have, so that the names that are left are found: see partition_map.ts. */
  bitmapOf(dir: Ino): Uint8Array {
    const known = this.#partitions.get(dir) ?? [];
    const highest = Math.max(0, ...known);
    const bitmap = new Uint8Array(Math.max(SINGLE_PARTITION.length, (highest >> 3) + 1));
    for (const index of [0, ...known]) {
      for (let i = index; ; i = parentPartition(i)) {
        bitmap[i >> 3] = (bitmap[i >> 3] ?? 0) | (1 << (i & 7));
        if (i === 0) break;
      }
    }
    return bitmap;
  }

  /** Whether a name at this place was removed lately. */
  wasRemoved(dir: Ino, position: number): boolean {
    return this.#removedNames.has(`${dir}/${position}`);
  }

  #scanNames(shard: number): void {
    const scan = this.#namespace.scan(shard);
    for (const row of scan.partitions()) {
      const [dir, index] = row instanceof DamagedRow ? [row.ino, row.place] : [row.dir, row.index];
      if (!this.lacks(dir)) continue;
      const known = this.#partitions.get(dir);
      if (known === undefined) this.#partitions.set(dir, [index]);
      else known.push(index);
    }
    for (const row of scan.dentries()) {
      if (row instanceof DamagedRow) continue;
      const { dentry } = row;
      if (this.lacks(dentry.dir)) this.directories.add(dentry.dir);
      if (!this.lacks(dentry.ino)) continue;
      if (dentry.type === DT_DIR) this.directories.add(dentry.ino);
      const names = this.named.get(dentry.ino);
      if (names === undefined) this.named.set(dentry.ino, [dentry]);
      else names.push(dentry);
    }
  }

  #scanInodes(shard: number): void {
    for (const row of this.#namespace.scan(shard).inodes()) {
      if (row instanceof DamagedRow) continue;
      const { ino, parent, position, nlink, own } = row;
      if (own !== undefined) this.ownFiles.set(ownKey(own), own);
      if (nlink === 0 || ino === ROOT_INO || parent === 0 || !this.isLost(this.#slotOfName(parent, position))) continue;
      if (this.lacks(parent)) this.directories.add(parent);
      const dir = this.#namespace.inode(parent);
      const there = dir === undefined ? undefined : this.#namespace.list(dir, position - 1, 1)[0];
      if (there?.position === position) continue;
      this.nameless.set(ino, { ino, parent, position: position as Position });
    }
  }

  /** Of a directory that is lost only what is left of it tells how it was split. */
  #slotOfName(dir: Ino, position: number): Slot {
    const row = this.#namespace.inode(dir);
    if (row !== undefined) return this.#namespace.partitionOf(row, position).slot;
    return partitionSlot(dir, 0);
  }

  #readJournal(): void {
    for (const { mutations } of this.#namespace.journalFrom(1 as never)) {
      for (const mutation of mutations) {
        if (mutation.kind === 'no-inode') this.removed.add(mutation.ino);
        else if (mutation.kind === 'inode') this.removed.delete(mutation.inode.ino);
        else if (mutation.kind === 'no-dentry') this.#removedNames.add(`${mutation.dir}/${mutation.position}`);
        else if (mutation.kind === 'dentry')
          this.#removedNames.delete(`${mutation.dentry.dir}/${mutation.dentry.position}`);
      }
    }
  }
}
