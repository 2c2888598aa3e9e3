/**
 * Error numbers of Linux, the only place they stand in.
 *
 * Two conventions for outcomes that are expected to fail now and then, neither of which throws (a throw costs
 * microseconds):
 * - `Result<T>`: a value or an interned `Errno` object; test with `isErrno`.
 * - byte counts: a number, negative for `-errno`, as the system calls of the kernel itself do.
 */
import { constants } from 'node:os';

const NUMBERS = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EPROTO: 71,
  EOVERFLOW: 75,
  EUCLEAN: 117,
  EOPNOTSUPP: 95,
  ENOTCONN: 107,
  ESTALE: 116,
  EDQUOT: 122,
} as const;

export type ErrnoName = keyof typeof NUMBERS;

/** One error number of the system; instances are interned, so that they compare by identity. */
export class Errno {
  readonly name: ErrnoName | 'EUNKNOWN';
  /** The positive number, as in `errno(3)`. */
  readonly number: number;

  constructor(name: ErrnoName | 'EUNKNOWN', number: number) {
    this.name = name;
    this.number = number;
  }
}

export type Result<T> = T | Errno;

const byNumber = new Map<number, Errno>();
const table = Object.fromEntries(
  Object.entries(NUMBERS).map(([name, number]) => {
    const errno = new Errno(name as ErrnoName, number);
    byNumber.set(number, errno);
    return [name, errno];
  }),
) as Record<ErrnoName, Errno>;

/** `E.ENOENT` and its like: the interned objects by name. */
export const E: Readonly<Record<ErrnoName, Errno>> = Object.freeze(table);

export function isErrno(value: unknown): value is Errno {
  return value instanceof Errno;
}

/** The interned object of a positive error number; unknown numbers get an object of their own. */
export function errnoOf(number: number): Errno {
  return byNumber.get(number) ?? new Errno('EUNKNOWN', number);
}

/** The positive error number in what `node:fs` threw, or EIO when it threw something else. */
export function errnoFromThrown(thrown: unknown): number {
  if (thrown instanceof Error && 'errno' in thrown && typeof thrown.errno === 'number') return Math.abs(thrown.errno);
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') {
    return (constants.errno as Record<string, number>)[thrown.code] ?? NUMBERS.EIO;
  }
  return NUMBERS.EIO;
}
