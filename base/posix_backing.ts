/** The backing interface over this machine's filesystems. */
import fs from 'node:fs';
import type { Backing, BackingFile, BackingOpen, BackingSpace, BackingStat, ByteRange } from './backing.ts';
import { getI64, getU53, setI64, viewOf } from './bytes.ts';
import { E, errnoFromThrown, errnoOf, type Result } from './errno.ts';
import * as libc from './libc.ts';
import type { Timespec } from './time.ts';

/** Linux's O_DIRECT (0o40000 on x86-64; Node knows the platform's own). */
const O_DIRECT = fs.constants.O_DIRECT ?? 0o40000;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

export class PosixBacking implements Backing {
  open(path: string, options: BackingOpen = {}): Result<BackingFile> {
    let flags = options.write === true ? fs.constants.O_RDWR : fs.constants.O_RDONLY;
    if (options.create === true) flags |= fs.constants.O_CREAT | fs.constants.O_EXCL;
    if (options.direct === true) flags |= O_DIRECT;
    try {
      return new PosixFile(path, fs.openSync(path, flags, FILE_MODE));
    } catch (thrown) {
      return errnoOf(errnoFromThrown(thrown));
    }
  }

  unlink(path: string): number {
    return attempt(() => fs.unlinkSync(path));
  }

  rename(from: string, to: string): number {
    return attempt(() => fs.renameSync(from, to));
  }

  makeFolder(path: string): number {
    return attempt(() => void fs.mkdirSync(path, { recursive: true, mode: FOLDER_MODE }));
  }

  removeFolder(path: string): number {
    return attempt(() => fs.rmdirSync(path));
  }

  flushFolder(path: string): number {
    return attempt(() => {
      const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
      try {
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  list(path: string): Result<readonly string[]> {
    try {
      return fs.readdirSync(path);
    } catch (thrown) {
      return errnoOf(errnoFromThrown(thrown));
    }
  }

  stat(path: string): Result<BackingStat> {
    return statOf(path);
  }

  space(path: string): Result<BackingSpace> {
    try {
      const found = fs.statfsSync(path);
      return {
        total: found.blocks * found.bsize,
        free: found.bfree * found.bsize,
        available: found.bavail * found.bsize,
      };
    } catch (thrown) {
      return errnoOf(errnoFromThrown(thrown));
    }
  }

  copyRange(
    from: { readonly file: BackingFile; readonly offset: number },
    to: { readonly file: BackingFile; readonly offset: number },
    length: number,
  ): number {
    if (from.file instanceof PosixFile && to.file instanceof PosixFile) {
      return libc.copyFileRange(
        { fd: from.file.fd, offset: from.offset },
        { fd: to.file.fd, offset: to.offset },
        length,
      );
    }
    return -E.EXDEV.number;
  }
}

export class PosixFile implements BackingFile {
  readonly path: string;
  readonly fd: number;
  #open = true;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  read(into: Uint8Array, offset: number): number {
    return readDescriptor(this.fd, into, offset);
  }

  readNow(into: Uint8Array, offset: number): number {
    return libc.preadNow(this.fd, into, offset);
  }

  write(from: Uint8Array, offset: number): number {
    let done = 0;
    while (done < from.length) {
      const count = libc.pwrite(this.fd, done === 0 ? from : from.subarray(done), offset + done);
      if (count === -E.EINTR.number) continue;
      if (count < 0) return count;
      if (count === 0) return -E.EIO.number;
      done += count;
    }
    return done;
  }

  stat(): Result<BackingStat> {
    return statOf(this.fd);
  }

  truncate(size: number): number {
    return attempt(() => fs.ftruncateSync(this.fd, size));
  }

  setModified(mtime: Timespec): number {
    setI64(timesView, 16, mtime.sec);
    setI64(timesView, 24, mtime.nsec);
    return libc.futimens(this.fd, times);
  }

  allocate(mode: number, range: { readonly offset: number; readonly length: number }): number {
    return libc.fallocate(this.fd, mode, range);
  }

  seek(offset: number, kind: 'data' | 'hole'): number {
    return libc.lseek(this.fd, offset, kind === 'data' ? libc.SEEK_DATA : libc.SEEK_HOLE);
  }

  flush(): number {
    return libc.fdatasync(this.fd);
  }

  writeBack(range: ByteRange): number {
    return libc.syncFileRange(this.fd, range);
  }

  startWriteBack(range: ByteRange): number {
    return libc.startSyncFileRange(this.fd, range);
  }

  get descriptor(): number {
    return this.fd;
  }

  probeWriters(): number {
    return libc.probeWriters(this.fd);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    fs.closeSync(this.fd);
  }
}

/** As `BackingFile.read`, of a file that another thread has open. */
export function readDescriptor(fd: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const count = libc.pread(fd, done === 0 ? into : into.subarray(done), offset + done);
    if (count === -E.EINTR.number) continue;
    if (count < 0) return count;
    if (count === 0) break;
    done += count;
  }
  return done;
}

function attempt(act: () => void): number {
  try {
    act();
    return 0;
  } catch (thrown) {
    return -errnoFromThrown(thrown);
  }
}

/** Written and read within one call each. */
const found = new Uint8Array(libc.STATX_BYTES);
const foundView = viewOf(found);
const times = new Uint8Array(32);
const timesView = viewOf(times);
setI64(timesView, 8, libc.UTIME_OMIT);

/**
 * struct statx: mode u16 28, ino u64 32, size u64 40, blocks u64 48, ctime {sec i64, nsec u32} 96, mtime 112, device's
 * major u32 136, minor u32 140. Node's own stat gives no nanoseconds but as BigInt, at several times the cost.
 */
function statOf(file: number | string): Result<BackingStat> {
  const outcome = libc.statx(file, found);
  if (outcome < 0) return errnoOf(-outcome);
  return {
    ino: Number(foundView.getBigUint64(32, true)),
    device: foundView.getUint32(136, true) * 2 ** 32 + foundView.getUint32(140, true),
    size: getU53(foundView, 40),
    blocks: getU53(foundView, 48),
    isDirectory: (foundView.getUint16(28, true) & S_IFMT) === S_IFDIR,
    mtime: { sec: getI64(foundView, 112), nsec: foundView.getUint32(120, true) },
    ctime: { sec: getI64(foundView, 96), nsec: foundView.getUint32(104, true) },
  };
}
