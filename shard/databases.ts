/** The open databases of a store: `system.db`, the shards, and the map from slot to shard. */
import { existsSync } from 'node:fs';
import type { Timespec } from '../base/time.ts';
import type { Lsn, ShardId, Slot } from '../base/units.ts';
import type { Databases, Lacks } from './apply.ts';
import { DatabaseFiles } from './database_files.ts';
import { StoreError } from './failure.ts';
import { systemPath } from './format.ts';
import { type MissingShard, MissingShardDatabase, MissingShardError } from './missing_shard.ts';
import type { SlotSwitch } from './mutation.ts';
import { SYSTEM_SCHEMA } from './schema.ts';
import type { ShardDatabase } from './shard_database.ts';
import { openShard } from './shard_files.ts';
import { deleteMeta, getMeta, UNFINISHED } from './shard_identity.ts';
import type { Applying } from './sqlite_file.ts';
import { SystemDatabase } from './system_database.ts';

export interface OpenOptions {
  readonly now: Timespec;
  readonly readOnly: boolean;
  /** See `SqliteOpen`. */
  readonly rehearsal?: boolean;
  /** Shards that are missing are stood in for; only for reading. */
  readonly allowMissing?: boolean;
  /** See `ShardOpen`. */
  readonly allowUnfinished?: boolean;
}

export class StoreDatabases implements Databases {
  readonly system: SystemDatabase;
  /** Shards that are only stood in for. */
  readonly missing: readonly MissingShard[];
  /** The record that is being applied. */
  readonly applying: Applying;
  readonly #shards: ShardDatabase[];
  readonly #slots: ShardId[];
  /** Of slots that are being copied: where to. */
  readonly #copies = new Map<Slot, ShardDatabase>();
  readonly #openShard: (shard: number) => ShardDatabase;
  readonly #files = new DatabaseFiles();

