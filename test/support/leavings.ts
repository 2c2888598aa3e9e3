/**
 * What a test has made outside its own memory, and how to be rid of it in whatever state it is. Everything lies below a
 * folder of the test's own with a name that nothing else has: mounts, stores with their daemons, disks. So nobody needs to
 * have kept a list when the folder is cleared away.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MNT_DETACH, mount, umount2 } from '../../base/libc.ts';
import { startTicks } from '../../mountd/lock.ts';
import { isWithin, type MountEntry, readMountTable } from '../../mountd/mount_table.ts';
import { adminSocketPath, openTablePath } from '../../mountd/store_paths.ts';

/** Numbers of processes are used again: with the time of its start one is meant and no other. */
export interface KnownProcess {
  readonly pid: number;
  /** In clock ticks since boot. */
  readonly startTicks: number;
}

const CONNECTIONS = '/sys/fs/fuse/connections';
const LIMIT_MS = 20_000;
const ROUND_MS = 100;
const DETACH_MS = 10_000;

/** Undefined when it is gone. */
export function knownProcess(pid: number | undefined): KnownProcess | undefined {
  const ticks = pid === undefined ? undefined : startTicks(pid);
  return pid === undefined || ticks === undefined ? undefined : { pid, startTicks: ticks };
}

/** Mounts of all kinds, the last one first. */
export function mountsBelow(folder: string): MountEntry[] {
  return readMountTable()
    .filter(({ mountPoint }) => isWithin(mountPoint, folder))
    .reverse();
}

/** Ends every request that hangs on a FUSE mount with an error, as well as all that follow. */
export function abortMount(entry: MountEntry): void {
  if (!entry.type.startsWith('fuse') || !existsSync(CONNECTIONS)) return;
  try {
    writeFileSync(connectionFile(entry, 'abort'), '1');
  } catch {
    // The connection ended in between.
  }
}

/** Supervisors and daemons of stores below the folder, however they came about. */
export function serversOf(folder: string): number[] {
  return processes((words) => words.some((word) => word.startsWith('{') && word.includes(`"${folder}/`)));
}

/** Of disks whose image lies below the folder. */
export function loopDevicesOf(folder: string): string[] {
  return readdirSync('/sys/block').filter((name) => {
    try {
      return isWithin(readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd(), folder);
    } catch {
      return false;
    }
  });
}

/** SIGKILL to a process, and to its group where it leads one. */
export function endProcess({ pid, startTicks: ticks }: KnownProcess): void {
  if (startTicks(pid) !== ticks) return;
  kill(-pid);
  kill(pid);
}

/**
 * Aborts, detaches, kills, removes, until nothing of it is found in `rounds` rounds one after the other (default 1: who is
 * still about to make something is found by a later one). True, or false when that took more than 20 s.
 */
export async function clearAway(folder: string, rounds = 1): Promise<boolean> {
  const end = Date.now() + LIMIT_MS;
  for (let clean = 0; ; ) {
    clean = clearOnce(folder) ? clean + 1 : 0;
    if (clean === rounds) return true;
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
  }
}

/** One round without a wait; true when nothing was there but files. */
export function clearOnce(folder: string): boolean {
  const mounts = mountsBelow(folder);
  for (const entry of mounts) abortMount(entry);
  const left = programsOf(folder);
  for (const pid of left) kill(pid);
  removeRunFiles(folder);
  for (const { mountPoint } of mounts) umount2(mountPoint, MNT_DETACH);
  const devices = loopDevicesOf(folder);
  for (const device of devices) detachDevice(`/dev/${device}`);
  // What is still mounted there must not be emptied.
  if (mountsBelow(folder).length === 0) removeFolder(folder);
  return mounts.length === 0 && left.length === 0 && devices.length === 0 && !existsSync(folder);
}

function connectionFile({ device }: MountEntry, name: string): string {
  const path = join(CONNECTIONS, device.split(':')[1] ?? '', name);
  if (!existsSync(path)) mount({ source: 'none', target: CONNECTIONS, type: 'fusectl', flags: 0, data: '' });
  return path;
}

/** Who was told of something in it: servers, and programs that may work on for a while, or start one yet. */
function programsOf(folder: string): number[] {
  return processes((words) => words.some((word) => word.includes(`${folder}/`)));
}

/** Those whose command line fits; zombies have none. */
function processes(fits: (words: readonly string[]) => boolean): number[] {
  const found: number[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      if (fits(readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0'))) found.push(Number(name));
    } catch {
      // Gone in between.
    }
  }
  return found;
}

/** Sockets and open tables of the stores below the folder, which lie elsewhere. */
function removeRunFiles(folder: string): void {
  for (const store of existsSync(folder) ? storesBelow(folder) : []) {
    try {
      const storeId = /^storeId: *['"]?([0-9a-f-]+)/m.exec(readFileSync(join(store, 'store.yaml'), 'utf8'))?.[1];
      if (storeId === undefined) continue;
      for (const path of [adminSocketPath(storeId), openTablePath(storeId)]) rmSync(path, { force: true });
    } catch {
      // It has no store.yaml any more.
    }
  }
}

/** A store is the folder itself, or lies in it or on a disk that is mounted in it; FUSE mounts are not looked into. */
function storesBelow(folder: string, depth = 2): string[] {
  const isFuse = mountsBelow(folder).some((entry) => entry.mountPoint === folder && entry.type.startsWith('fuse'));
  if (isFuse) return [];
  if (existsSync(join(folder, 'store.yaml'))) return [folder];
  if (depth === 0) return [];
  const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return entries.flatMap(({ name }) => storesBelow(join(folder, name), depth - 1));
}

function detachDevice(device: string): void {
  try {
    execFileSync('losetup', ['-d', device], { stdio: 'ignore', timeout: DETACH_MS });
  } catch {
    // Still busy, or gone already.
  }
}

function removeFolder(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // A process that was killed a moment ago may still write.
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
