/**
 * What a store may hold after a power cut. The model has a snapshot of all names and attributes after each step of a
 * workload, and every version of every file's contents; `differences` says in what a recovered store differs from all that
 * it may be:
 *
 * - names, attributes and packed contents are those of one snapshot, which contains all that was promised to be durable;
 * - a file that this snapshot has in an own file has a size, and in each page bytes, of some version since the last one
 *   that was promised (or packed, or put in another file's place by a rename). Its times are its own.
 */
import { isErrno } from '../../base/errno.ts';
import type { Timespec } from '../../base/time.ts';
import { type Ino, type Lsn, ROOT_INO } from '../../base/units.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../fs/core.ts';
import type { Inode } from '../../shard/rows.ts';
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import { PAGE } from './power_file.ts';

export interface Entry {
  readonly isFile: boolean;
  /** Its bytes are in an own file: size, times and contents are what that says. */
  readonly isOwn: boolean;
  /** Attributes that always count. */
  readonly attributes: string;
  /** Size and times. */
  readonly shape: string;
  /** Of its contents: the newest one, and the oldest that may be found while it is in an own file. */
  readonly version: number;
  readonly floor: number;
}

export interface Snapshot {
  readonly lsn: Lsn;
  readonly what: string;
  readonly names: ReadonlyMap<string, Ino>;
  readonly entries: ReadonlyMap<Ino, Entry>;
}

/** All versions of one file's contents. */
export interface Contents {
  readonly versions: Uint8Array[];
  /** The last that was promised to be durable, and the last that was packed or put in another's place by a rename. */
  promised: number;
  floor: number;
}

/** What was promised when the power was cut. */
export interface Promised {
  readonly lsn: Lsn;
  readonly versions: ReadonlyMap<Ino, number>;
}

export class PowerModel {
  readonly snapshots: Snapshot[] = [];
  readonly contents = new Map<Ino, Contents>();
  #promisedLsn = 0 as Lsn;

  /** The file has this contents from now on. */
  wrote(ino: Ino, bytes: Uint8Array): void {
    const found = this.contents.get(ino);
    if (found === undefined) this.contents.set(ino, { versions: [bytes], promised: 0, floor: 0 });
    else found.versions.push(bytes);
  }

  newest(ino: Ino): Uint8Array {
    return this.contents.get(ino)?.versions.at(-1) ?? new Uint8Array(0);
  }

  version(ino: Ino): number {
    return (this.contents.get(ino)?.versions.length ?? 1) - 1;
  }

  /** Where the row of the present moment holds the file has at least its present contents. */
  raiseFloor(ino: Ino): void {
    const found = this.contents.get(ino);
    if (found !== undefined) found.floor = found.versions.length - 1;
  }

  promise(lsn: Lsn, versions: Iterable<readonly [Ino, number]>): void {
    this.#promisedLsn = Math.max(this.#promisedLsn, lsn) as Lsn;
    for (const [ino, version] of versions) {
      const found = this.contents.get(ino);
      if (found !== undefined) found.promised = Math.max(found.promised, version);
    }
  }

  promised(): Promised {
    return {
      lsn: this.#promisedLsn,
      versions: new Map([...this.contents].map(([ino, { promised }]) => [ino, promised])),
    };
  }

  /** A step is over. */
  snapshot(what: string, loose: LooseFilesystem): Snapshot {
    const made = capture(loose, { what, model: this });
    this.snapshots.push(made);
    return made;
  }

  /** In what a recovered store differs from all that it may be; empty when it is right. */
  differences(found: Snapshot, options: { readonly promised: Promised; readonly read: Reader }): string[] {
    const { promised } = options;
    if (found.lsn < promised.lsn) return [`recovered up to record ${found.lsn}, promised ${promised.lsn}`];
    const before = this.snapshots.findLastIndex(({ lsn }) => lsn <= found.lsn);
    const first = this.snapshots[before];
    const second = first?.lsn === found.lsn ? first : this.snapshots[before + 1];
    if (first === undefined || second === undefined) return [`recovered record ${found.lsn}, which was never made`];
    const named = sameNames(found, first) ? [first, second] : sameNames(found, second) ? [second, first] : undefined;
    const [at, other] = named ?? [];
    if (at === undefined || other === undefined)
      return [`names differ: ${namesDifference(found, first)} (${second.what})`];
    const all: string[] = [];
    for (const [path, ino] of found.names) {
      const entry = found.entries.get(ino);
      const expected = [at.entries.get(ino), other.entries.get(ino)].filter((one) => one !== undefined);
      if (entry === undefined) continue;
      // A step may make several records, one of which has been the last.
      const attributes = expected.map((one) => attributesDifference(entry, one));
      const contents = expected.map((one) => this.#contentsDifference({ ino, entry, expected: one }, options));
      for (const reasons of [attributes, contents]) {
        const moment = `record ${found.lsn}: ${at.lsn} ${at.what}, ${other.lsn} ${other.what}`;
        if (!reasons.includes('')) all.push(`${path} (${ino}): ${reasons[0]} [${moment}]`);
      }
    }
    return all;
  }

  #contentsDifference(
    at: { readonly ino: Ino; readonly entry: Entry; readonly expected: Entry },
    options: { readonly promised: Promised; readonly read: Reader },
  ): string {
    const { ino, entry, expected } = at;
    if (!expected.isOwn && entry.shape !== expected.shape) return `${entry.shape}, expected ${expected.shape}`;
    if (!expected.isFile) return '';
    const bytes = options.read(ino);
    if (typeof bytes === 'number') return `read gives errno ${-bytes}`;
    const versions = this.contents.get(ino)?.versions ?? [];
    if (!expected.isOwn) {
      const wanted = versions[expected.version];
      return wanted !== undefined && Buffer.compare(bytes, wanted) === 0 ? '' : `packed contents differ`;
    }
    const floor = Math.max(expected.floor, options.promised.versions.get(ino) ?? 0);
    const wrong = ownDifference(bytes, versions.slice(floor));
    return wrong === ''
      ? ''
      : `${wrong}; versions ${versions.map((one) => one.length)}, promised ${options.promised.versions.get(ino)}, floor ${expected.floor}, ${expected.shape}`;
  }
}

