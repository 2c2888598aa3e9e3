/** `pacsfs status`: who serves a store, how it is, and what is in it. */
import { PosixBacking } from '../../base/posix_backing.ts';
import { readBroken } from '../../shard/broken.ts';
import { askLive, describeFailed } from '../live_daemon.ts';
import { isLocked, type LockRecord, readLockRecord } from '../lock.ts';
import { print, printJson, renderFields } from '../output.ts';
import { metaFolder } from '../store_paths.ts';
import { resolveTarget } from '../target.ts';

export interface StatusOptions {
  readonly json?: boolean;
}

const ASK_TIMEOUT_MS = 10_000;

export async function status(target: string, options: StatusOptions): Promise<void> {
  const { store, mount } = resolveTarget(target);
  const record = isLocked(store) ? readLockRecord(store) : undefined;
  const show = (found: object) => (options.json === true ? printJson(found) : print(renderFields(found)));
  try {
    show(await describe(store, record, mount?.mountPoint));
  } catch (thrown) {
    // Who stands at its machine at night needs at least the processes.
    if (record !== undefined) show(silent(store, record));
    throw thrown;
  }
}

/** What the lock says of a daemon that does not answer. */
function silent(store: string, record: LockRecord, health = 'not answering'): object {
  const { mountPoint, supervisorPid, daemonPid, restarts } = record;
  return { mounted: true, store, mountPoint, health, supervisorPid, daemonPid, restarts };
}

/** A mount that ended badly may have left what only fsck finds. */
function endOf(store: string): string {
  const broken = readBroken(new PosixBacking(), metaFolder(store));
  if (broken !== undefined) return `not mounted; broken: ${broken}; check the disk, run \`pacsfs fsck --repair\``;
  const last = readLockRecord(store);
  if (last === undefined || (last.state === 'free' && last.outcome?.code === 0)) return 'not mounted';
  // Who is no mount carries on how the last mount ended.
  if (last.state === 'held' && last.purpose !== 'mount')
    return `not mounted; the last \`pacsfs ${last.purpose}\` was killed before its end: run it again`;
  const code = last.outcome?.code === undefined ? 'its processes were killed' : `code ${last.outcome.code}`;
  return `not mounted; the last \`pacsfs ${last.purpose}\` did not end well (${code}): see meta/pacsfs.log, run \`pacsfs fsck\``;
}

async function describe(
  store: string,
  record: LockRecord | undefined,
  mountPoint: string | undefined,
): Promise<object> {
  if (record?.health === 'failed') {
    const { daemonPid: _, ...rest } = record;
    return silent(store, rest, `failed: ${describeFailed(store, record)}`);
  }
  if (record?.adminSocket !== undefined) {
    const daemon = { store, adminSocket: record.adminSocket };
    const answer = await askLive(daemon, { method: 'GET', path: '/status', timeoutMs: ASK_TIMEOUT_MS });
    return answer as object;
  }
  if (record?.purpose === 'mount') {
    return {
      mounted: false,
      store,
      mountPoint: record.mountPoint,
      health: 'starting',
      supervisorPid: record.supervisorPid,
    };
  }
  if (record !== undefined) {
    return { mounted: false, store, health: `held by pacsfs ${record.purpose}`, pid: record.supervisorPid };
  }
  if (mountPoint !== undefined) {
    return {
      mounted: true,
      store,
      mountPoint,
      health: 'dead: no daemon serves it; run `pacsfs unmount` and mount it again',
    };
  }
  return { mounted: false, store, health: endOf(store) };
}
