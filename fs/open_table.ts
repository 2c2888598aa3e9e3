/**
 * The open table: which inodes are open, with how many handles, in memory that outlives the daemon (a file that the
 * supervisor made under /run, mapped). The next daemon on a live mount learns from it what no kernel tells again.
 *
 * A count may be too high after a crash, never too low: +1 before an open's reply leaves, -1 after a RELEASE's. Entries
 * with a request in flight at the crash are in doubt, all others are exact. Stores become visible in program order, a
 * kill falls between any two of them: each order below is chosen so that what lies there is always an entry.
 *
 *      0 u32 magic     4 u32 version     8 u32 entries     12 u32 newest backing id of an entry     to 4,096: reserved
 *      then entries of 64 bytes:
 *      0 u32 state: 0 free, 1 used; stored last when an entry is made, first when it goes
 *      4 u32 bits: 0 opened for mapping, 1-2 mode, 3 in doubt, 4 has an own file, 5 which of the two names holds
 *      8 u64 ino                 24 u32 requests in flight
 *     16 u32 handles             28 u32 backing id, 0 = none
 *     20 u32 writers             32 and 48: own file: u32 volume, u32 start, u64 number
 *
 * There is no checksum: it could not be stored together with what it covers.
 */
import { assert } from '../base/assert.ts';
import { E, type Errno, errnoOf, type Result } from '../base/errno.ts';
import type { OwnName } from '../base/layout.ts';
import { mapShared } from '../base/libc.ts';
import type { Ino, VolumeId } from '../base/units.ts';

const MAGIC = 0x544f_4650;
const VERSION = 1;
const HEADER_BYTES = 4096;
const ENTRY_BYTES = 64;
const ENTRY_WORDS = ENTRY_BYTES / 4;
const HEADER_WORDS = HEADER_BYTES / 4;
const FIRST_ENTRIES = 1024;
/** Inodes open at a time; beyond it opens get ENFILE. */
const MAX_ENTRIES = 1 << 20;
const TWO_32 = 2 ** 32;

/** Word of the header. */
const NEWEST_ID = 3;
/** Words of an entry. */
const STATE = 0;
const BITS = 1;
const INO = 2;
const HANDLES = 4;
const WRITERS = 5;
const IN_FLIGHT = 6;
const BACKING_ID = 7;
const OWN = 8;
const OWN_WORDS = 4;

const MAPPABLE = 1 << 0;
const MODE_SHIFT = 1;
const MODE_MASK = 3 << MODE_SHIFT;
const IN_DOUBT = 1 << 3;
const HAS_OWN = 1 << 4;
const SECOND_OWN = 1 << 5;

/** How the kernel moves the bytes of the handles of an inode. */
export type OpenMode = 'none' | 'cached' | 'passthrough';
const MODES: readonly OpenMode[] = ['none', 'cached', 'passthrough'];

export interface OpenEntry {
  readonly ino: Ino;
  readonly handles: number;
  /** Handles that may write. */
  readonly writers: number;
  /** Some handle was O_RDWR: only such can map for writing. */
  readonly isMappable: boolean;
  /** The counts may be too high: a request was in flight when a daemon ended. */
  readonly isInDoubt: boolean;
  readonly mode: OpenMode;
  readonly own: OwnName | undefined;
  /** 0 = none. */
  readonly backingId: number;
}

/** Where the table lies. */
export interface TableMemory {
  /** All of it at a greater length; what was there stays, what is new is zeros. ENOSPC when there is no room. */
  map(bytes: number): Result<Int32Array>;
  /** For tests: called after every store. */
  readonly stored?: () => void;
}

export class OpenTable {
  readonly #memory: TableMemory;
  #words: Int32Array;
  /** Number of an inode's entry. */
  readonly #numbers = new Map<Ino, number>();
  #free: number[] = [];
  #capacity = 0;

  private constructor(memory: TableMemory, words: Int32Array) {
    this.#memory = memory;
    this.#words = words;
  }

  /**
   * Maps the table at `path`, which is there; its length does not matter. `isFresh`: nothing is open, whatever it holds
   * (the first daemon of a mount). EINVAL when it is no table, or not one that this version reads.
   */
  static open(path: string, options: { readonly isFresh: boolean }): Result<OpenTable> {
    return OpenTable.over({ map: (bytes) => words(mapShared(path, bytes)) }, options);
  }

  /** One that ends with the process: where no other daemon ever takes over. */
  static inMemory(): OpenTable {
    const table = OpenTable.over(new MemoryOfProcess(), { isFresh: true });
    assert(table instanceof OpenTable, 'Memory of the process refused');
    return table;
  }

