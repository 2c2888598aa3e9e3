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
  const image = join(folder, `${kind}.image`);
  const mountPoint = join(folder, kind);
  mkdirSync(mountPoint, { recursive: true });
  rmSync(image, { force: true });
  run('dd', ['if=/dev/zero', `of=${image}`, 'bs=1M', `count=${gib * 1024}`, 'conv=fsync']);
  run(`mkfs.${kind}`, [...makeArguments(kind, options), image]);
  const device = run('losetup', ['--find', '--show', '--direct-io=on', image]);
  const mount = () => run('mount', [device, mountPoint]);
  try {
    mount();
  } catch (thrown) {
    run('losetup', ['--detach', device]);
    throw thrown;
  }
  return {
    name: `${kind} on a loop device`,
    folder: mountPoint,
    device: basename(device),
    remount: () => {
      run('umount', [mountPoint]);
      mount();
    },
    remove: () => {
      run('umount', [mountPoint]);
      run('losetup', ['--detach', device]);
      rmSync(image);
      rmSync(mountPoint, { recursive: true });
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