  private constructor(
    system: SystemDatabase,
    of: { readonly shards: ShardDatabase[]; readonly missing: readonly MissingShard[] },
    made: {
      readonly slots: ShardId[];
      readonly applying: Applying;
      readonly openShard: (shard: number) => ShardDatabase;
    },
  ) {
    const { shards } = of;
    this.system = system;
    this.missing = of.missing;
    this.#shards = shards;
    this.applying = made.applying;
    this.#slots = made.slots;
    this.#openShard = made.openShard;
    if (this.#slots.some((shard) => shard >= shards.length))
      throw new StoreError('damaged', `Database ${system.file.path} maps slots to shards that do not exist`);
    this.noteCopies();
    this.lostFile();
  }

  get shards(): readonly ShardDatabase[] {
    return this.#shards;
  }

  /** Opens all of them, or none and throws `StoreError`. */
  static open(folder: string, options: OpenOptions): StoreDatabases {
    const path = systemPath(folder);
    if (!existsSync(path)) throw new StoreError('not-a-store', `No pacsfs store in ${folder}: ${path} is missing`);
    const applying: Applying = { lsn: 0 as Lsn };
    const system = SystemDatabase.open(path, { schema: SYSTEM_SCHEMA, applying, ...options });
    const shards: ShardDatabase[] = [];
    const missing: MissingShard[] = [];
    try {
      // The map before the count: a daemon may be raising it.
      const slots = system.slots();
      const count = system.number('shard_count');
      const how = { ...options, applying, storeId: system.text('store_id'), lsn: system.file.lsn, missing };
      const open = (shard: number) => openOrStandIn(folder, shard as ShardId, how);
      for (let shard = 0; shard < count; shard++) shards.push(open(shard));
      return new StoreDatabases(system, { shards, missing }, { slots, applying, openShard: open });
    } catch (thrown) {
      for (const shard of shards) shard.file.close();
      system.file.close();
      throw thrown;
    }
  }

  shardOf(slot: Slot): ShardDatabase {
    const shard = this.shards[this.#slots[slot] ?? 0];
    if (shard === undefined) throw new StoreError('damaged', `Slot ${slot} is in no shard`);
    return shard;
  }

  shardIdOf(slot: Slot): ShardId {
    return this.#slots[slot] ?? (0 as ShardId);
  }

  slotMap(): readonly ShardId[] {
    return this.#slots;
  }

  /** The map as it is committed by now, whoever did it: for those who read what a daemon writes. */
  readSlots(): readonly ShardId[] {
    return this.system.slots();
  }

  /** A shard that may have been added since the open. */
  shardAt(shard: ShardId): ShardDatabase {
    while (this.#shards.length <= shard) this.#shards.push(this.#openShard(this.#shards.length));
    return this.#shards[shard] as ShardDatabase;
  }

  // ---- Slots on their way: see slot_moves.ts ----

  copyOf(slot: Slot): ShardDatabase | undefined {
    return this.#copies.size === 0 ? undefined : this.#copies.get(slot);
  }

  /** After any change of what shards note of copies. Of a slot that is at home no copy is made. */
  noteCopies(): void {
    this.#copies.clear();
    for (const shard of this.#shards)
      for (const slot of shard.marks.incoming.keys()) if (this.shardOf(slot) !== shard) this.#copies.set(slot, shard);
  }

  switchSlot({ slot, shard, from }: SlotSwitch, lacks?: Lacks): boolean {
    const [to, source] = [this.#shards[shard], this.#shards[from]];
    if (to === undefined || source === undefined)
      throw new StoreError('damaged', `Slot ${slot} goes from shard ${from} to ${shard}, of ${this.#shards.length}`);
    const [isSystem, isTo, isFrom] = [this.system, to, source].map((database) => lacks?.(database) ?? true);
    if (isSystem) {
      this.system.putSlot(slot, shard);
      this.#slots[slot] = shard;
    }
    if (isTo) to.marks.dropIncoming(slot);
    if (isFrom) source.marks.putOutgoing(slot);
    this.noteCopies();
    return isSystem === true || isTo === true || isFrom === true;
  }

  /** Databases that are not open yet are opened. */
  setShardCount(count: number): void {
    while (this.#shards.length < count) this.#shards.push(this.#openShard(this.#shards.length));
    this.system.putMeta('shard_count', count);
  }

  /** The highest LSN that any of them has committed. */
  highestLsn(): Lsn {
    return Math.max(this.system.file.lsn, ...this.shards.map((shard) => shard.file.lsn)) as Lsn;
  }

  /** All of them, `system.db` last. */
  get all(): readonly (ShardDatabase | SystemDatabase)[] {
    return [...this.shards, this.system];
  }

  /** Shards that a repair has made anew and not finished, and how far that went. */
  unfinished(): Map<ShardId, string> {
    const found = this.shards.map(({ file }, shard) => [shard as ShardId, getMeta(file, UNFINISHED)] as const);
    return new Map(found.flatMap(([shard, state]) => (typeof state === 'string' ? [[shard, state]] : [])));
  }

  /** In their open transactions. */
  finish(): void {
    for (const shard of this.unfinished().keys()) {
      const file = this.shards[shard]?.file;
      if (file !== undefined) deleteMeta(file, UNFINISHED);
    }
  }

  /** What has become of a database's file since it was opened; undefined while each has its name. */
  lostFile(): string | undefined {
    return this.#files.lost(this.all.map(({ file }) => file.path));
  }

  /** Rows in open transactions. */
  get pendingRows(): number {
    return this.shards.reduce((rows, { file }) => rows + file.rows, this.system.file.rows);
  }

  /** The lowest LSN from which on the journal must keep its records. */
  get neededFrom(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { file, backlog } of this.all) least = Math.min(least, file.neededFrom, backlog.from);
    return least;
  }

  /** The first record of which any of them has not committed all; infinite when there is none. */
  get lackedFrom(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { file, backlog } of this.all) first = Math.min(first, file.lackedFrom, backlog.from);
    return first;
  }

  close(): void {
    for (const shard of this.shards) shard.file.close();
    this.system.file.close();
  }
}

type OpenAll = OpenOptions & { readonly applying: Applying; readonly storeId: string; readonly lsn: Lsn } & {
  readonly missing: MissingShard[];
};

function openOrStandIn(folder: string, shard: ShardId, options: OpenAll): ShardDatabase {
  try {
    return openShard(folder, shard, options);
  } catch (thrown) {
    if (!(thrown instanceof MissingShardError) || options.allowMissing !== true) throw thrown;
    options.missing.push(thrown.missing);
    return MissingShardDatabase.standIn(shard, options);
  }
}
