/** Operations that answer every request with the same made-up values and write down how they were called. */
import { E, type Result } from '../../../base/errno.ts';
import type { Ino } from '../../../base/units.ts';
import {
  type Attributes,
  type Caller,
  type Entry,
  FOPEN_CACHE_DIR,
  FOPEN_KEEP_CACHE,
  type ListedEntry,
  type Operations,
} from '../../../fs/types.ts';

export type Call = readonly unknown[];

export const HANDLE = 0x1fedcba987654;

export const ATTRIBUTES: Attributes = {
  ino: 0x123456789ab as Ino,
  size: 0x1122334455,
  blocks: 77,
  atime: { sec: -5, nsec: 500_000_000 },
  mtime: { sec: 1_700_000_000, nsec: 123_456_789 },
  ctime: { sec: 1_700_000_001, nsec: 1 },
  btime: { sec: 1_600_000_000, nsec: 999_999_999 },
  mode: 0o100640,
  nlink: 3,
  uid: 1001,
  gid: 1002,
  rdev: 0x12345678,
};
const ENTRY: Entry = { attributes: ATTRIBUTES, validSec: 3600.5, entryValidSec: 10, generation: 42 };
const DONE = () => undefined;

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** As the golden file has them: bytes as text, callers as uid:gid:pid. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (typeof value !== 'object' || value === null) return value;
  if ('pid' in value) {
    const { uid, gid, pid } = value as Caller;
    return `${uid}:${gid}:${pid}`;
  }
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}

export function recordingOperations(calls: Call[], replaced: Partial<Operations> = {}): Operations {
  const opened = { handle: HANDLE, openFlags: FOPEN_KEEP_CACHE };
  const answers: Operations = {
    lookup: (_caller, _parent, name): Result<Entry> => (plain(name) === 'missing' ? E.ENOENT : ENTRY),
    forget: DONE,
    getAttributes: () => ENTRY,
    setAttributes: () => ENTRY,
    readLink: () => bytes('../series/1'),
    makeNode: () => ENTRY,
    makeDirectory: () => ENTRY,
    makeSymlink: () => ENTRY,
    makeLink: () => ENTRY,
    unlink: DONE,
    removeDirectory: () => E.ENOTEMPTY,
    rename: DONE,
    open: () => opened,
    create: () => ({ entry: ENTRY, open: opened }),
    createUnnamed: () => ({ entry: ENTRY, open: opened }),
    read: (_request, into) => {
      into.set(bytes('pixels').subarray(0, into.length));
      return Math.min(6, into.length);
    },
    write: (_request, from) => from.length,
    release: DONE,
    flushFile: DONE,
    flushDirectory: DONE,
    openDirectory: () => ({ handle: HANDLE, openFlags: FOPEN_CACHE_DIR }),
    releaseDirectory: DONE,
    listDirectory: (request, take) => {
      const listed = (name: string, rest: Omit<ListedEntry, 'name'>): boolean => take({ name: bytes(name), ...rest });
      const entry = request.plus ? ENTRY : undefined;
      const file = { ino: ATTRIBUTES.ino, type: 8, entry };
      listed('.', { ino: request.ino, type: 4, cookie: 1, entry: undefined }) &&
        listed('..', { ino: 1 as Ino, type: 4, cookie: 2, entry: undefined }) &&
        listed('CT.00001', { ...file, cookie: 0x1fffffffffff10 }) &&
        listed('name', { ...file, cookie: 0x1fffffffffff20 });
      return undefined;
    },
    statistics: () => ({
      blockSize: 4096,
      blocks: 1_000_000_000_000,
      blocksFree: 900,
      blocksAvailable: 800,
      files: 700,
      filesFree: 600,
      nameMax: 255,
    }),
    setXattr: DONE,
    getXattr: () => bytes('value'),
    listXattrs: () => bytes('user.a\0user.b\0'),
    removeXattr: DONE,
    allocate: DONE,
    seek: () => 0x2234567890,
    copyRange: (_from, _to, options) => Math.min(4096, options.length),
    ...replaced,
  };
  return recorded(answers, calls);
}

function recorded(answers: Operations, calls: Call[]): Operations {
  const wrap = ([name, answer]: [string, (...given: unknown[]) => unknown]) => [
    name,
    (...given: unknown[]) => {
      // Where a read goes to and what takes a listing's entries are the binding's own: only the length matters.
      // So are the loan of a write's bytes and the ticket of a read.
      const passed = name === 'write' || name === 'read' ? given.slice(0, 2) : given;
      const seen = passed.filter((argument) => typeof argument !== 'function');
      const last = seen.at(-1);
      calls.push([name, ...(name === 'read' ? [...seen.slice(0, -1), (last as Uint8Array).length] : seen).map(plain)]);
      return answer(...given);
    },
  ];
  return Object.fromEntries(Object.entries(answers).map(wrap)) as unknown as Operations;
}
