/**
 * The identity file of a volume's directory, `pacsfs-volume.json`: which store, volume, disk and position it is. A
 * directory without the right one counts as missing, never as empty: an unmounted disk leaves an empty mount point.
 *
 * Format 1, in docs/formats/volume.md: {"format":1,"store":UUID,"volume":NAME,"volumeId":N,"disk":UUID,"position":N}
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Backing } from '../base/backing.ts';
import { E, errnoOf, isErrno, type Result } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';

export const IDENTITY_FILE = 'pacsfs-volume.json';
const IDENTITY_BYTES_MAX = 4096;

export interface Identity {
  readonly format: 1;
  readonly store: string;
  readonly volume: string;
  readonly volumeId: number;
  readonly disk: string;
  readonly position: number;
}

/** ENOENT without one, EUCLEAN when what is there is no identity of a format known here. */
export function readIdentity(backing: Backing, directory: string): Result<Identity> {
  const file = backing.open(join(directory, IDENTITY_FILE));
  if (isErrno(file)) return file;
  const bytes = new Uint8Array(IDENTITY_BYTES_MAX);
  const count = file.read(bytes, 0);
  file.close();
  if (count < 0) return errnoOf(-count);
  return parseIdentity(bytes.subarray(0, count));
}

export function parseIdentity(bytes: Uint8Array): Result<Identity> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return E.EUCLEAN;
  }
  return isIdentity(value) ? value : E.EUCLEAN;
}

/** By hand: every thread that touches volumes would have to load a schema library for these six fields. */
function isIdentity(value: unknown): value is Identity {
  if (typeof value !== 'object' || value === null) return false;
  const { format, store, volume, volumeId, disk, position } = value as Record<keyof Identity, unknown>;
  const areTexts = typeof store === 'string' && typeof volume === 'string' && typeof disk === 'string';
  return format === 1 && areTexts && isCount(volumeId) && volumeId >= 1 && isCount(position);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Why the directory at `position` of the volume must not be used, or undefined when it is the right one. */
export function identityComplaint(
  identity: Identity,
  expected: { readonly storeId: string; readonly volume: VolumeRow; readonly position: number },
): string | undefined {
  const { storeId, volume, position } = expected;
  if (identity.store !== storeId) return `it belongs to store ${identity.store}, expected ${storeId}`;
  if (identity.volumeId !== volume.id) return `it is volume ${identity.volumeId}, expected ${volume.id}`;
  if (identity.position !== position) return `it is directory ${identity.position}, expected ${position}`;
  return undefined;
}

/**
 * Makes the directories of a new volume and writes their identity files. EEXIST when one already has an identity: it may
 * hold another store's files. EOPNOTSUPP for `mirror`; EINVAL when an `ec` volume has fewer directories than cells.
 */
export function formatVolume(
  backing: Backing,
  volume: VolumeRow,
  options: { readonly storeId: string; readonly newDiskId?: () => string },
): Result<void> {
  if (volume.kind === 'mirror') return E.EOPNOTSUPP;
  const { dataCells, parityCells } = volume;
  const cells = volume.kind === 'ec' ? dataCells + parityCells : 1;
  if (volume.kind === 'ec' && (dataCells < 1 || parityCells < 1 || volume.paths.length < cells)) return E.EINVAL;
  const newDiskId = options.newDiskId ?? randomUUID;
  for (const [position, path] of volume.paths.entries()) {
    const made = backing.makeFolder(path);
    if (made < 0) return errnoOf(-made);
    if (!isErrno(backing.stat(join(path, IDENTITY_FILE)))) return E.EEXIST;
    const identity: Identity = {
      format: 1,
      store: options.storeId,
      volume: volume.name,
      volumeId: volume.id,
      disk: newDiskId(),
      position,
    };
    const written = writeIdentity(backing, path, identity);
    if (written < 0) return errnoOf(-written);
  }
  return undefined;
}

/** Bytes, then name, then folder: a torn identity never stands under its name. */
function writeIdentity(backing: Backing, directory: string, identity: Identity): number {
  const temporary = join(directory, `${IDENTITY_FILE}.new`);
  backing.unlink(temporary);
  const file = backing.open(temporary, { write: true, create: true });
  if (isErrno(file)) return -file.number;
  const written = file.write(new TextEncoder().encode(`${JSON.stringify(identity)}\n`), 0);
  const flushed = written < 0 ? written : file.flush();
  file.close();
  if (flushed < 0) return flushed;
  const renamed = backing.rename(temporary, join(directory, IDENTITY_FILE));
  return renamed < 0 ? renamed : backing.flushFolder(directory);
}
