/**
 * The daemon's main thread: signals, the admin server, and the threads that do the work. It loads everything, then waits
 * until its supervisor has a mount for it. It ends when the control thread has ended: with 0 when everything is durable,
 * with 70 at once when any thread crashes.
 */
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { segmentMemory } from '../aggregate/segments.ts';
import { unreachable } from '../base/assert.ts';
import { dieWithParent, eventfd, exitNow } from '../base/libc.ts';
import { createLog } from '../base/log.ts';
import { ringMemory } from '../fs/reads/ring.ts';
import { AdminServer } from './admin_server.ts';
import { askCompaction } from './compaction.ts';
import { ControlClient } from './control_client.ts';
import { CRASHED, FAILED, Failure } from './failure.ts';
import { logStream } from './log_stream.ts';
import {
  type ControlSetup,
  type ControlToMain,
  type DaemonRequest,
  type DaemonToSupervisor,
  FUSE_FD,
  type ReaderSetup,
  type ReadMemory,
  type Service,
  type SupervisorToDaemon,
  TEST_HOOKS,
  TEST_READ_DELAY,
  type TestThread,
  type WorkerSetup,
} from './messages.ts';
import { askMigrations } from './migrations.ts';
import { type ProgramFile, programFile } from './program_files.ts';
import { addShards } from './shards/add_live.ts';
import { Bell } from './wake.ts';

/** Collection of young objects stays short on the thread that serves requests. */
const YOUNG_GENERATION_MB = 32;
const STATUS_TIMEOUT_MS = 5_000;
/** How long the control thread's last message may take once it is gone. */
const LAST_WORD_MS = 1_000;

const request = JSON.parse(process.argv[2] ?? '') as DaemonRequest;
const log = createLog({ name: 'daemon', stream: logStream });
const wakeFd = eventfd();
const bell = new Bell(wakeFd);
/** Who has no task after so long is a spare, and has time to start its other threads as well. */
const SPARE_MS = 500;
/** Started once the mount answers, or ahead: in between they would only take time from the control thread. */
let startWorkers: (() => void) | undefined;
let workers: readonly Worker[] = [];
let service: Service | undefined;
let startedAt = Date.now();
let admin: AdminServer | undefined;
let isStopping = false;
let hasEnded = false;

