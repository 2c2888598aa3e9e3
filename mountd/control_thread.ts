/** The control thread: waits for its task, opens the store, serves it, closes it. Its loop is in control_loop.ts. */

import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import { rangesHold } from '../aggregate/claims.ts';
import { DataStore } from '../aggregate/store.ts';
import { assert } from '../base/assert.ts';
import { bootId } from '../base/boot.ts';
import { isErrno } from '../base/errno.ts';
import { hostDirtyLimit } from '../base/host_memory.ts';
import { createLog } from '../base/log.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { SystemClock } from '../base/time.ts';
import { Filesystem } from '../fs/filesystem.ts';
import { DeviceBackingIds } from '../fs/kernel/backing_ids.ts';
import { invalidateName } from '../fs/kernel/notifications.ts';
import { Session } from '../fs/kernel/session.ts';
import { OpenTable } from '../fs/open_table.ts';
import { describeMissing } from '../shard/missing_shard.ts';
import { loadSqlite, NamespaceStore } from '../shard/store.ts';
import { ControlLoop } from './control_loop.ts';
import { CRASHED, errnoReason, FAILED, Failure, failureOf } from './failure.ts';
import { FuseDevice } from './fuse_device.ts';
import { logStream } from './log_stream.ts';
import type { ControlSetup, ControlToMain, MainToControl, Service } from './messages.ts';
import { keepPrivate } from './private_folders.ts';
import { metaFolder } from './store_paths.ts';
import { VOLUME_KINDS } from './volume_kinds.ts';
import { Bell } from './wake.ts';
import { WorkerPool } from './worker_pool.ts';

const setup = workerData as ControlSetup;
const log = createLog({ name: 'control', stream: logStream });

const WITHOUT_SHARD =
  'The store is served read-only, without what lies there (EIO): see docs/operations.md, run `pacsfs fsck --repair`';

function post(message: ControlToMain): void {
  setup.mainPort.postMessage(message);
}

const bell = new Bell(setup.wakeFd);

/** Everything is loaded by now; what is left to do takes no longer than it must. */
function awaitService(): Service {
  for (;;) {
    const message = receiveMessageOnPort(setup.mainPort)?.message as MainToControl | undefined;
    if (message !== undefined) {
      assert(message.kind === 'begin', `Message '${message.kind}' came first, expected 'begin'`);
      return message.service;
    }
    bell.wait();
  }
}

/** Where requests are not sent again, what they opened is not known well enough: no kernel has the one without the other. */
function isPassthrough(): boolean {
  return setup.mountOptions.passthrough && setup.mountOptions.resend;
}

interface Opened {
  readonly namespace: NamespaceStore;
  readonly filesystem: Filesystem;
  readonly data: DataStore;
  readonly device: FuseDevice;
}

