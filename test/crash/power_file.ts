/**
 * One file of a simulated disk: its bytes as its readers see them, those that survive power loss, and every version that
 * a page had since the last flush. Pages are never changed in place, so that images of the disk can share them.
 */
import type { Timespec } from '../../base/time.ts';
import type { Random } from '../support/random.ts';

export const PAGE = 4096;

/** How much of a file a power cut leaves whole: a sector of the disk, or a page of the host's page cache. */
export type Tear = 512 | 4096;

/** Undefined: a hole. */
type Page = Uint8Array | undefined;

interface Version {
  /** Number of the change of the whole disk that made it. */
  readonly change: number;
  readonly page: Page;
}

interface Times {
  readonly mtime: Timespec;
  readonly ctime: Timespec;
}

interface Shape extends Times {
  readonly change: number;
  readonly size: number;
}

interface Image extends Times {
  readonly id: number;
  readonly tear: Tear;
  readonly pages: Map<number, Uint8Array>;
  readonly size: number;
}

/**
 * What a power cut keeps of a file's changes since its last flush: none, all, those up to one of the whole disk's changes,
 * whole changes chosen by chance, or any version of any unit.
 */
export type Keep =
  | { readonly kind: 'none' | 'all' }
  | { readonly kind: 'prefix'; readonly change: number }
  | { readonly kind: 'changes' | 'units'; readonly share: number };

export class PowerFile {
  readonly id: number;
  readonly tear: Tear;
  #pages: Map<number, Uint8Array>;
  #durable: Map<number, Uint8Array>;
  /** Whether an image of the disk, or the other map, is the same object. */
  #isShared = false;
  size: number;
  mtime: Timespec;
  ctime: Timespec;
  #durableShape: Shape;
  readonly #pending = new Map<number, Version[]>();
  #shapes: Shape[] = [];

  constructor(id: number, options: Times & { readonly tear: Tear; readonly size?: number }) {
    this.id = id;
    this.tear = options.tear;
    this.#pages = new Map();
    this.#durable = new Map();
    this.size = options.size ?? 0;
    this.mtime = options.mtime;
    this.ctime = options.ctime;
    this.#durableShape = this.#shape(0);
  }

  static of(image: Image): PowerFile {
    const file = new PowerFile(image.id, image);
    file.#pages = image.pages;
    file.#durable = image.pages;
    file.#isShared = true;
    return file;
  }

  /** 512-byte blocks. */
  get blocks(): number {
    return this.#pages.size * (PAGE / 512);
  }

  read(into: Uint8Array, offset: number): number {
    const length = Math.max(0, Math.min(into.length, this.size - offset));
    for (let done = 0; done < length; ) {
      const at = (offset + done) % PAGE;
      const count = Math.min(PAGE - at, length - done);
      const page = this.#pages.get(Math.floor((offset + done) / PAGE));
      if (page === undefined) into.fill(0, done, done + count);
      else into.set(page.subarray(at, at + count), done);
      done += count;
    }
    return length;
  }