// A lease that breaks sends SIGIO, a terminal that closes SIGHUP: neither may end the daemon.
for (const signal of ['SIGIO', 'SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => {});
// Unmounting is the supervisor's: it then tells us to stop. A keyboard's interrupt it has got itself.
process.on('SIGTERM', () => (service === undefined ? exitNow(0) : tell({ kind: 'stopWanted' })));
process.on('SIGINT', () => {});
process.on('uncaughtException', (error) => crash('main', error));
process.on('unhandledRejection', (error) => crash('main', error));

function tell(message: DaemonToSupervisor): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

/** A bug: nothing in memory can be trusted, what is on disk can. */
function crash(thread: string, error: unknown): never {
  try {
    log.error({ thread, error }, 'Crash: the daemon ends');
  } finally {
    exitNow(CRASHED);
  }
}

function startThread(name: string, file: ProgramFile, options: { data: object; ports: MessagePort[] }): Worker {
  const thread = new Worker(programFile(file), {
    name,
    workerData: options.data,
    transferList: options.ports,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
  thread.on('error', (error) => crash(name, error));
  return thread;
}

function workerCount(): number {
  return request.storeOptions.workers || Math.min(8, Math.max(3, availableParallelism() + 1));
}

/** Their replies are large: more of them than cores, or than disks, would only take turns. */
function readerCount(): number {
  return Math.min(4, Math.max(2, availableParallelism()));
}

function startReaders({ rings, segments }: ReadMemory): void {
  const isTest = process.env[TEST_HOOKS] !== undefined;
  const delayMs = isTest ? Number(process.env[TEST_READ_DELAY] ?? 0) : 0;
  for (const [index, ring] of rings.entries()) {
    const data: ReaderSetup = { index, wakeFd, ring, segments, delayMs };
    startThread(`reader ${index}`, 'read_thread', { data, ports: [] });
  }
}

function start(): ControlClient {
  const setups: WorkerSetup[] = [];
  const workerPorts: MessagePort[] = [];
  for (let index = 0; index < workerCount(); index++) {
    const { port1, port2 } = new MessageChannel();
    setups.push({ index, wakeFd, controlPort: port2 });
    workerPorts.push(port1);
  }
  const rings = Array.from({ length: readerCount() }, ringMemory);
  const readMemory: ReadMemory = { rings, segments: segmentMemory(request.storeOptions.segmentCache) };
  startWorkers = () => {
    startWorkers = undefined;
    workers = setups.map((data) =>
      startThread(`worker ${data.index}`, 'worker_thread', { data, ports: [data.controlPort] }),
    );
    startReaders(readMemory);
  };
  const main = new MessageChannel();
  const control = new ControlClient(main.port1, bell);
  const data: ControlSetup = {
    store: request.store,
    storeId: request.storeId,
    fuseFd: FUSE_FD,
    wakeFd,
    volumes: request.volumes,
    journals: request.journals,
    storeOptions: request.storeOptions,
    mountOptions: request.options,
    mainPort: main.port2,
    workerPorts,
    readMemory,
  };
  main.port1.on('message', (message: ControlToMain) => hear(message, control));
  const thread = startThread('control', 'control_thread', { data, ports: [main.port2, ...workerPorts] });
  thread.on('exit', (code) => {
    // Its last message and its end come by different ways, in either order.
    const silence = new Error(`The control thread left without a word, code ${code}`);
    setTimeout(() => hasEnded || crash('control', silence), LAST_WORD_MS);
  });
  return control;
}

function hear(message: ControlToMain, control: ControlClient): void {
  switch (message.kind) {
    case 'answer':
      control.hear(message.id, message.answer);
      break;
    case 'ended':
      end(message.exitCode, control);
      break;
    case 'ready':
      tell(message);
      startWorkers?.();
      break;
    default:
      tell(message);
  }
}

function end(exitCode: number, control: ControlClient): void {
  isStopping = true;
  hasEnded = true;
  control.abandon('The daemon has stopped');
  log.info({ exitCode }, 'The daemon ends');
  tell({ kind: 'ended', exitCode });
  admin?.close();
  // The workers' threads hold nothing; the messages to the supervisor have to leave before the process does.
  if (process.connected) process.disconnect();
  setImmediate(() => exitNow(exitCode));
}

async function status(control: ControlClient): Promise<object> {
  const own = {
    mounted: true,
    store: request.store,
    mountPoint: request.mountPoint,
    binding: 'kernel',
    supervisorPid: request.supervisorPid,
    daemonPid: process.pid,
    uptimeSeconds: Math.floor((Date.now() - startedAt) / 1000),
    ...restarts(),
    metricsUrl: null,
  };
  try {
    const core = (await control.ask({ kind: 'status' }, STATUS_TIMEOUT_MS)) as object;
    return { ...own, health: isStopping ? 'stopping' : 'ok', ...core };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { ...own, health: 'not answering' };
  }
}

/** What an operator should know of this mount's earlier daemons. */
function restarts(): object {
  const takeover = service?.takeover;
  if (takeover === undefined) return { restarts: 0 };
  return { restarts: takeover.restarts, lastRestart: `${takeover.time}: ${takeover.reason}` };
}

async function begin(given: Service, control: ControlClient): Promise<void> {
  // Should the supervisor die now, there is something to be made durable first: see 'disconnect'.
  dieWithParent(false);
  service = given;
  startedAt = Date.now();
  control.post({ kind: 'begin', service });
  admin = await AdminServer.listen(request.adminSocket, {
    status: () => status(control),
    inode: (ino) => control.ask({ kind: 'inode', ino }, STATUS_TIMEOUT_MS),
    sync: (packed) => control.ask({ kind: 'sync', packed }, 0),
    noteBackup: (lsn) => control.ask({ kind: 'backup', lsn }, STATUS_TIMEOUT_MS),
    shards: () => control.ask({ kind: 'shards' }, STATUS_TIMEOUT_MS),
    addShards: (count) => addShards(request, count, control),
    compaction: (begin) => askCompaction(request.store, { begin, control }),
    migrations: (query) => askMigrations(request.store, { query, control }),
    stop: () => tell({ kind: 'stopWanted' }),
    ...(process.env[TEST_HOOKS] === undefined ? {} : { crash: (thread: TestThread) => provoke(thread, control) }),
  });
}

/** For tests: a bug in one of the threads. */
function provoke(thread: TestThread, control: ControlClient): void {
  if (thread === 'control') control.post({ kind: 'query', id: 0, query: { kind: 'crash' } });
  else if (thread === 'worker') workers[0]?.postMessage('crash');
  else setImmediate(() => unreachable('a test wanted the main thread to crash'));
}

function cannotBegin(error: unknown): void {
  if (!(error instanceof Failure)) crash('main', error);
  tell({ kind: 'failed', message: error.message, exitCode: FAILED });
  if (process.connected) process.disconnect();
  setImmediate(() => exitNow(FAILED));
}

function run(): void {
  // Without a task it only holds the lock and the device, which both have to be free as soon as nobody serves the mount.
  dieWithParent(true);
  if (process.ppid !== request.supervisorPid) exitNow(0);
  const control = start();
  const stop = () => {
    isStopping = true;
    control.post({ kind: 'stop' });
  };
  const spareTimer = setTimeout(() => startWorkers?.(), SPARE_MS);
  process.on('message', (message: SupervisorToDaemon) => {
    clearTimeout(spareTimer);
    if (message.kind === 'begin') begin(message.service, control).catch(cannotBegin);
    else if (message.kind === 'mounted') control.post({ kind: 'mounted' });
    else stop();
  });
  process.on('disconnect', () => {
    if (isStopping) return;
    if (service === undefined) exitNow(0);
    // The mount stays, dead: users get errors, where otherwise they would write into the folder below.
    log.error({ supervisorPid: request.supervisorPid }, 'The supervisor is gone: the daemon stops');
    stop();
  });
}

run();
