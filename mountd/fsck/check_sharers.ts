/** Rows of sharers against extents with the SHARED bit, both sorted by aggregate, range and inode. */
import type { AggregateId, Ino } from '../../base/units.ts';
import type { Sharer } from '../../shard/system_database.ts';
import type { CheckContext } from './context.ts';
import { ROW_DAMAGED } from './inode_table.ts';

export class SharerCheck {
  readonly #ctx: CheckContext;
  readonly #rows: Iterator<Sharer>;
  #next: Sharer | undefined;
  #last: Sharer | undefined;

  constructor(ctx: CheckContext) {
    this.#ctx = ctx;
    this.#rows = ctx.namespace.allSharers()[Symbol.iterator]();
    this.#advance();
  }

  /** An inode that names a shared range; called in ascending order. */
  expect(sharer: { readonly aggregate: AggregateId; readonly rangeStart: number; readonly ino: Ino }): void {
    // One inode may name a range by several extents.
    if (this.#last !== undefined && compare(this.#last, sharer) === 0) return;
    this.#last = sharer;
    for (let row = this.#next; row !== undefined; row = this.#next) {
      const order = compare(row, sharer);
      if (order > 0) break;
      this.#advance();
      if (order === 0) return;
      this.#stale(row);
    }
    const { aggregate, rangeStart, ino } = sharer;
    this.#ctx.add({
      kind: 'missing-sharer',
      where: { inode: ino, aggregate, offset: rangeStart },
      found: 'no row for a shared extent',
      expected: 'one',
      repair: (repairer) => repairer.setSharer(sharer, true),
    });
  }

  finish(): void {
    for (let row = this.#next; row !== undefined; row = this.#next) {
      this.#advance();
      this.#stale(row);
    }
  }

  #advance(): void {
    const { value, done } = this.#rows.next();
    this.#next = done === true ? undefined : value;
  }

  #stale(row: Sharer): void {
    const { inodes, hasUnseenRows } = this.#ctx;
    const at = inodes.find(row.ino);
    if (hasUnseenRows || (at >= 0 && inodes.has(at, ROW_DAMAGED))) return;
    this.#ctx.add({
      kind: 'stale-sharer',
      where: { inode: row.ino, aggregate: row.aggregate, offset: row.rangeStart },
      found: 'a row for no shared extent',
      expected: 'none',
      repair: (repairer) => repairer.setSharer(row, false),
    });
  }
}

function compare(a: Sharer, b: Sharer): number {
  return a.aggregate - b.aggregate || a.rangeStart - b.rangeStart || a.ino - b.ino;
}
