/** The daemon that serves a target, for commands that need one. One that dies is asked again once it is replaced. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AdminCall, askDaemon, Unreachable } from './admin_client.ts';
import { Failure } from './failure.ts';
import { isLocked, type LockRecord, readLockRecord } from './lock.ts';
import { resolveTarget } from './target.ts';

export interface LiveDaemon {
  readonly store: string;
  readonly adminSocket: string;
}

/** A daemon that died is replaced within a second or two, or never. */
const PATIENCE_MS = 30_000;
const AGAIN_MS = 50;

/** What to do about a mount that has no daemon and will get none. */
export function describeFailed(store: string, record: LockRecord): string {
  const where = record.mountPoint ?? store;
  return `every access gets an input/output error, because ${record.reason ?? 'no daemon serves it'}; \`pacsfs unmount ${where}\`, \`pacsfs fsck ${store}\`, mount it again`;
}

/**
 * As `askDaemon`, over a restart of the daemon; the question must be one that may be asked twice. Throws a Failure at once
 * when there will be no daemon any more.
 */
export async function askLive(daemon: LiveDaemon, call: AdminCall): Promise<unknown> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await askDaemon(daemon.adminSocket, call);
    } catch (thrown) {
      if (!(thrown instanceof Unreachable) || Date.now() > end || !isLocked(daemon.store)) throw thrown;
      const record = readLockRecord(daemon.store);
      if (record?.health === 'failed')
        throw new Failure(`${record.mountPoint}: ${describeFailed(daemon.store, record)}`);
      await sleep(AGAIN_MS);
    }
  }
}

/** Throws a Failure when nobody serves the target; `withinMount`: the path itself must lie in the mount. */
export function daemonOf(target: string, options: { readonly withinMount?: boolean } = {}): LiveDaemon {
  const { store, mount, isInMount } = resolveTarget(target);
  if (options.withinMount === true && !isInMount) {
    throw new Failure(`Not in a mount: ${target}; expected a path in a mounted store, \`pacsfs mount\` it first`);
  }
  const record = isLocked(store) ? readLockRecord(store) : undefined;
  if (record?.adminSocket !== undefined) return { store, adminSocket: record.adminSocket };
  if (record !== undefined)
    throw new Failure(`Not mounted: ${store} is held by \`pacsfs ${record.purpose}\`, process ${record.supervisorPid}`);
  if (mount !== undefined) {
    throw new Failure(
      `No daemon serves ${mount.mountPoint} any more; \`pacsfs unmount ${mount.mountPoint}\`, then mount it again`,
    );
  }
  throw new Failure(`Not mounted: ${target}; mount it with \`pacsfs mount ${store} DIR\``);
}
