/**
 * What a shard notes of slots on their way, in its table `meta`, in the same transactions as their rows:
 *
 *     'incoming SLOT'   a copy is being made here; the value says how far: JSON [stage, key of the last row]
 *     'outgoing SLOT'   the slot has gone elsewhere, and rows of it are left here
 */
import type Database from 'better-sqlite3';
import { SLOT_COUNT, type Slot } from '../base/units.ts';
import { SLOT_TABLES, type SlotKey } from './slot_rows.ts';
import type { SqliteFile } from './sqlite_file.ts';

/** Stages of a copy: its tables, then the same compared, then these. */
export const FIRST_COMPARED = SLOT_TABLES;
export const COPIED = 2 * SLOT_TABLES;
/** The copy is given up: its rows are being removed. */
export const DROPPED = COPIED + 1;

export interface CopyMark {
  /** 0 to SLOT_TABLES - 1: that table is being copied; then compared; COPIED, DROPPED. */
  readonly stage: number;
  /** Of the last row of the stage's table that is done. */
  readonly key: SlotKey | undefined;
}

const BEGUN: CopyMark = { stage: 0, key: undefined };

export class SlotMarks {
  readonly #file: SqliteFile;
  readonly #incoming = new Map<Slot, CopyMark>();
  readonly #outgoing = new Set<Slot>();
  readonly #putRow: Database.Statement<[string, string | number]>;
  readonly #deleteRow: Database.Statement<[string]>;

  constructor(file: SqliteFile) {
    this.#file = file;
    this.#putRow = file.prepare('INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)');
    this.#deleteRow = file.prepare('DELETE FROM meta WHERE key = ?');
    this.reload();
  }

  /** Slots that are being copied into this shard. */
  get incoming(): ReadonlyMap<Slot, CopyMark> {
    return this.#incoming;
  }

  /** Slots that have left this shard, and of which it may have rows. */
  get outgoing(): ReadonlySet<Slot> {
    return this.#outgoing;
  }

  /** After a rollback: what the database says. Notes that make no sense are as none: fsck finds the rows. */
  reload(): void {
    this.#incoming.clear();
    this.#outgoing.clear();
    const rows = this.#file
      .prepare<[], [string, unknown]>(
        "SELECT key, value FROM meta WHERE key BETWEEN 'incoming ' AND 'incoming!' OR key BETWEEN 'outgoing ' AND 'outgoing!'",
      )
      .raw(true);
    for (const [name, value] of rows.all()) {
      const [kind, text] = name.split(' ');
      const slot = Number(text);
      if (!Number.isInteger(slot) || slot < 0 || slot >= SLOT_COUNT) continue;
      if (kind === 'outgoing') this.#outgoing.add(slot as Slot);
      else this.#incoming.set(slot as Slot, decode(value));
    }
  }

  putIncoming(slot: Slot, mark: CopyMark = BEGUN): void {
    this.#put(`incoming ${slot}`, encode(mark));
    this.#incoming.set(slot, mark);
  }

  dropIncoming(slot: Slot): void {
    this.#delete(`incoming ${slot}`);
    this.#incoming.delete(slot);
  }

  putOutgoing(slot: Slot): void {
    this.#put(`outgoing ${slot}`, 1);
    this.#outgoing.add(slot);
  }

  dropOutgoing(slot: Slot): void {
    this.#delete(`outgoing ${slot}`);
    this.#outgoing.delete(slot);
  }

  #put(key: string, value: string | number): void {
    this.#file.willWrite();
    this.#putRow.run(key, value);
  }

  #delete(key: string): void {
    this.#file.willWrite();
    this.#deleteRow.run(key);
  }
}

function encode({ stage, key }: CopyMark): string {
  const parts = key?.map((part) => (typeof part === 'number' ? part : Buffer.from(part).toString('hex')));
  return JSON.stringify(parts === undefined ? [stage] : [stage, ...parts]);
}

/** What cannot be understood begins anew. */
function decode(value: unknown): CopyMark {
  try {
    const [stage, ...parts] = JSON.parse(String(value)) as (number | string)[];
    if (typeof stage !== 'number' || !Number.isInteger(stage) || stage < 0 || stage > DROPPED) return BEGUN;
    const key = parts.map((part) => (typeof part === 'number' ? part : Buffer.from(part, 'hex')));
    return { stage, key: key.length === 0 ? undefined : key };
  } catch {
    return BEGUN;
  }
}
