/** The backing interface over this machine's filesystems. */
import fs from 'node:fs';
import type { Backing, BackingFile, BackingOpen, BackingSpace, BackingStat } from './backing.ts';
import { E, errnoFromThrown, errnoOf, type Result } from './errno.ts';
import * as libc from './libc.ts';
import { timespecFromMs } from './time.ts';

/** Linux's O_DIRECT (0o40000 on x86-64; Node knows the platform's own). */
const O_DIRECT = fs.constants.O_DIRECT ?? 0o40000;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

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
    const found = fs.statSync(path, { throwIfNoEntry: false });
    return found === undefined ? E.ENOENT : toStat(found);
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
    let done = 0;
    while (done < into.length) {
      const count = libc.pread(this.fd, done === 0 ? into : into.subarray(done), offset + done);
      if (count === -E.EINTR.number) continue;
      if (count < 0) return count;
      if (count === 0) break;
      done += count;
    }
    return done;
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
    try {
      return toStat(fs.fstatSync(this.fd));
    } catch (thrown) {
      return errnoOf(errnoFromThrown(thrown));
    }
  }

  truncate(size: number): number {
    return attempt(() => fs.ftruncateSync(this.fd, size));
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

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    fs.closeSync(this.fd);
  }
}

function attempt(act: () => void): number {
  try {
    act();
    return 0;
  } catch (thrown) {
    return -errnoFromThrown(thrown);
  }
}

function toStat(found: fs.Stats): BackingStat {
  return {
    ino: found.ino,
    device: found.dev,
    size: found.size,
    blocks: found.blocks,
    isDirectory: found.isDirectory(),
    mtime: timespecFromMs(found.mtimeMs),
  };
}
