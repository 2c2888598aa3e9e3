/**
 * The daemon's main thread: signals, the admin server, and the threads that do the work. It ends when the control thread
 * has ended: with 0 when everything is durable, with 70 at once when any thread crashes.
 */
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { eventfd, exitNow, MNT_DETACH, umount2 } from '../base/libc.ts';
import { createLog } from '../base/log.ts';
import { AdminServer } from './admin_server.ts';
import { ControlClient } from './control_client.ts';
import { CRASHED, FAILED, Failure } from './failure.ts';
import { logStream } from './log_stream.ts';
import {
  type ControlSetup,
  type ControlToMain,
  type DaemonRequest,
  type DaemonToSupervisor,
  FUSE_FD,
  type SupervisorToDaemon,
  type WorkerSetup,
} from './messages.ts';
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
const startedAt = Date.now();
let admin: AdminServer | undefined;
let isStopping = false;
let hasEnded = false;

// A lease that breaks sends SIGIO, a terminal that closes SIGHUP: neither may end the daemon.
for (const signal of ['SIGIO', 'SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => {});
// Unmounting is the supervisor's: it then tells us to stop. A keyboard's interrupt it has got itself.
process.on('SIGTERM', () => tell({ kind: 'stopWanted' }));
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

function startThread(name: string, file: string, options: { data: object; ports: MessagePort[] }): Worker {
  const thread = new Worker(new URL(file, import.meta.url), {
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

function start(): ControlClient {
  const workerPorts: MessagePort[] = [];
  for (let index = 0; index < workerCount(); index++) {
    const { port1, port2 } = new MessageChannel();
    const data: WorkerSetup = { index, wakeFd, controlPort: port2 };
    startThread(`worker ${index}`, './worker_thread.js', { data, ports: [port2] });
    workerPorts.push(port1);
  }
  const main = new MessageChannel();
  const control = new ControlClient(main.port1, bell);
  const data: ControlSetup = {
    store: request.store,
    storeId: request.storeId,
    fuseFd: FUSE_FD,
    wakeFd,
    volumes: request.volumes,
    storeOptions: request.storeOptions,
    mountOptions: request.options,
    mainPort: main.port2,
    workerPorts,
  };
  main.port1.on('message', (message: ControlToMain) => hear(message, control));
  const thread = startThread('control', './control_thread.js', { data, ports: [main.port2, ...workerPorts] });
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
    default:
      tell(message);
  }
}

function end(exitCode: number, control: ControlClient): void {
  isStopping = true;
  hasEnded = true;
  control.abandon('The daemon has stopped');
  log.info({ exitCode }, 'The daemon ends');
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

async function run(): Promise<void> {
  const control = start();
  const stop = () => {
    isStopping = true;
    control.post({ kind: 'stop' });
  };
  process.on('message', (message: SupervisorToDaemon) => {
    if (message.kind === 'mounted') control.post({ kind: 'mounted' });
    else stop();
  });
  process.on('disconnect', () => {
    if (isStopping) return;
    log.error({ supervisorPid: request.supervisorPid }, 'The supervisor is gone: detaching the mount and stopping');
    umount2(request.mountPoint, MNT_DETACH);
    stop();
  });
  admin = await AdminServer.listen(request.adminSocket, {
    status: () => status(control),
    inode: (ino) => control.ask({ kind: 'inode', ino }, STATUS_TIMEOUT_MS),
    sync: (packed) => control.ask({ kind: 'sync', packed }, 0),
    stop: () => tell({ kind: 'stopWanted' }),
  });
}

try {
  await run();
} catch (error) {
  if (!(error instanceof Failure)) crash('main', error);
  tell({ kind: 'failed', message: error.message, exitCode: FAILED });
  if (process.connected) process.disconnect();
  setImmediate(() => exitNow(FAILED));
}
