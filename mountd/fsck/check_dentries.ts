/** Rows of dentries: readable, in their place, each naming an inode of its type, no name twice in a directory. */
import { equalBytes } from '../../base/bytes.ts';
import { type Ino, ROOT_INO, type Slot } from '../../base/units.ts';
import { SINGLE_PARTITION } from '../../shard/partition_map.ts';
import { MAX_NAME_BYTES, POSITIONS_PER_HASH } from '../../shard/position.ts';
import { type Dentry, DT_DIR } from '../../shard/rows.ts';
import { DamagedRow, type ScannedDentry } from '../../shard/scan.ts';
import { PartitionCheck } from './check_partitions.ts';
import { type CheckContext, placeKey } from './context.ts';
import type { Repair, Where } from './findings.ts';
import { HAS_ENTRIES, ROW_DAMAGED } from './inode_table.ts';

const SLASH = 0x2f;
const DOT = 0x2e;

export function checkDentries(ctx: CheckContext): void {
  ctx.forEachShard('names', (scan, shard) => {
    const check = new DentryCheck(ctx, shard, new PartitionCheck(ctx, shard, scan.partitions()));
    for (const row of scan.dentries()) check.row(row);
    check.finish();
  });
}

/** Dentries come by slot, directory and position: those of one partition follow each other. */
class DentryCheck {
  readonly #ctx: CheckContext;
  readonly #shard: number;
  readonly #partitions: PartitionCheck;
  #slot = -1;
  #dir = 0 as Ino;
  #bitmap: Uint8Array | undefined;
  #entries = 0;
  #directories = 0;
  /** Names of the group whose hash is that of the row before. */
  #sameHash: Dentry[] = [];

  constructor(ctx: CheckContext, shard: number, partitions: PartitionCheck) {
    this.#ctx = ctx;
    this.#shard = shard;
    this.#partitions = partitions;
  }

