/** The control thread: opens the store, serves it, closes it. Its loop is in control_loop.ts. */
import { workerData } from 'node:worker_threads';
import { DataStore } from '../aggregate/store.ts';
import { bootId } from '../base/boot.ts';
import { isErrno } from '../base/errno.ts';
import { createLog, type Log } from '../base/log.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { SystemClock } from '../base/time.ts';
import { Filesystem } from '../fs/filesystem.ts';
import { Session } from '../fs/kernel/session.ts';
import { NamespaceStore } from '../shard/store.ts';
import { ControlLoop } from './control_loop.ts';
import { CRASHED, errnoReason, FAILED, Failure, failureOf } from './failure.ts';
import { logStream } from './log_stream.ts';
import type { ControlSetup, ControlToMain } from './messages.ts';
import { metaFolder } from './store_paths.ts';
import { Bell } from './wake.ts';
import { WorkerPool } from './worker_pool.ts';

const setup = workerData as ControlSetup;
const log = createLog({ name: 'control', stream: logStream });

function post(message: ControlToMain): void {
  setup.mainPort.postMessage(message);
}

interface Opened {
  readonly namespace: NamespaceStore;
  readonly filesystem: Filesystem;
  readonly data: DataStore;
}

function openStore(workers: WorkerPool, clock: SystemClock): Opened {
  const { storeOptions, mountOptions } = setup;
  const { readOnly } = mountOptions;
  const namespace = NamespaceStore.open(metaFolder(setup.store), {
    log,
    clock,
    readOnly,
    walLimit: storeOptions.walLimit,
    cachedInodes: storeOptions.inodeCache,
  });
  if (namespace.storeId !== setup.storeId) {
    throw new Failure(
      `Cannot open ${setup.store}: its metadata are of store ${namespace.storeId}, expected ${setup.storeId}`,
    );
  }
  // START is durable before the first own file bears it, so that a name is never given twice.
  const start = readOnly ? namespace.generation : namespace.raiseStart(bootId());
  const backing = new PosixBacking();
  const data = DataStore.open({
    backing,
    storeId: setup.storeId,
    start,
    volumes: [...setup.volumes],
    aggregates: namespace.aggregates(),
    options: { aggregateBytes: storeOptions.aggregateBytes, maxOpenFiles: storeOptions.fdLimit, readOnly },
    log,
  });
  if (isErrno(data)) throw new Failure(`Cannot open the volumes of ${setup.store}: ${errnoReason(data)}`);
  const filesystem = new Filesystem({
    namespace,
    data,
    backing,
    clock,
    log,
    workers,
    options: {
      readOnly,
      acl: mountOptions.acl,
      layoutXattrs: mountOptions.layoutXattrs,
      noAtime: mountOptions.noAtime,
      packBelow: storeOptions.packBelow,
      packDelayMs: storeOptions.packDelayMs,
      commitIntervalMs: mountOptions.commitIntervalMs ?? storeOptions.commitIntervalMs,
      landingFiles: storeOptions.landingLimitFiles,
      landingBytes: storeOptions.landingLimitBytes,
    },
  });
  return { namespace, filesystem, data };
}

/** As `openStore`; a store whose last barrier was cut off is opened once for what only that can mend, then checked. */
async function openWhole(workers: WorkerPool, clock: SystemClock): Promise<Opened> {
  const opened = openStore(workers, clock);
  if (!opened.namespace.torn || setup.mountOptions.readOnly) return opened;
  const mended = opened.filesystem.shutDown();
  if (isErrno(mended)) throw new Failure(`Cannot mend ${setup.store} after a crash: ${errnoReason(mended)}`);
  const { repairTorn } = await import('./torn_store.ts');
  repairTorn({ store: setup.store, storeId: setup.storeId, volumes: setup.volumes, log });
  return openStore(workers, clock);
}

function serve({ filesystem, data }: Opened, workers: WorkerPool, mainLog: Log): number {
  const { fuseFd, wakeFd, mainPort } = setup;
  const session = new Session({
    fd: fuseFd,
    operations: filesystem,
    log: mainLog,
    options: {
      acl: setup.mountOptions.acl,
      readOnly: setup.mountOptions.readOnly,
      // This mount is the only writer: a name that is not there stays so until the kernel itself makes it.
      negativeEntrySec: 86_400,
    },
  });
  const bell = new Bell(wakeFd);
  post({ kind: 'opened' });
  new ControlLoop({ filesystem, data, session, workers, bell, mainPort, log: mainLog, fuseFd, wakeFd }).run();
  const closed = filesystem.shutDown();
  if (!isErrno(closed)) return 0;
  mainLog.error({ errno: closed.name }, 'Cannot make everything durable at the end');
  return CRASHED;
}

async function run(): Promise<number> {
  const workers = new WorkerPool(setup.workerPorts);
  let opened: Opened;
  try {
    opened = await openWhole(workers, new SystemClock());
  } catch (error) {
    const failure = failureOf(`open ${setup.store}`, error);
    log.error({ error }, 'The store cannot be opened');
    post({ kind: 'failed', message: failure.message, exitCode: FAILED });
    return FAILED;
  }
  return serve(opened, workers, log);
}

try {
  post({ kind: 'ended', exitCode: await run() });
} catch (error) {
  // Errors of other modules' classes lose their message and stack on their way to another thread.
  log.error({ error }, 'The control thread has crashed');
  throw error;
}
