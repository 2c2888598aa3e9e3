/** `pacsfs status`: who serves a store, how it is, and what is in it. */
import { askDaemon } from '../admin_client.ts';
import { isLocked, type LockRecord, readLockRecord } from '../lock.ts';
import { print, printJson, renderFields } from '../output.ts';
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
function silent(store: string, record: LockRecord): object {
  const { mountPoint, supervisorPid, daemonPid } = record;
  return { mounted: true, store, mountPoint, health: 'not answering', supervisorPid, daemonPid };
}

/** A mount that ended badly may have left what only fsck finds. */
function endOf(store: string): string {
  const last = readLockRecord(store);
  if (last === undefined || (last.state === 'free' && last.outcome?.code === 0)) return 'not mounted';
  const code = last.outcome?.code === undefined ? 'its processes were killed' : `code ${last.outcome.code}`;
  return `not mounted; the last \`pacsfs ${last.purpose}\` did not end well (${code}): see meta/pacsfs.log, run \`pacsfs fsck\``;
}

async function describe(
  store: string,
  record: LockRecord | undefined,
  mountPoint: string | undefined,
): Promise<object> {
  if (record?.adminSocket !== undefined) {
    const answer = await askDaemon(record.adminSocket, { method: 'GET', path: '/status', timeoutMs: ASK_TIMEOUT_MS });
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
