/**
 * Whether a state that the power may leave behind is right: it is recovered, compared with what the model allows, and put
 * to work; fsck must find no damage in it.
 */
import { join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { isErrno } from '../../base/errno.ts';
import type { Ino } from '../../base/units.ts';
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import { LooseUser } from '../support/loose_user.ts';
import { type DatabaseImage, placeDatabases } from './power_databases.ts';
import type { PowerDisk } from './power_disk.ts';
import { capture, type PowerModel, type Promised, type Reader } from './power_model.ts';
import { openPowerStore } from './power_store.ts';

/** A state of the disk after a cut, and what had been promised when the power went. */
export interface PowerState {
  readonly number: number;
  /** The metadata lie in the folder `state` of the run's. */
  readonly disk: PowerDisk;
  readonly databases: DatabaseImage;
  readonly promised: Promised;
  readonly where: string;
}

export interface CheckOptions {
  readonly model: PowerModel;
  readonly folder: string;
  readonly packBuffer: Uint8Array;
  readonly bootId: string;
  readonly shiftMicros: number;
  /** Also write to it, and mount it again: takes as long as all the rest. */
  readonly thoroughly: boolean;
}

/** What is wrong with a state; empty when nothing is. */
export function checkState(state: PowerState, options: CheckOptions): string[] {
  const folder = join(options.folder, STATE_FOLDER);
  let loose: LooseFilesystem | undefined;
  try {
    placeDatabases(state.databases, join(folder, 'meta'));
    const { bootId, shiftMicros, packBuffer } = options;
    const { disk } = state;
    loose = openPowerStore({ disk, folder, volumesFolder: options.folder, bootId, shiftMicros, packBuffer });
    const found = capture(loose, { what: 'recovered', lsn: loose.foundLsn });
    const read = readerOf(loose);
    const wrong = options.model.differences(found, { promised: state.promised, read });
    if (wrong.length > 0) return [...wrong, ...logOf(loose)];
    if (options.thoroughly) return worksOn(loose, options);
    loose.stop();
    return loose.damage();
  } catch (thrown) {
    return [thrown instanceof Error ? `${thrown.message}\n${thrown.stack ?? ''}` : String(thrown)];
  } finally {
    try {
      loose?.kill();
    } catch {
      // Closed already.
    }
  }
}

/** What recovery said, for whoever looks into it. */
function logOf(loose: LooseFilesystem): string[] {
  return loose.log.lines.map(({ level, fields, message }) => `${level} ${message} ${JSON.stringify(fields)}`);
}

export const STATE_FOLDER = 'state';

export function readerOf(loose: LooseFilesystem): Reader {
  const user = new LooseUser(() => loose.filesystem);
  return (ino) => user.readInode(ino);
}

/** A file is made, fsynced and found again behind another power cut; nothing else changes meanwhile, packed or not. */
function worksOn(loose: LooseFilesystem, options: CheckOptions): string[] {
  const user = new LooseUser(() => loose.filesystem);
  const before = contentsOf(loose);
  const ino = user.put('after', 'the power is back');
  const answer = user.fsync(ino);
  for (let round = 0; round < 100 && answer.outcome() === 'waiting'; round++) {
    loose.tick();
    loose.work();
  }
  assert(answer.outcome() === undefined, `fsync after recovery: ${String(answer.outcome())}`);
  const synced = loose.sync();
  assert(!isErrno(synced), 'sync after recovery fails');
  loose.stop();
  const damage = loose.damage();
  if (damage.length > 0) return damage;
  loose.bootId = `${options.bootId}-again`;
  loose.open();
  const after = contentsOf(loose);
  const wrong = [...before].filter(([number, text]) => after.get(number) !== text).map(([number]) => `inode ${number}`);
  if (user.text('after') !== 'the power is back') wrong.push('what was fsynced after recovery');
  loose.stop();
  return wrong.length === 0 ? [] : [`Changed by recovery and a remount: ${wrong.join(', ')}`];
}

/** Each file's bytes, as text that tells them apart. */
function contentsOf(loose: LooseFilesystem): Map<Ino, string> {
  const read = readerOf(loose);
  const found = new Map<Ino, string>();
  const { entries } = capture(loose, { what: 'contents' });
  for (const [ino, { isFile }] of entries) {
    const bytes = isFile ? read(ino) : 0;
    if (isFile) found.set(ino, typeof bytes === 'number' ? `errno ${bytes}` : Buffer.from(bytes).toString('latin1'));
  }
  return found;
}