function openStore(workers: WorkerPool, clock: SystemClock, service: Service): Opened {
  const beginMs = performance.now();
  const backing = new PosixBacking();
  const { storeOptions, mountOptions } = setup;
  const isTakeover = service.takeover !== undefined;
  if (!isTakeover && !mountOptions.readOnly) for (const complaint of keepPrivate(setup)) log.warn({}, complaint);
  const namespace = NamespaceStore.open(metaFolder(setup.store), {
    log,
    clock,
    bootId: bootId(),
    holds: (ranges) => rangesHold(ranges, { ...setup, backing, kinds: VOLUME_KINDS, readOnly: mountOptions.readOnly }),
    isTakeover,
    readOnly: mountOptions.readOnly,
    allowMissing: true,
    walLimit: storeOptions.walLimit,
    journal: { folders: setup.journals, retainBytes: storeOptions.journalRetain },
    cachedInodes: storeOptions.inodeCache,
    splitAt: storeOptions.splitAt,
  });
  if (namespace.storeId !== setup.storeId) {
    throw new Failure(
      `Cannot open ${setup.store}: its metadata are of store ${namespace.storeId}, expected ${setup.storeId}`,
    );
  }
  const readMs = performance.now();
  // A broken store is read, and answers EIO to changes.
  const { readOnly } = namespace;
  if (namespace.broken !== undefined)
    log.error({ reason: namespace.broken }, 'The store is broken and takes no changes until `pacsfs fsck --repair`');
  for (const missing of namespace.missingShards)
    log.error({ shard: missing.shard, path: missing.path }, `${describeMissing(missing)}. ${WITHOUT_SHARD}`);
  // START is durable before the first own file bears it, so that a name is never given twice.
  const start = readOnly ? namespace.start : namespace.raiseStart({ takeover: service.takeover !== undefined });
  const data = DataStore.open({
    backing,
    kinds: VOLUME_KINDS,
    storeId: setup.storeId,
    start,
    volumes: [...setup.volumes],
    aggregates: namespace.aggregates(),
    options: { aggregateBytes: storeOptions.aggregateBytes, maxOpenFiles: storeOptions.fdLimit, readOnly },
    log,
  });
  if (isErrno(data)) throw new Failure(`Cannot open the volumes of ${setup.store}: ${errnoReason(data)}`);
  const takeover = service.takeover !== undefined;
  const openTable = OpenTable.open(service.openTable, { isFresh: !takeover });
  if (isErrno(openTable)) throw new Failure(`Cannot use ${service.openTable}: ${errnoReason(openTable)}`);
  const device = new FuseDevice(setup.fuseFd);
  const filesystem = new Filesystem({
    namespace,
    data,
    backing,
    clock,
    log,
    workers,
    openTable,
    readThreads: { ...setup.readMemory, device: () => device.fd },
    dropName: (parent, name) => {
      post({ kind: 'notify', message: Buffer.from(invalidateName(parent, name)).toString('base64') });
    },
    backingIds: isPassthrough() ? new DeviceBackingIds(device) : undefined,
    options: {
      takeover,
      readOnly,
      acl: mountOptions.acl,
      layoutXattrs: mountOptions.layoutXattrs,
      noAtime: mountOptions.noAtime,
      packBelow: storeOptions.packBelow,
      packDelayMs: storeOptions.packDelayMs,
      commitIntervalMs: mountOptions.commitIntervalMs ?? storeOptions.commitIntervalMs,
      landingFiles: storeOptions.landingLimitFiles,
      landingBytes: storeOptions.landingLimitBytes,
      fsyncMode: storeOptions.fsyncMode,
      dirtyLimit: storeOptions.dirtyLimit || hostDirtyLimit(),
    },
  });
  const recoveredMs = performance.now();
  const times = { openMs: Math.round(readMs - beginMs), recoverMs: Math.round(recoveredMs - readMs) };
  log.info({ ...times, takeover }, 'The store is open');
  return { namespace, filesystem, data, device };
}

function serve({ namespace, filesystem, data, device }: Opened, workers: WorkerPool, service: Service): number {
  const { fuseFd, wakeFd, mainPort, mountOptions } = setup;
  const session = new Session({
    fd: fuseFd,
    device,
    operations: filesystem,
    log,
    options: {
      acl: mountOptions.acl,
      passthrough: isPassthrough(),
      readOnly: mountOptions.readOnly,
      // This mount is the only writer: a name that is not there stays so until the kernel itself makes it.
      negativeEntrySec: 86_400,
      negotiated: service.takeover?.negotiated,
    },
  });
  if (service.takeover === undefined) post({ kind: 'opened' });
  const { resend } = mountOptions;
  if (!namespace.readOnly) namespace.beginLogs();
  new ControlLoop({ namespace, filesystem, data, session, workers, bell, mainPort, log, device, wakeFd, resend }).run();
  const closed = filesystem.shutDown();
  if (!isErrno(closed)) return 0;
  log.error({ errno: closed.name }, 'Cannot make everything durable at the end');
  return CRASHED;
}

function run(): number {
  const workers = new WorkerPool(setup.workerPorts, bell);
  const clock = new SystemClock();
  loadSqlite();
  const service = awaitService();
  let opened: Opened;
  try {
    opened = openStore(workers, clock, service);
  } catch (error) {
    const failure = failureOf(`open ${setup.store}`, error);
    log.error({ error }, 'The store cannot be opened');
    post({ kind: 'failed', message: failure.message, exitCode: FAILED });
    return FAILED;
  }
  return serve(opened, workers, service);
}

try {
  post({ kind: 'ended', exitCode: run() });
} catch (error) {
  // Errors of other modules' classes lose their message and stack on their way to another thread.
  log.error({ error }, 'The control thread has crashed');
  throw error;
}
