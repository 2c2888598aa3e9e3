/** The daemon that serves a target, for commands that need one. */
import { Failure } from './failure.ts';
import { isLocked, readLockRecord } from './lock.ts';
import { resolveTarget } from './target.ts';

export interface LiveDaemon {
  readonly store: string;
  readonly adminSocket: string;
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
