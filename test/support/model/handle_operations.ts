/** Operations on handles: open, close, flush, and mappings. */
import { constants, fdatasyncSync, fstatSync, fsyncSync, openSync } from 'node:fs';
import * as calls from '../test_calls.ts';
import type { Handle, World } from './world.ts';

const MOST_HANDLES = 8;
const FLAGS: Readonly<Record<Handle['mode'], number>> = {
  r: constants.O_RDONLY,
  w: constants.O_WRONLY,
  rw: constants.O_RDWR,
  append: constants.O_WRONLY | constants.O_APPEND,
};

export function open(world: World): void {
  const chosen = world.used();
  if (chosen === undefined) return;
  const [place, file] = chosen;
  const mode = world.one(['r', 'w', 'rw', 'rw', 'append'] as const);
  const truncate = mode !== 'r' && world.chance(0.1);
  world.note('open', `${world.path(place)} for ${mode}${truncate ? ' with O_TRUNC' : ''}`);
  if (world.handles.length >= MOST_HANDLES) world.close(world.one(world.handles));
  const fd = openSync(world.path(place), FLAGS[mode] | (truncate ? constants.O_TRUNC : 0));
  if (truncate) file.resize(0);
  world.handles.push({ fd, file, mode, mapping: undefined });
}

export function close(world: World): void {
  const handle = world.handle();
  if (handle === undefined) return;
  world.note('close', `handle ${handle.fd} of file ${handle.file.id}`);
  world.close(handle);
}

export function flush(world: World): void {
  const handle = world.handle();
  if (handle === undefined) return;
  world.note('fsync', `handle ${handle.fd} of file ${handle.file.id}`);
  if (world.chance(0.5)) fsyncSync(handle.fd);
  else fdatasyncSync(handle.fd);
}

export function statHandle(world: World): void {
  const handle = world.handle();
  if (handle === undefined) return;
  world.note('fstat', `handle ${handle.fd} of file ${handle.file.id}`);
  const found = fstatSync(handle.fd);
  world.same('size', found.size, handle.file.size);
  world.same('links', found.nlink, handle.file.links);
}

export function forgetPages(world: World): void {
  const handle = world.handle();
  if (handle === undefined) return;
  world.note('fadvise', `DONTNEED on handle ${handle.fd} of file ${handle.file.id}`);
  calls.dropPages(handle.fd);
}

/** Maps a file, or stores to and loads from a mapping there is. */
export function map(world: World): void {
  const handle = world.handle('rw');
  if (handle === undefined || handle.file.size === 0) return;
  if (handle.mapping === undefined) {
    const length = handle.file.size;
    world.note('mmap', `${length} bytes of handle ${handle.fd} of file ${handle.file.id}`);
    const address = calls.mapShared(handle.fd, length);
    world.same('mmap', address > 0, true);
    handle.mapping = { address, length, dirty: false };
    return;
  }
  const { address, length } = handle.mapping;
  // A page behind the end of the file would raise SIGBUS.
  const reach = Math.min(length, handle.file.size);
  const offset = world.below(reach);
  const amount = Math.min(world.length(), reach - offset);
  if (world.chance(0.5)) {
    world.note('store', `${amount} bytes at ${offset} of file ${handle.file.id}`);
    const data = world.bytes(amount);
    calls.store(address + offset, data);
    handle.file.write(offset, data);
    handle.mapping.dirty = true;
  } else {
    world.note('load', `${amount} bytes at ${offset} of file ${handle.file.id}`);
    const found = new Uint8Array(amount);
    calls.load(address + offset, found);
    world.sameBytes('mapped bytes', found, handle.file.read(offset, amount));
  }
}

export function unmap(world: World): void {
  const handle = world.handles.find((candidate) => candidate.mapping !== undefined);
  if (handle?.mapping === undefined) return;
  const { address, length } = handle.mapping;
  world.note('munmap', `of file ${handle.file.id}`);
  if (world.chance(0.5)) world.same('msync', calls.syncMapping(address, length), 0);
  world.same('munmap', calls.unmap(address, length), 0);
  handle.mapping = undefined;
}
