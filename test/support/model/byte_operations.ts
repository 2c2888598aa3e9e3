/** Operations on bytes: write, read, truncate, holes, copies. */
import { closeSync, ftruncateSync, openSync, readSync, truncateSync, writeSync } from 'node:fs';
import {
  copyFileRange,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  fallocate,
  lseek,
  SEEK_DATA,
  SEEK_HOLE,
} from '../../../base/libc.ts';
import * as calls from '../test_calls.ts';
import type { TreeFile } from './tree.ts';
import type { World } from './world.ts';

const ENXIO = 6;

/** Calls `use` with a handle for reading and writing: one that is open, or one opened by name for this. */
function withHandle(world: World, use: (fd: number, file: TreeFile, what: string) => void): void {
  const open = world.chance(0.5) ? world.handle('rw') : undefined;
  if (open !== undefined) {
    use(open.fd, open.file, `handle ${open.fd} of file ${open.file.id}`);
    return;
  }
  const chosen = world.used();
  if (chosen === undefined) return;
  const [place, file] = chosen;
  const fd = openSync(world.path(place), 'r+');
  try {
    use(fd, file, `${world.path(place)} (file ${file.id})`);
  } finally {
    closeSync(fd);
  }
}

export function write(world: World): void {
  withHandle(world, (fd, file, what) => {
    const offset = world.offset(file.size);
    const data = world.bytes(world.length());
    world.note('write', `${data.length} bytes at ${offset} to ${what}`);
    world.same('bytes written', writeSync(fd, data, 0, data.length, offset), data.length);
    file.write(offset, data);
  });
}

export function writeOnly(world: World): void {
  const handle = world.handle('w', 'append');
  if (handle === undefined) return;
  const append = handle.mode === 'append';
  const offset = append ? handle.file.size : world.offset(handle.file.size);
  const data = world.bytes(world.length());
  world.note(append ? 'append' : 'write', `${data.length} bytes at ${offset} to file ${handle.file.id}`);
  world.same('bytes written', writeSync(handle.fd, data, 0, data.length, offset), data.length);
  handle.file.write(offset, data);
}

export function read(world: World): void {
  const open = world.chance(0.5) ? world.handle('r', 'rw') : undefined;
  const chosen = open === undefined ? world.used() : undefined;
  const file = open?.file ?? chosen?.[1];
  if (file === undefined) return;
  const whole = world.chance(0.2);
  const offset = whole ? 0 : world.offset(file.size);
  const into = new Uint8Array(whole ? file.size + 10 : world.length());
  world.note('read', `${into.length} bytes at ${offset} of file ${file.id}`);
  const fd = open?.fd ?? openSync(chosen === undefined ? '' : world.path(chosen[0]), 'r');
  try {
    if (world.chance(0.2)) calls.dropPages(fd);
    const length = readSync(fd, into, 0, into.length, offset);
    world.sameBytes('bytes read', into.subarray(0, length), file.read(offset, into.length));
  } finally {
    if (open === undefined) closeSync(fd);
  }
}

export function truncate(world: World): void {
  const open = world.chance(0.5) ? world.handle('w', 'rw', 'append') : undefined;
  const chosen = open === undefined ? world.used() : undefined;
  const file = open?.file ?? chosen?.[1];
  if (file === undefined) return;
  const size = world.chance(0.5) ? world.below(file.size + 1) : world.size();
  world.note('truncate', `file ${file.id} from ${file.size} to ${size}`);
  if (open !== undefined) ftruncateSync(open.fd, size);
  else if (chosen !== undefined) truncateSync(world.path(chosen[0]), size);
  file.resize(size);
}

export function punch(world: World): void {
  withHandle(world, (fd, file, what) => {
    const offset = world.offset(file.size);
    const length = world.length();
    world.note('punch', `${length} bytes at ${offset} of ${what}`);
    world.same('punch', fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, { offset, length }), 0);
    file.zero(offset, length);
  });
}

export function zero(world: World): void {
  withHandle(world, (fd, file, what) => {
    const offset = world.offset(file.size);
    const length = world.length();
    const keep = world.chance(0.5);
    world.note('zero', `${length} bytes at ${offset} of ${what}${keep ? ' KEEP_SIZE' : ''}`);
    world.same('zero', fallocate(fd, FALLOC_ZERO_RANGE | (keep ? FALLOC_KEEP_SIZE : 0), { offset, length }), 0);
    file.zero(offset, length);
    if (!keep && offset + length > file.size) file.resize(offset + length);
  });
}

export function allocate(world: World): void {
  withHandle(world, (fd, file, what) => {
    const offset = world.offset(file.size);
    const length = world.length();
    const keep = world.chance(0.5);
    world.note('allocate', `${length} bytes at ${offset} of ${what}${keep ? ' KEEP_SIZE' : ''}`);
    world.same('allocate', fallocate(fd, keep ? FALLOC_KEEP_SIZE : 0, { offset, length }), 0);
    if (!keep && offset + length > file.size) file.resize(offset + length);
  });
}

export function copy(world: World): void {
  withHandle(world, (to, target, what) => {
    const chosen = world.used();
    if (chosen === undefined) return;
    const [place, source] = chosen;
    const whole = world.chance(0.3);
    const offset = whole ? 0 : world.below(source.size + 1);
    const length = whole ? source.size : world.length();
    const at = whole ? 0 : world.offset(target.size);
    const available = Math.max(0, Math.min(length, source.size - offset));
    // Overlapping ranges of one file are refused, and how far depends on the length asked for: left out.
    if (source === target && at < offset + length && offset < at + length) return;
    world.note('copy', `${length} bytes at ${offset} of ${world.path(place)} (file ${source.id}) to ${at} of ${what}`);
    const from = openSync(world.path(place), 'r');
    try {
      let done = 0;
      while (done < available) {
        const step = copyFileRange({ fd: from, offset: offset + done }, { fd: to, offset: at + done }, length - done);
        if (step <= 0) world.same('bytes copied', step, available - done);
        done += step;
      }
      world.same('bytes copied', done, available);
    } finally {
      closeSync(from);
    }
    target.write(at, source.read(offset, available).slice());
  });
}

/** What SEEK_DATA leaves out must be zeros in the model. */
export function seek(world: World): void {
  withHandle(world, (fd, file, what) => {
    if (world.handles.some((handle) => handle.file === file && handle.mapping?.dirty)) return;
    world.note('seek', `through ${what}`);
    let at = 0;
    while (at < file.size) {
      const data = lseek(fd, at, SEEK_DATA);
      if (data < 0) world.same('SEEK_DATA', data, -ENXIO);
      const end = data < 0 ? file.size : data;
      if (file.read(at, end - at).some((byte) => byte !== 0)) {
        world.same(`SEEK_DATA from ${at}`, `a hole up to ${end}`, 'data in between');
      }
      if (data < 0) return;
      at = lseek(fd, data, SEEK_HOLE);
      world.same('SEEK_HOLE lies behind the data', at > data && at <= file.size, true);
    }
  });
}
