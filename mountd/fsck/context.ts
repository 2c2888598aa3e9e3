/** What the checks of one round share: the stores, what was learnt of the rows so far, and where findings go. */
import type { DataStore } from '../../aggregate/store.ts';
import type { AggregateRow, OwnName, VolumeRow } from '../../base/layout.ts';
import type { AggregateId, Ino, ShardId, Slot, VolumeId } from '../../base/units.ts';
import { sqliteCode } from '../../shard/failure.ts';
import type { Inspection } from '../../shard/inspection.ts';
import type { Dentry } from '../../shard/rows.ts';
import type { ShardScan } from '../../shard/scan.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { repairOfForeign } from './check_moves.ts';
import type { Finding, Findings, Repair } from './findings.ts';
import { InodeTable } from './inode_table.ts';
import type { Progress } from './progress.ts';
import { RangeTable } from './range_table.ts';

/** An inode whose bytes are in an own file. */
export interface OwnFileRow {
  readonly ino: Ino;
  readonly own: OwnName;
  readonly size: number;
  readonly flags: number;
}

export interface DamagedDentry {
  readonly slot: Slot;
  /** Of which nothing is proven. */
  readonly dentry: Dentry;
}

export interface CheckParts {
  readonly namespace: NamespaceStore;
  readonly data: DataStore;
  /** As the configuration has them. */
  readonly volumes: readonly VolumeRow[];
  /** Whether the last mount ended in good order: what a crash may leave behind is then damage. */
  readonly wasClean: boolean;
  readonly findings: Findings;
  readonly progress: Progress;
}

export class CheckContext {
  readonly namespace: NamespaceStore;
  readonly inspection: Inspection;
  readonly data: DataStore;
  readonly volumes: readonly VolumeRow[];
  /** Volumes whose directories are there and theirs. */
  readonly present: ReadonlyMap<VolumeId, VolumeRow>;
  readonly wasClean: boolean;
  readonly findings: Findings;
  readonly progress: Progress;
  readonly inodes: InodeTable;
  readonly ranges = new RangeTable();
  readonly aggregates: ReadonlyMap<AggregateId, AggregateRow>;
  readonly ownFiles: OwnFileRow[] = [];
  /** By directory and position. */
  readonly damagedDentries = new Map<string, DamagedDentry>();
  /** Numbers that dentries lie under and no inode has. */
  readonly lostDirectories = new Set<Ino>();
  /** Partitions that have a row, by directory and index, of directories that have split. */
  readonly splitPartitions = new Set<string>();
  /** Rows may exist that were not seen, so absence proves nothing: a database is damaged, or rows lie in a wrong shard. */
  hasUnseenRows = false;
  /** Slots that shards have noted to be on their way, as 'SLOT SHARD'; and those of rows that nobody has noted. */
  readonly notedSlots = new Set<string>();
  readonly #foreignSlots = new Set<string>();
  /** They go first and alone: while rows cannot be seen, what else is found may follow from that. */
  readonly slotRepairs: Repair[] = [];
  /** Of some inodes nobody knows which bytes they name. */
  hasDamagedInodes = false;

  constructor(parts: CheckParts) {
    this.namespace = parts.namespace;
    this.inspection = parts.namespace.inspect();
    this.data = parts.data;
    this.volumes = parts.volumes;
    const missing = new Set(parts.data.missing.map(({ volume }) => volume));
    this.present = new Map(parts.volumes.filter(({ id }) => !missing.has(id)).map((row) => [row.id, row]));
    this.wasClean = parts.wasClean;
    this.findings = parts.findings;
    this.progress = parts.progress;
    this.inodes = new InodeTable((slot) => parts.namespace.shardOf(slot));
    this.aggregates = new Map(parts.namespace.aggregates().map((row) => [row.id, row]));
  }

  add(finding: Finding): void {
    this.findings.add(finding);
  }

  /** Walks over one shard after the other; what SQLite cannot read is a finding, and the next shard follows. */
  forEachShard(stage: string, check: (scan: ShardScan, shard: number) => void): void {
    const { shardCount } = this.namespace;
    this.progress.begin(stage, shardCount);
    for (let shard = 0; shard < shardCount; shard++) {
      try {
        check(this.namespace.scan(shard, { foreign: true }), shard);
      } catch (thrown) {
        if (!/^SQLITE_(CORRUPT|NOTADB|IOERR)/.test(sqliteCode(thrown))) throw thrown;
        this.hasUnseenRows = true;
        const found = `${sqliteCode(thrown)} while checking ${stage}`;
        this.add({ kind: 'damaged-database', where: { shard }, found, expected: 'a whole database' });
      }
      this.progress.advance(1);
    }
  }

  /** Whether a row of this slot lies in the shard that it was found in; a finding when not. */
  isAtHome(slot: Slot, shard: number, where: Finding['where']): boolean {
    const home = this.namespace.shardOf(slot);
    if (home === shard) return true;
    const key = `${slot} ${shard}`;
    if (this.notedSlots.has(key)) return false;
    this.hasUnseenRows = true;
    const isFirst = !this.#foreignSlots.has(key);
    this.#foreignSlots.add(key);
    // One repair is for all rows of the slot.
    const repair = isFirst ? repairOfForeign(this, slot, shard as ShardId) : undefined;
    if (repair !== undefined) this.slotRepairs.push(repair);
    this.add({
      kind: 'foreign-slot',
      where: { ...where, slot, shard },
      found: `shard ${shard}`,
      expected: `shard ${home}`,
      repair,
    });
    return false;
  }
}

export function placeKey(dir: number, position: number): string {
  return `${dir}/${position}`;
}