function attributesDifference(entry: Entry, expected: Entry): string {
  return entry.attributes === expected.attributes ? '' : `${entry.attributes}, expected ${expected.attributes}`;
}

export type Reader = (ino: Ino) => Uint8Array | number;

/** Names and attributes of a store as they are now. */
export function capture(
  loose: LooseFilesystem,
  options: { readonly what: string; readonly model?: PowerModel; readonly lsn?: Lsn },
): Snapshot {
  const { namespace } = loose;
  const names = new Map<string, Ino>();
  const entries = new Map<Ino, Entry>();
  const visit = (path: string, ino: Ino): void => {
    names.set(path, ino);
    const inode = namespace.readInode(ino);
    if (isErrno(inode)) {
      entries.set(ino, { ...NO_ENTRY, attributes: inode.name });
      return;
    }
    if (!entries.has(ino)) entries.set(ino, entryOf(loose, inode, options.model));
    if ((inode.mode & S_IFMT) !== S_IFDIR) return;
    const dentries = namespace.readList(inode, 2, 10_000);
    if (isErrno(dentries)) names.set(`${path}/?`, ino);
    else for (const dentry of dentries) visit(`${path}/${Buffer.from(dentry.name).toString()}`, dentry.ino);
  };
  visit('', ROOT_INO);
  return { lsn: options.lsn ?? namespace.lsn, what: options.what, names, entries };
}

const NO_ENTRY: Entry = { isFile: false, isOwn: false, attributes: '', shape: '', version: 0, floor: 0 };

function entryOf(loose: LooseFilesystem, inode: Inode, model: PowerModel | undefined): Entry {
  const { namespace } = loose;
  const { ino, mode, uid, gid, rdev, generation, atime, btime } = inode;
  const isDirectory = (mode & S_IFMT) === S_IFDIR;
  const totals = isDirectory ? namespace.totals(inode) : undefined;
  const xattrs = namespace.xattrNames(ino).map((name) => {
    const found = namespace.readXattr(ino, name);
    return `${Buffer.from(name)}=${isErrno(found) ? found.name : Buffer.from(found)}`;
  });
  const target = (mode & S_IFMT) === S_IFLNK ? namespace.readSymlink(ino) : undefined;
  const link = isErrno(target) ? target.name : Buffer.from(target ?? []).toString();
  const nlink = totals === undefined ? inode.nlink : 2 + totals.directories;
  const attributes = [
    mode.toString(8),
    uid,
    gid,
    nlink,
    rdev,
    generation,
    text(atime),
    text(btime),
    xattrs.join(),
    link,
  ];
  const { size, mtime, ctime } = totals === undefined ? inode : { ...totals, size: totals.entries };
  const isOwn = inode.layout === 'own';
  const contents = model?.contents.get(ino);
  // What is packed is in every later own file too: it is the copy that holds until that one is durable.
  if (!isOwn && contents !== undefined) contents.floor = contents.versions.length - 1;
  return {
    isFile: (mode & S_IFMT) === S_IFREG,
    isOwn,
    attributes: attributes.join(' '),
    shape: `${size} bytes, mtime ${text(mtime)}, ctime ${text(ctime)}`,
    version: (contents?.versions.length ?? 1) - 1,
    floor: contents?.floor ?? 0,
  };
}

/** In what an own file's bytes are of none of the versions; '' when size and each page are of one. */
function ownDifference(bytes: Uint8Array, versions: readonly Uint8Array[]): string {
  if (!versions.some((version) => version.length === bytes.length))
    return `own file has ${bytes.length} bytes, expected one of ${versions.map((version) => version.length)}`;
  for (let at = 0; at < bytes.length; at += PAGE) {
    const end = Math.min(at + PAGE, bytes.length);
    const page = bytes.subarray(at, end);
    if (!versions.some((version) => isPage(page, version.subarray(at, end)))) return `own file's page at ${at} differs`;
  }
  return '';
}

/** Whether a page is that of a version, which goes on in zeros behind its end. */
function isPage(page: Uint8Array, version: Uint8Array): boolean {
  if (Buffer.compare(page.subarray(0, version.length), version) !== 0) return false;
  for (let at = version.length; at < page.length; at++) if (page[at] !== 0) return false;
  return true;
}

function sameNames(a: Snapshot, b: Snapshot): boolean {
  if (a.names.size !== b.names.size) return false;
  for (const [path, ino] of a.names) if (b.names.get(path) !== ino) return false;
  return true;
}

function namesDifference(found: Snapshot, expected: Snapshot): string {
  const extra = [...found.names].filter(([path, ino]) => expected.names.get(path) !== ino);
  const missing = [...expected.names].filter(([path, ino]) => found.names.get(path) !== ino);
  return `too many ${extra.join(' ') || 'none'}, missing ${missing.join(' ') || 'none'}; record ${found.lsn}, ${expected.lsn} ${expected.what}`;
}

function text({ sec, nsec }: Timespec): string {
  return `${sec}.${String(nsec).padStart(9, '0')}`;
}
