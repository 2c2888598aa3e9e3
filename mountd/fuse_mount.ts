/** The device and the mount of a supervisor: opening one, making and ending the other. */
import { constants, openSync, writeFileSync } from 'node:fs';
import { E, errnoFromThrown, errnoOf } from '../base/errno.ts';
import { MNT_DETACH, mount, umount2Later } from '../base/libc.ts';
import { Failure, failureOf } from './failure.ts';
import type { MountRequest } from './messages.ts';
import { FILESYSTEM_TYPE, type MountEntry, readMountTable } from './mount_table.ts';

const READ_AHEAD_KIB = 1024;

export function openFuse(): number {
  try {
    return openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const errno = errnoOf(errnoFromThrown(error));
    if (errno === E.ENOENT || errno === E.ENODEV || errno === E.ENXIO) {
      throw new Failure('Cannot mount: this system has no /dev/fuse; load the kernel module with `modprobe fuse`');
    }
    throw failureOf('open /dev/fuse', error);
  }
}

/** Its entry in the table of mounts, which tells it from others at the same place. */
export function mountFuse(request: MountRequest, fuseFd: number): MountEntry | undefined {
  const outcome = mount({
    source: request.store,
    target: request.mountPoint,
    type: FILESYSTEM_TYPE,
    flags: request.options.flags,
    data: `fd=${fuseFd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`,
  });
  if (outcome === 0) return readMountTable().findLast((entry) => entry.mountPoint === request.mountPoint);
  const errno = errnoOf(-outcome);
  const what = `Cannot mount ${request.mountPoint}`;
  if (errno === E.EPERM) throw new Failure(`${what}: no permission; mounting needs root (sudo)`);
  if (errno === E.ENODEV) throw new Failure(`${what}: the kernel does not know FUSE; load it with \`modprobe fuse\``);
  throw new Failure(`${what}: ${errno.name} (errno ${errno.number})`);
}

/**
 * Unmounts it, or detaches it while it is in use; a line for people when that is worth one. Does not block: whoever serves
 * the mount may have to write back pages of mappings first, and may have to be started for that.
 */
export async function unmountFuse(mounted: MountEntry): Promise<string | undefined> {
  // Somebody else may have unmounted it, and even mounted something else there since.
  const present = readMountTable().findLast((entry) => entry.mountPoint === mounted.mountPoint);
  if (present?.device !== mounted.device) return undefined;
  if ((await umount2Later(mounted.mountPoint, 0)) === 0) return undefined;
  const outcome = await umount2Later(mounted.mountPoint, MNT_DETACH);
  return outcome === 0
    ? `${mounted.mountPoint} is busy: detached; programs that still use it get errors from now on`
    : `Cannot unmount ${mounted.mountPoint}: errno ${-outcome}; use \`umount -l ${mounted.mountPoint}\``;
}

/** Whatever INIT says, the kernel reads ahead 128 KiB, until somebody writes this. Needs root; without it, as it was. */
export function raiseReadAhead(mounted: MountEntry): void {
  try {
    writeFileSync(`/sys/class/bdi/${mounted.device}/read_ahead_kb`, `${READ_AHEAD_KIB}`);
  } catch {
    // Not allowed here (a container, another user).
  }
}
