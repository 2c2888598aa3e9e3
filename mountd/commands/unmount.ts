/** `pacsfs unmount`: returns 0 only when the daemon has made everything durable and the store is free. */
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { E, errnoOf } from '../../base/errno.ts';
import { MNT_DETACH, umount2 } from '../../base/libc.ts';
import { askDaemon, Unreachable } from '../admin_client.ts';
import { Failure } from '../failure.ts';
import { isLocked, type LockRecord, readLockRecord, startTicks } from '../lock.ts';
import type { MountEntry } from '../mount_table.ts';
import { printJson, remark } from '../output.ts';
import { logPath } from '../store_paths.ts';
import { resolveTarget, type Target } from '../target.ts';

export interface UnmountOptions {
  readonly lazy?: boolean;
  readonly json?: boolean;
}

const POLL_MS = 20;
const REMARK_MS = 10_000;
const ASK_TIMEOUT_MS = 10_000;
const EXIT_MS = 2_000;

export async function unmount(target: string, options: UnmountOptions): Promise<void> {
  const found = resolveTarget(target);
  await unmountTarget(target, found, options);
  if (options.json === true) printJson({ mounted: false, store: found.store });
}

async function unmountTarget(target: string, { store, mount }: Target, options: UnmountOptions): Promise<void> {
  if (mount === undefined) {
    if (!isLocked(store)) throw new Failure(`Not mounted: ${target}; \`pacsfs status ${target}\` shows its state`);
    // A daemon that is just ending: what is asked for is its end.
    await waitForEnd(store);
    return;
  }
  if (!isLocked(store)) {
    remark(`no daemon serves ${mount.mountPoint} any more; unmounting what is left of it`);
    detach(mount);
    const socket = readLockRecord(store)?.adminSocket;
    if (socket !== undefined) rmSync(socket, { force: true });
    return;
  }
  if (options.lazy === true) await stopDaemon(store);
  else unmountNow(mount);
  await waitForEnd(store);
}

function unmountNow(mount: MountEntry): void {
  const outcome = umount2(mount.mountPoint, 0);
  if (outcome === 0) return;
  const errno = errnoOf(-outcome);
  const what = `Cannot unmount ${mount.mountPoint}`;
  if (errno === E.EBUSY) {
    throw new Failure(
      `${what}: it is busy; end what uses it (\`fuser -vm ${mount.mountPoint}\` lists it), or unmount with --lazy`,
    );
  }
  if (errno === E.EPERM) throw new Failure(`${what}: no permission; run it as root (sudo)`);
  throw new Failure(`${what}: ${errno.name} (errno ${errno.number})`);
}

/** Without a daemon nothing can be written back: what still uses the mount gets errors anyway. */
function detach(mount: MountEntry): void {
  const outcome = umount2(mount.mountPoint, MNT_DETACH);
  if (outcome < 0)
    throw new Failure(`Cannot unmount ${mount.mountPoint}: ${errnoOf(-outcome).name}; run it as root (sudo)`);
}

async function stopDaemon(store: string): Promise<void> {
  const record = readLockRecord(store);
  const socket = record?.adminSocket;
  if (socket === undefined) throw new Failure(`Cannot stop the daemon of ${store}: it is just starting; try again`);
  try {
    await askDaemon(socket, { method: 'POST', path: '/stop', timeoutMs: ASK_TIMEOUT_MS });
  } catch (thrown) {
    // Between two daemons, or without any to come, the supervisor understands the same.
    if (!(thrown instanceof Unreachable) || record === undefined || !isSupervisor(store, record)) throw thrown;
    process.kill(record.supervisorPid, 'SIGTERM');
  }
}

/** Whether the process that the record names is alive and serves this store: numbers are used again. */
function isSupervisor(store: string, { supervisorPid }: LockRecord): boolean {
  try {
    return readFileSync(`/proc/${supervisorPid}/cmdline`, 'utf8').includes(store);
  } catch {
    return false;
  }
}

/** The supervisor gives the lock back with its last breath; who looks for its process must not find it. */
async function waitForExit(pid: number | undefined): Promise<void> {
  const end = Date.now() + EXIT_MS;
  // Its parent, init by then, may take a second to collect its exit code.
  while (pid !== undefined && startTicks(pid) !== undefined && Date.now() < end) await sleep(POLL_MS);
}

/** However long the disks need: the lock is free exactly when the daemon and its supervisor are gone. */
async function waitForEnd(store: string): Promise<void> {
  const pid = readLockRecord(store)?.supervisorPid;
  let remarkAt = Date.now() + REMARK_MS;
  while (isLocked(store)) {
    await sleep(POLL_MS);
    if (Date.now() < remarkAt) continue;
    remarkAt = Date.now() + REMARK_MS;
    remark('unmounted; the daemon is still making everything durable');
  }
  await waitForExit(pid);
  const record = readLockRecord(store);
  // Another mount has begun already: then ours ended well, or it would not have been let in unnoticed.
  if (record?.supervisorPid !== pid) return;
  if (record?.state === 'free' && record.outcome?.code === 0) return;
  const { code, reason = code === undefined ? undefined : `code ${code}` } = record?.outcome ?? {};
  throw new Failure(
    `Unmounted, but the daemon did not end well${reason === undefined ? '' : ` (${reason})`}: the last changes may be lost; ` +
      `see ${logPath(store)}, and check the store with \`pacsfs fsck ${store}\``,
  );
}
