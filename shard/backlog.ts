/**
 * What a database has still to take in: mutations that came while it took none, because its transaction waits for a
 * barrier to be committed, or its log is moved. They are in the journal, so a kill loses nothing; here they wait in their
 * order, and are found by those who read. Applied in that order, they leave what they would have left at once.
 */
import type { AggregateId, Ino, Lsn, Position, Slot } from '../base/units.ts';
import { AttachedBacklog } from './attached_backlog.ts';
import type { DentryRangeDelete, Mutation } from './mutation.ts';
import { type PartitionKey, partitionKey } from './partition_key.ts';
import type { Dentry, Inode, Partition } from './rows.ts';

interface Waiting {
  readonly lsn: Lsn;
  readonly mutation: Mutation;
}

/** What changes among the dentries that one slot has of one directory. */
interface PartDentries {
  readonly slot: Slot;
  readonly changes: Map<Position, DentryChange>;
  /** What the database has of these goes; what stands in `changes` came after. */
  deletes: readonly DentryRangeDelete[];
}

/** Positions of one directory in one slot, both ends included. */
interface Range {
  readonly slot: Slot;
  readonly dir: Ino;
  readonly from: number;
  readonly to: number;
}

type InodeChange = Extract<Mutation, { readonly kind: 'inode' | 'no-inode' }>;
type DentryChange = Extract<Mutation, { readonly kind: 'dentry' | 'no-dentry' }>;
type PartitionChange = Extract<Mutation, { readonly kind: 'partition' | 'no-partition' }>;
type SharerChange = Extract<Mutation, { readonly kind: 'sharer' | 'no-sharer' }>;

export class Backlog {
  /** Everything goes here, until what is here has been applied. */
  isTaking = false;
  #waiting: Waiting[] = [];
  /** Those before it have been applied. */
  #head = 0;
  /** The last change of each row; entries go when they have been applied. */
  readonly #inodes = new Map<Ino, InodeChange>();
  readonly #dentries = new Map<Ino, PartDentries[]>();
  readonly #partitions = new Map<PartitionKey, PartitionChange>();
  readonly #sequences = new Map<Slot, number>();
  readonly #attached = new AttachedBacklog();
  /** By shared ranges. */
  readonly #sharers = new Map<string, Map<Ino, SharerChange>>();

  get length(): number {
    return this.#waiting.length - this.#head;
  }

  /** The first LSN of what waits; infinite when nothing does. */
  get from(): number {
    return this.#waiting[this.#head]?.lsn ?? Number.POSITIVE_INFINITY;
  }

  add(mutation: Mutation, lsn: Lsn): void {
    const kept = keep(mutation);
    this.#waiting.push({ lsn, mutation: kept });
    switch (kept.kind) {
      case 'inode':
        this.#inodes.set(kept.inode.ino, kept);
        break;
      case 'no-inode':
        this.#inodes.set(kept.ino, kept);
        this.#attached.add(kept);
        break;
      case 'dentry':
        this.#part(kept.dentry.dir, kept.slot).changes.set(kept.dentry.position, kept);
        break;
      case 'no-dentry':
        this.#part(kept.dir, kept.slot).changes.set(kept.position, kept);
        break;
      case 'no-dentries':
        this.#deleteRange(kept);
        break;
      case 'partition':
        this.#partitions.set(partitionKey(kept.partition.dir, kept.partition.index), kept);
        break;
      case 'no-partition':
        this.#partitions.set(partitionKey(kept.dir, kept.index), kept);
        break;
      case 'sequence':
        this.#sequences.set(kept.slot, kept.next);
        break;
      case 'xattr':
      case 'no-xattr':
      case 'no-xattrs':
      case 'symlink':
      case 'no-symlink':
        this.#attached.add(kept);
        break;
      case 'sharer':
      case 'no-sharer':
        this.#sharersOf(rangeKey(kept)).set(kept.ino, kept);
        break;
      default:
        break;
    }
  }