  write(from: Uint8Array, offset: number, change: number): void {
    for (let done = 0; done < from.length; ) {
      const at = (offset + done) % PAGE;
      const count = Math.min(PAGE - at, from.length - done);
      const index = Math.floor((offset + done) / PAGE);
      const page = copyOf(this.#pages.get(index));
      page.set(from.subarray(done, done + count), at);
      this.#put(index, page, change);
      done += count;
    }
    this.size = Math.max(this.size, offset + from.length);
  }

  /** Zeros; whole pages become holes. */
  clear(offset: number, length: number, change: number): void {
    const end = offset + length;
    for (const index of [...this.#pages.keys()]) {
      const from = Math.max(offset, index * PAGE);
      const to = Math.min(end, (index + 1) * PAGE);
      if (from >= to) continue;
      const page = to - from === PAGE ? undefined : copyOf(this.#pages.get(index));
      page?.fill(0, from - index * PAGE, to - index * PAGE);
      this.#put(index, page, change);
    }
  }

  truncate(size: number, change: number): void {
    if (size < this.size) this.clear(size, Math.ceil(this.size / PAGE) * PAGE - size, change);
    this.size = size;
  }

  /** To be called after each change: the size and time that came of it. */
  changed(change: number, times: Times): void {
    this.mtime = times.mtime;
    this.ctime = times.ctime;
    this.#shapes.push(this.#shape(change));
  }

  seek(offset: number, kind: 'data' | 'hole'): number | undefined {
    if (offset >= this.size) return undefined;
    for (let at = offset; at < this.size; at = (Math.floor(at / PAGE) + 1) * PAGE) {
      if (this.#pages.has(Math.floor(at / PAGE)) === (kind === 'data')) return at;
    }
    return kind === 'data' ? undefined : this.size;
  }

  flush(): void {
    if (this.#shapes.length === 0) return;
    this.#own();
    for (const index of this.#pending.keys()) {
      const page = this.#pages.get(index);
      if (page === undefined) this.#durable.delete(index);
      else this.#durable.set(index, page);
    }
    this.#durableShape = this.#shape(0);
    this.#pending.clear();
    this.#shapes = [];
  }

  /** Whether changes were made since the last flush. */
  get isDirty(): boolean {
    return this.#shapes.length > 0;
  }

  /** What the disk holds of it after a power cut. */
  cut(keep: Keep, random: Random): PowerFile {
    const { id, tear } = this;
    if (!this.isDirty) {
      this.#isShared = true;
      return PowerFile.of({ id, tear, pages: this.#durable, ...this.#durableShape });
    }
    const kept = keep.kind === 'changes' ? this.#someChanges(keep.share, random) : undefined;
    const shape = choose([this.#durableShape, ...this.#shapes], { keep, kept, random });
    const { size } = shape;
    const pages = new Map(this.#durable);
    for (const [index, versions] of this.#pending) {
      const all: Version[] = [{ change: 0, page: this.#durable.get(index) }, ...versions];
      const page = tear === PAGE ? choose(all, { keep, kept, random }).page : torn(all, { keep, kept, random });
      if (page === undefined) pages.delete(index);
      else pages.set(index, page);
    }
    for (const [index, page] of pages) {
      if (index * PAGE >= size) pages.delete(index);
      else if ((index + 1) * PAGE > size) pages.set(index, copyOf(page).fill(0, size - index * PAGE));
    }
    return PowerFile.of({ id, tear, pages, ...shape });
  }

  #shape(change: number): Shape {
    return { change, size: this.size, mtime: this.mtime, ctime: this.ctime };
  }

  #someChanges(share: number, random: Random): Set<number> {
    const kept = new Set<number>();
    for (const { change } of this.#shapes) if (random.below(1000) < share * 1000) kept.add(change);
    return kept;
  }

  #put(index: number, page: Page, change: number): void {
    this.#own();
    if (page === undefined) this.#pages.delete(index);
    else this.#pages.set(index, page);
    const versions = this.#pending.get(index);
    if (versions === undefined) this.#pending.set(index, [{ change, page }]);
    else versions.push({ change, page });
  }

  #own(): void {
    if (!this.#isShared) return;
    this.#isShared = false;
    this.#durable = new Map(this.#durable);
    this.#pages = new Map(this.#pages);
  }
}

interface Choice {
  readonly keep: Keep;
  readonly kept: ReadonlySet<number> | undefined;
  readonly random: Random;
}

/** One of the versions, the first of which is durable. */
function choose<T extends { readonly change: number }>(versions: readonly T[], choice: Choice): T {
  const { keep, kept, random } = choice;
  let at = 0;
  if (keep.kind === 'all') at = versions.length - 1;
  else if (keep.kind === 'units')
    at = random.below(1000) < keep.share * 1000 ? 1 + random.below(versions.length - 1) : 0;
  else if (keep.kind !== 'none')
    for (let i = 1; i < versions.length; i++) {
      const change = versions[i]?.change ?? 0;
      if (keep.kind === 'prefix' ? change <= keep.change : kept?.has(change)) at = i;
    }
  return versions[at] ?? (versions[0] as T);
}

/** Sectors of a page, each of a version of its own. */
function torn(versions: readonly Version[], choice: Choice): Page {
  if (choice.keep.kind === 'none' || choice.keep.kind === 'all' || versions.length === 1)
    return choose(versions, choice).page;
  const page = new Uint8Array(PAGE);
  for (let at = 0; at < PAGE; at += 512) {
    const from = choose(versions, choice).page;
    // The last change of all may have been under way.
    if (from !== undefined) page.set(from.subarray(at, at + 512), at);
  }
  return page;
}

function copyOf(page: Page): Uint8Array {
  return page === undefined ? new Uint8Array(PAGE) : new Uint8Array(page);
}
