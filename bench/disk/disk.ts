/**
 * A filesystem to measure on: a folder of the disk below, or an ext4 or XFS image on a loop device that passes by the page
 * cache. The image is written full first: holes would be filled while measuring, at a third of the speed.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';

const COMMAND_MS = 600_000;

export interface Disk {
  readonly name: string;
  readonly folder: string;
  remove(): void;
}

/** A disk that can be put away and taken up again, so that nothing of it is remembered. */
export interface LoopDisk extends Disk {
  /** Of the loop device, as in /proc/diskstats. */
  readonly device: string;
  remount(): void;
}

export interface LoopOptions {
  readonly kind?: 'ext4' | 'xfs';
  /** ext4 has a fixed number of them; default one for 16 KiB. */
  readonly inodes?: number;
}

export function rootDisk(folder: string): Disk {
  return { name: `the disk of ${folder}`, folder, remove: () => {} };
}

export function loopDisk(folder: string, gib: number, options: LoopOptions = {}): LoopDisk {
  const { kind = 'ext4' } = options;
  const image = makeImage(join(folder, `${kind}.image`), { mib: gib * 1024, ...options });
  const mountPoint = join(folder, kind);
  mkdirSync(mountPoint, { recursive: true });
  const attached = attachImage(image, { mountPoint, isDirect: true });
  return {
    name: `${kind} on a loop device`,
    folder: mountPoint,
    device: basename(attached.device),
    remount: () => {
      run('umount', [mountPoint]);
      run('mount', [attached.device, mountPoint]);
    },
    remove: () => {
      attached.detach();
      rmSync(image);
    },
  };
}

/** Written full of zeros, and with a filesystem. Returns its path. */
export function makeImage(image: string, of: LoopOptions & { mib: number }): string {
  const { kind = 'ext4', mib } = of;
  rmSync(image, { force: true });
  run('dd', ['if=/dev/zero', `of=${image}`, 'bs=1M', `count=${mib}`, 'conv=fsync']);
  run(`mkfs.${kind}`, [...makeArguments(kind, of), image]);
  return image;
}

export interface AttachedImage {
  readonly device: string;
  readonly folder: string;
  /** Unmounts it; the image stays. */
  detach(): void;
}

/** An image on a loop device, mounted. `isDirect`: past the page cache of what the image lies on. */
export function attachImage(image: string, of: { mountPoint: string; isDirect: boolean }): AttachedImage {
  const { mountPoint, isDirect } = of;
  const device = run('losetup', ['--find', '--show', `--direct-io=${isDirect ? 'on' : 'off'}`, image]);
  try {
    run('mount', [device, mountPoint]);
  } catch (thrown) {
    run('losetup', ['--detach', device]);
    throw thrown;
  }
  return {
    device,
    folder: mountPoint,
    detach: () => {
      run('umount', [mountPoint]);
      run('losetup', ['--detach', device]);
    },
  };
}

/** Whether this machine can make and mount such a filesystem. */
export function canMake(kind: 'ext4' | 'xfs'): boolean {
  try {
    run('sh', ['-c', `command -v mkfs.${kind} && { grep -qw ${kind} /proc/filesystems || modprobe ${kind}; }`]);
    return true;
  } catch {
    return false;
  }
}

function makeArguments(kind: 'ext4' | 'xfs', { inodes }: LoopOptions): string[] {
  if (kind === 'xfs') return ['-q', '-f', '-K'];
  const some = inodes === undefined ? [] : ['-N', `${inodes}`];
  return ['-q', '-F', ...some, '-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0'];
}

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, {
    timeout: COMMAND_MS,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}