  row(row: ScannedDentry | DamagedRow): void {
    const isDamaged = row instanceof DamagedRow;
    const dir = isDamaged ? row.ino : row.dentry.dir;
    const position = isDamaged ? row.place : row.dentry.position;
    if (!this.#ctx.isAtHome(row.slot, this.#shard, { directory: dir, position })) return;
    if (row.slot !== this.#slot || dir !== this.#dir) this.#beginGroup(row.slot, dir);
    const type = isDamaged ? row.dentry?.type : row.dentry.type;
    this.#entries += 1;
    if (type === DT_DIR) this.#directories += 1;
    if (isDamaged) this.#damaged(row);
    else this.#dentry(row.slot, row.dentry);
  }

  finish(): void {
    this.#endGroup();
    this.#partitions.finish();
  }

  #beginGroup(slot: Slot, dir: Ino): void {
    this.#endGroup();
    this.#slot = slot;
    this.#dir = dir;
    this.#entries = 0;
    this.#directories = 0;
    this.#sameHash = [];
    this.#bitmap = this.#bitmapOf(dir);
  }

  #endGroup(): void {
    if (this.#slot < 0) return;
    const { entries, directories } = { entries: this.#entries, directories: this.#directories };
    this.#partitions.counted(this.#slot as Slot, this.#dir, { entries, directories });
  }

  /** Undefined for what is no readable directory: nothing is concluded about the places of its names then. */
  #bitmapOf(dir: Ino): Uint8Array | undefined {
    const { inodes } = this.#ctx;
    const at = inodes.find(dir);
    const where = { directory: dir, slot: this.#slot, shard: this.#shard };
    if (at < 0) {
      const isNew = !this.#ctx.lostDirectories.has(dir);
      this.#ctx.lostDirectories.add(dir);
      // The root has a finding of its own.
      const repair: Repair | undefined =
        isNew && dir !== ROOT_INO ? (repairer) => repairer.makeDirectory(dir) : undefined;
      this.#ctx.add({ kind: 'stray-dentry', where, found: 'names of no inode', expected: 'a directory', repair });
      return undefined;
    }
    if (inodes.has(at, ROW_DAMAGED)) return undefined;
    if (!inodes.isDirectory(at)) {
      const found = `names in an inode of type ${inodes.type(at)}`;
      this.#ctx.add({ kind: 'stray-dentry', where, found, expected: `a directory (${DT_DIR})` });
      return undefined;
    }
    inodes.set(at, HAS_ENTRIES);
    return inodes.bitmaps.get(dir) ?? SINGLE_PARTITION;
  }

  #dentry(slot: Slot, dentry: Dentry): void {
    const { dir, position, ino, name } = dentry;
    const where: Where = { directory: dir, position, inode: ino, slot };
    this.#checkTarget(slot, dentry, where);
    if (!isName(name)) {
      this.#ctx.add({ kind: 'bad-name', where, name, found: `${name.length} bytes`, expected: 'a name' });
      return;
    }
    const base = this.#ctx.inspection.positionBase(name);
    if (position < base || position >= base + POSITIONS_PER_HASH)
      this.#ctx.add({
        kind: 'wrong-position',
        where,
        name,
        found: position,
        expected: `${base} to ${base + POSITIONS_PER_HASH - 1}`,
        repair: (repairer) => repairer.replaceDentry(slot, dentry),
      });
    else this.#checkPlace(slot, dentry, where);
    this.#checkDuplicate(dentry, where);
  }

  #checkPlace(slot: Slot, dentry: Dentry, where: Where): void {
    if (this.#bitmap === undefined) return;
    const dir = { ino: dentry.dir, partitions: this.#bitmap };
    const home = this.#ctx.namespace.partitionOf(dir, dentry.position).slot;
    if (home === slot) return;
    this.#ctx.add({
      kind: 'misplaced-dentry',
      where,
      name: dentry.name,
      found: `slot ${slot}`,
      expected: `slot ${home}`,
      repair: (repairer) => repairer.replaceDentry(slot, dentry),
    });
  }

  #checkTarget(slot: Slot, dentry: Dentry, where: Where): void {
    const { inodes } = this.#ctx;
    const { ino, type, name, dir, position } = dentry;
    const at = inodes.find(ino);
    if (at < 0) {
      const repair: Repair = (repairer) => repairer.removeDangling(slot, dentry);
      this.#ctx.add({ kind: 'dangling-dentry', where, name, found: 'no inode', expected: 'an inode', repair });
      return;
    }
    const isDirectory = inodes.isDirectory(at);
    const before = { dir: inodes.foundParent(at), position: inodes.foundPosition(at) };
    inodes.addName(at, dir, position);
    if (inodes.has(at, ROW_DAMAGED)) return;
    if (type !== inodes.type(at)) {
      const repair: Repair = (repairer) => repairer.setType(slot, dentry);
      this.#ctx.add({ kind: 'wrong-type', where, name, found: type, expected: inodes.type(at), repair });
    }
    if (isDirectory && inodes.names(at) > 1) this.#extraName(ino, before, dentry);
  }

  /** A directory has one name: that which its row says, else the first. */
  #extraName(ino: Ino, before: { readonly dir: Ino; readonly position: number }, dentry: Dentry): void {
    const { inodes } = this.#ctx;
    const at = inodes.find(ino);
    const isKept = inodes.foundParent(at) === dentry.dir && inodes.foundPosition(at) === dentry.position;
    const extra = isKept ? before : { dir: dentry.dir, position: dentry.position };
    this.#ctx.add({
      kind: 'extra-directory-name',
      where: { inode: ino, directory: extra.dir, position: extra.position },
      name: dentry.name,
      found: 'a further name of a directory',
      expected: 'one name',
      repair: (repairer) => repairer.removeName(extra.dir, extra.position),
    });
  }

  #checkDuplicate(dentry: Dentry, where: Where): void {
    const hash = Math.floor(dentry.position / POSITIONS_PER_HASH);
    const before = this.#sameHash[0];
    if (before !== undefined && Math.floor(before.position / POSITIONS_PER_HASH) !== hash) this.#sameHash = [];
    const twin = this.#sameHash.find(({ name }) => equalBytes(name, dentry.name));
    if (twin !== undefined) {
      const found = `the name of position ${twin.position}`;
      const repair: Repair = (repairer) => repairer.removeName(dentry.dir, dentry.position);
      this.#ctx.add({ kind: 'duplicate-name', where, name: dentry.name, found, expected: 'a name once', repair });
    }
    this.#sameHash.push(dentry);
  }

  /** Where name and position prove each other, and the inode says that this is its name, only the rest was wrong. */
  #damaged(row: DamagedRow): void {
    const { slot, ino: dir, place: position } = row;
    const where = { directory: dir, position, slot, shard: this.#shard };
    const common = { kind: 'bad-row-checksum', where, found: 'an unreadable dentry', expected: 'a whole row' } as const;
    const { dentry } = row;
    if (dentry === undefined || !isName(dentry.name) || !this.#isHashOf(dentry)) {
      this.#ctx.add(common);
      return;
    }
    const { inodes } = this.#ctx;
    const at = inodes.find(dentry.ino);
    if (at >= 0 && inodes.parent(at) === dir && inodes.position(at) === position) {
      inodes.addName(at, dir, dentry.position);
      this.#ctx.add({ ...common, repair: (repairer) => repairer.setType(slot, dentry) });
      return;
    }
    this.#ctx.damagedDentries.set(placeKey(dir, position), { slot, dentry });
    this.#ctx.add(common);
  }

  #isHashOf(dentry: Dentry): boolean {
    const base = this.#ctx.inspection.positionBase(dentry.name);
    return dentry.position >= base && dentry.position < base + POSITIONS_PER_HASH;
  }
}

function isName(name: Uint8Array): boolean {
  if (name.length < 1 || name.length > MAX_NAME_BYTES) return false;
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) return false;
  return !name.includes(SLASH) && !name.includes(0);
}