  #deleteRange(range: DentryRangeDelete): void {
    const part = this.#part(range.dir, range.slot);
    for (const at of part.changes.keys()) if (isIn(range, at)) part.changes.delete(at);
    part.deletes = [...part.deletes, range];
  }

  #part(dir: Ino, slot: Slot): PartDentries {
    const found = this.#partOf(dir, slot);
    if (found !== undefined) return found;
    const made: PartDentries = { slot, changes: new Map(), deletes: [] };
    const parts = this.#dentries.get(dir);
    if (parts === undefined) this.#dentries.set(dir, [made]);
    else parts.push(made);
    return made;
  }

  #sharersOf(key: string): Map<Ino, SharerChange> {
    const found = this.#sharers.get(key);
    if (found !== undefined) return found;
    const made = new Map<Ino, SharerChange>();
    this.#sharers.set(key, made);
    return made;
  }

  /** A shard has few slots of one directory. */
  #partOf(dir: Ino, slot: Slot): PartDentries | undefined {
    return this.#dentries.get(dir)?.find((part) => part.slot === slot);
  }

  /** What comes first; it goes with `applied`. */
  first(): Waiting | undefined {
    return this.#waiting[this.#head];
  }

  /** The first one has been applied. */
  applied(): void {
    const mutation = this.#waiting[this.#head]?.mutation;
    if (mutation === undefined) return;
    this.#head += 1;
    if (this.#head === this.#waiting.length) this.clear();
    else this.#forget(mutation);
  }

  clear(): void {
    this.#waiting = [];
    this.#head = 0;
    this.#inodes.clear();
    this.#dentries.clear();
    this.#partitions.clear();
    this.#sequences.clear();
    this.#attached.clear();
    this.#sharers.clear();
  }

  /** Unless a later one has taken its place. */
  #forget(mutation: Mutation): void {
    switch (mutation.kind) {
      case 'inode':
        forget(this.#inodes, mutation.inode.ino, mutation);
        break;
      case 'no-inode':
        forget(this.#inodes, mutation.ino, mutation);
        this.#attached.forget(mutation);
        break;
      case 'dentry':
        forget(this.#part(mutation.dentry.dir, mutation.slot).changes, mutation.dentry.position, mutation);
        break;
      case 'no-dentry':
        forget(this.#part(mutation.dir, mutation.slot).changes, mutation.position, mutation);
        break;
      case 'no-dentries': {
        const part = this.#part(mutation.dir, mutation.slot);
        part.deletes = part.deletes.filter((range) => range !== mutation);
        break;
      }
      case 'partition':
        forget(this.#partitions, partitionKey(mutation.partition.dir, mutation.partition.index), mutation);
        break;
      case 'no-partition':
        forget(this.#partitions, partitionKey(mutation.dir, mutation.index), mutation);
        break;
      case 'xattr':
      case 'no-xattr':
      case 'no-xattrs':
      case 'symlink':
      case 'no-symlink':
        this.#attached.forget(mutation);
        break;
      case 'sharer':
      case 'no-sharer': {
        const key = rangeKey(mutation);
        const sharers = this.#sharersOf(key);
        forget(sharers, mutation.ino, mutation);
        if (sharers.size === 0) this.#sharers.delete(key);
        break;
      }
      default:
        break;
    }
  }

  // Reading

  /** Null: it is going. Undefined: nothing waits for that row. */
  inode(ino: Ino): Inode | null | undefined {
    const found = this.#inodes.get(ino);
    if (found === undefined) return undefined;
    return found.kind === 'inode' ? found.inode : null;
  }

  /** As `inode`. */
  partition(dir: Ino, index: number): Partition | null | undefined {
    if (this.#partitions.size === 0) return undefined;
    const found = this.#partitions.get(partitionKey(dir, index));
    if (found === undefined) return undefined;
    return found.kind === 'partition' ? found.partition : null;
  }

  /** As `ShardDatabase.nextSequence`. It never goes down. */
  nextSequence(slot: Slot): number | undefined {
    return this.#sequences.get(slot);
  }

  /** Attributes and targets. */
  get attached(): AttachedBacklog {
    return this.#attached;
  }

  /** Inodes that name a shared range as they will be, from those that the database has; ascending. */
  sharers(aggregate: AggregateId, rangeStart: number, inos: Ino[]): Ino[] {
    const changes = this.#sharers.get(rangeKey({ aggregate, rangeStart }));
    if (changes === undefined) return inos;
    const merged = inos.filter((ino) => !changes.has(ino));
    for (const [ino, { kind }] of changes) if (kind === 'sharer') merged.push(ino);
    return merged.sort((a, b) => a - b);
  }

  /** Whether dentries of a range may differ from those that the database has. */
  hasDentries({ dir, slot }: Pick<Range, 'dir' | 'slot'>): boolean {
    return this.#partOf(dir, slot) !== undefined;
  }

  /** Dentries of a range as they will be, from all that the database has of it; in the order of positions. */
  merged(range: Range, rows: readonly Dentry[]): Dentry[] {
    const part = this.#partOf(range.dir, range.slot);
    if (part === undefined) return [...rows];
    const { changes, deletes } = part;
    const isGone = (at: Position) => changes.has(at) || deletes.some((deleted) => isIn(deleted, at));
    const kept = rows.filter(({ position }) => !isGone(position));
    const added: Dentry[] = [];
    const take = (change: DentryChange | undefined) => {
      if (change?.kind === 'dentry') added.push(change.dentry);
    };
    // A name's range has a few positions, a listing's nearly all of them.
    if (range.to - range.from < changes.size) {
      for (let at = range.from; at <= range.to; at++) take(changes.get(at as Position));
    } else {
      for (const [at, change] of changes) if (at >= range.from && at <= range.to) take(change);
    }
    return kept.concat(added).sort((a, b) => a.position - b.position);
  }
}

function forget<Key, Change>(from: Map<Key, Change>, key: Key, change: Change): void {
  if (from.get(key) === change) from.delete(key);
}

function rangeKey({ aggregate, rangeStart }: Pick<SharerChange, 'aggregate' | 'rangeStart'>): string {
  return `${aggregate}/${rangeStart}`;
}

function isIn(range: { readonly from: number; readonly to: number }, at: Position): boolean {
  return at >= range.from && at <= range.to;
}

/** Its bytes may lie in the request, which is gone soon, or in the journal's buffer. */
function keep(mutation: Mutation): Mutation {
  switch (mutation.kind) {
    case 'inode':
      return mutation.row === undefined ? { ...mutation } : { ...mutation, row: new Uint8Array(mutation.row) };
    case 'dentry':
      return { ...mutation, dentry: { ...mutation.dentry, name: new Uint8Array(mutation.dentry.name) } };
    case 'xattr':
      return { ...mutation, name: new Uint8Array(mutation.name), value: new Uint8Array(mutation.value) };
    case 'no-xattr':
      return { ...mutation, name: new Uint8Array(mutation.name) };
    case 'symlink':
      return { ...mutation, target: new Uint8Array(mutation.target) };
    default:
      // As it is, but another object: the same one may be applied twice.
      return { ...mutation };
  }
}