  static over(memory: TableMemory, options: { readonly isFresh: boolean }): Result<OpenTable> {
    const least = HEADER_BYTES + FIRST_ENTRIES * ENTRY_BYTES;
    const first = memory.map(least);
    if (!(first instanceof Int32Array)) return first;
    const table = new OpenTable(memory, first);
    if (!options.isFresh) return table.#take() ?? table;
    first.fill(0);
    // The magic last: what is cut off before is no table.
    table.#store(1, VERSION);
    table.#store(2, FIRST_ENTRIES);
    table.#store(0, MAGIC);
    table.#addFree(FIRST_ENTRIES);
    return table;
  }

  /** Inodes that are open. */
  get count(): number {
    return this.#numbers.size;
  }

  has(ino: Ino): boolean {
    return this.#numbers.has(ino);
  }

  entry(ino: Ino): OpenEntry | undefined {
    const number = this.#numbers.get(ino);
    return number === undefined ? undefined : this.#read(number);
  }

  /** What was noted last; what the kernel has given since, nobody has noted. 0 = none yet. */
  get newestBackingId(): number {
    return this.#word(NEWEST_ID);
  }

  *entries(): Generator<OpenEntry> {
    for (const number of this.#numbers.values()) yield this.#read(number);
  }

  /** An open is about to be answered. ENFILE, ENOSPC: there is no room, nothing was counted. */
  opening(ino: Ino, handle: { readonly writes: boolean; readonly maps: boolean }): Errno | undefined {
    const known = this.#numbers.get(ino);
    const number = known ?? this.#reserve();
    if (typeof number !== 'number') return number;
    const at = this.#at(number);
    if (known === undefined) {
      this.#words.fill(0, at, at + ENTRY_WORDS);
      this.#store(at + INO, ino % TWO_32);
      this.#store(at + INO + 1, Math.floor(ino / TWO_32));
    }
    this.#add(at + IN_FLIGHT, 1);
    if (handle.maps) this.#setBits(at, MAPPABLE, MAPPABLE);
    if (handle.writes) this.#add(at + WRITERS, 1);
    this.#add(at + HANDLES, 1);
    if (known === undefined) {
      this.#store(at + STATE, 1);
      this.#numbers.set(ino, number);
    }
    return undefined;
  }

  /** The reply has been written. */
  opened(ino: Ino): void {
    const number = this.#numbers.get(ino);
    if (number !== undefined) this.#landed(number);
  }

  /** A RELEASE is being served. */
  releasing(ino: Ino): void {
    const number = this.#numbers.get(ino);
    if (number !== undefined) this.#add(this.#at(number) + IN_FLIGHT, 1);
  }

  /** Its reply has been written. An entry without handles goes. */
  released(ino: Ino, handle: { readonly writes: boolean }): void {
    const number = this.#numbers.get(ino);
    if (number === undefined) return;
    const at = this.#at(number);
    if (this.#word(at + HANDLES) > 0) this.#add(at + HANDLES, -1);
    if (handle.writes && this.#word(at + WRITERS) > 0) this.#add(at + WRITERS, -1);
    this.#landed(number);
  }

  /** Nothing holds the inode any more: FORGET has come, or it was removed. */
  forget(ino: Ino): void {
    const number = this.#numbers.get(ino);
    if (number !== undefined) this.#drop(ino, number);
  }

  setMode(ino: Ino, mode: OpenMode, backingId = 0): void {
    const number = this.#numbers.get(ino);
    if (number === undefined) return;
    const at = this.#at(number);
    this.#store(at + BACKING_ID, backingId);
    if (backingId !== 0) this.#store(NEWEST_ID, backingId);
    this.#setBits(at, MODE_MASK, MODES.indexOf(mode) << MODE_SHIFT);
  }

  /** The name goes into whichever place is not in use; one store makes it the one that holds. */
  setOwn(ino: Ino, own: OwnName | undefined): void {
    const number = this.#numbers.get(ino);
    if (number === undefined) return;
    const at = this.#at(number);
    if (own === undefined) {
      this.#setBits(at, HAS_OWN, 0);
      return;
    }
    const second = (this.#word(at + BITS) & SECOND_OWN) === 0 ? SECOND_OWN : 0;
    const place = at + OWN + (second === 0 ? 0 : OWN_WORDS);
    this.#store(place, own.volume);
    this.#store(place + 1, own.start);
    this.#store(place + 2, own.number % TWO_32);
    this.#store(place + 3, Math.floor(own.number / TWO_32));
    this.#setBits(at, HAS_OWN | SECOND_OWN, HAS_OWN | second);
  }

  /** Reads what a predecessor left; whatever had a request in flight is in doubt from here on. */
  #take(): Errno | undefined {
    if (this.#word(0) !== MAGIC || this.#word(1) !== VERSION) return E.EINVAL;
    const capacity = this.#word(2);
    if (capacity < FIRST_ENTRIES || capacity > MAX_ENTRIES) return E.EINVAL;
    const all = this.#memory.map(HEADER_BYTES + capacity * ENTRY_BYTES);
    if (!(all instanceof Int32Array)) return all;
    this.#words = all;
    this.#capacity = capacity;
    for (let number = capacity - 1; number >= 0; number -= 1) this.#takeEntry(number);
    return undefined;
  }

  #takeEntry(number: number): void {
    const at = this.#at(number);
    const ino = this.#number64(at + INO);
    const isUsed = this.#word(at + STATE) === 1 && ino >= 1 && Number.isSafeInteger(ino);
    // No inode has two entries; were it so, the counts could be anything.
    if (!isUsed || this.#numbers.has(ino as Ino)) {
      this.#store(at + STATE, 0);
      this.#free.push(number);
      return;
    }
    if (this.#word(at + IN_FLIGHT) > 0) {
      this.#setBits(at, IN_DOUBT, IN_DOUBT);
      this.#store(at + IN_FLIGHT, 0);
    }
    this.#numbers.set(ino as Ino, number);
    if (this.#handles(at) === 0) this.#drop(ino as Ino, number);
  }

  #read(number: number): OpenEntry {
    const at = this.#at(number);
    const bits = this.#word(at + BITS);
    const place = at + OWN + ((bits & SECOND_OWN) === 0 ? 0 : OWN_WORDS);
    const own: OwnName = {
      volume: this.#word(place) as VolumeId,
      start: this.#word(place + 1),
      number: this.#number64(place + 2),
    };
    return {
      ino: this.#number64(at + INO) as Ino,
      handles: this.#handles(at),
      writers: this.#word(at + WRITERS),
      isMappable: (bits & MAPPABLE) !== 0,
      isInDoubt: (bits & IN_DOUBT) !== 0,
      mode: MODES[(bits & MODE_MASK) >> MODE_SHIFT] ?? 'none',
      own: (bits & HAS_OWN) === 0 ? undefined : own,
      backingId: this.#word(at + BACKING_ID),
    };
  }

  /** A kill between the two counts leaves the one of the writers higher. */
  #handles(at: number): number {
    return Math.max(this.#word(at + HANDLES), this.#word(at + WRITERS));
  }

  #landed(number: number): void {
    const at = this.#at(number);
    if (this.#word(at + IN_FLIGHT) > 0) this.#add(at + IN_FLIGHT, -1);
    if (this.#handles(at) === 0 && this.#word(at + IN_FLIGHT) === 0)
      this.#drop(this.#number64(at + INO) as Ino, number);
  }

  #drop(ino: Ino, number: number): void {
    this.#store(this.#at(number) + STATE, 0);
    this.#numbers.delete(ino);
    this.#free.push(number);
  }

  #reserve(): number | Errno {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const capacity = this.#capacity * 2;
    if (capacity > MAX_ENTRIES) return E.ENFILE;
    const all = this.#memory.map(HEADER_BYTES + capacity * ENTRY_BYTES);
    if (!(all instanceof Int32Array)) return all;
    this.#words = all;
    // New entries are zeros, hence free, before they count.
    this.#store(2, capacity);
    this.#addFree(capacity);
    return this.#free.pop() ?? E.ENFILE;
  }

  /** Entries from the present capacity to the new one are free, the first of them on top. */
  #addFree(capacity: number): void {
    for (let number = capacity - 1; number >= this.#capacity; number -= 1) this.#free.push(number);
    this.#capacity = capacity;
  }

  #at(number: number): number {
    return HEADER_WORDS + number * ENTRY_WORDS;
  }

  #word(at: number): number {
    return (this.#words[at] ?? 0) >>> 0;
  }

  #number64(at: number): number {
    return this.#word(at + 1) * TWO_32 + this.#word(at);
  }

  #add(at: number, count: number): void {
    this.#store(at, this.#word(at) + count);
  }

  /** Atomic, so that no compiler moves it past another. */
  #store(at: number, value: number): void {
    Atomics.store(this.#words, at, value);
    this.#memory.stored?.();
  }

  #setBits(at: number, mask: number, value: number): void {
    this.#store(at + BITS, (this.#word(at + BITS) & ~mask) | value);
  }
}

class MemoryOfProcess implements TableMemory {
  #words = new Int32Array(0);

  map(bytes: number): Result<Int32Array> {
    const longer = new Int32Array(Math.max(bytes / 4, this.#words.length));
    longer.set(this.#words);
    this.#words = longer;
    return longer;
  }
}

function words(mapped: ArrayBuffer | number): Result<Int32Array> {
  return typeof mapped === 'number' ? errnoOf(-mapped) : new Int32Array(mapped);
}
