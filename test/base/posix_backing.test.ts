import { mkdtempSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { E } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { timespecFromNs } from '../../base/time.ts';
import { value } from '../support/loose_filesystem.ts';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'pacsfs-backing-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

test('a stat is what the host says, to the nanosecond', () => {
  const path = join(folder(), 'f');
  const backing = new PosixBacking();
  const file = value(backing.open(path, { write: true, create: true }));
  file.write(new Uint8Array(10_000), 2 ** 32);
  const host = statSync(path, { bigint: true });
  const expected = {
    ino: Number(host.ino),
    size: 2 ** 32 + 10_000,
    blocks: Number(host.blocks),
    isDirectory: false,
    mtime: timespecFromNs(host.mtimeNs),
    ctime: timespecFromNs(host.ctimeNs),
  };
  expect(value(file.stat())).toMatchObject(expected);
  expect(value(backing.stat(path))).toEqual(value(file.stat()));
  file.close();
});

test('of a folder, of what is not there, of one device and another', () => {
  const path = folder();
  const backing = new PosixBacking();
  expect(value(backing.stat(path)).isDirectory).toBe(true);
  expect(backing.stat(join(path, 'no'))).toBe(E.ENOENT);
  expect(value(backing.stat('/proc')).device).not.toBe(value(backing.stat(path)).device);
});

test('a time of change is set to the nanosecond, before 1970 too, and nothing else', () => {
  const path = join(folder(), 'f');
  const file = value(new PosixBacking().open(path, { write: true, create: true }));
  utimesSync(path, 1_000, 2_000);
  for (const mtime of [
    { sec: 1_700_000_000, nsec: 123_456_789 },
    { sec: -7, nsec: 999_999_999 },
  ]) {
    expect(file.setModified(mtime)).toBe(0);
    expect(value(file.stat()).mtime).toEqual(mtime);
    expect(statSync(path).atimeMs).toBe(1_000_000);
  }
  file.close();
});
