/** `pacsfs mount`: starts a supervisor and waits until the mount answers. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { errnoFromThrown, errnoOf } from '../../base/errno.ts';
import { MNT_DETACH, umount2 } from '../../base/libc.ts';
import { MIB } from '../../base/units.ts';
import { askDaemon } from '../admin_client.ts';
import { readConfig, volumeRows } from '../config.ts';
import { errnoReason, FAILED, Failure, failureOf, usage } from '../failure.ts';
import { isLocked } from '../lock.ts';
import type { MountRequest, SupervisorReport } from '../messages.ts';
import { parseMountOptions } from '../mount_options.ts';
import { isWithin, type MountEntry, mountOf, pacsfsMounts, readMountTable } from '../mount_table.ts';
import { printJson, remark } from '../output.ts';
import { programFile } from '../program_files.ts';
import { adminSocketPath, logPath, metaFolder } from '../store_paths.ts';
import { resolveOutsideMounts } from '../target.ts';

export interface MountCommandOptions {
  readonly option: readonly string[];
  readonly foreground?: boolean;
  readonly force?: boolean;
  readonly binding: string;
  readonly json?: boolean;
}

/** The log is set aside at this size when a mount starts. */
const LOG_ROTATE_BYTES = 16 * MIB;
const ANSWER_TIMEOUT_MS = 30_000;
/** CAP_SYS_ADMIN in the masks of /proc/PID/status. */
const CAP_SYS_ADMIN = 21n;

/** Resolves to the program's exit code. */
export async function mount(storeArgument: string, directory: string, options: MountCommandOptions): Promise<number> {
  const request = planMount(storeArgument, directory, options);
  if (options.foreground === true) {
    const { supervise } = await import('../supervisor.ts');
    const ready = () => remark(`${request.mountPoint} is mounted; it is unmounted by Ctrl-C or SIGTERM`);
    return await supervise(request, { ready, say: remark });
  }
  await startSupervisor(request);
  await checkAnswer(request.mountPoint);
  warnOfJournals(request);
  await warnOfHealth(request);
  if (options.json === true) printJson({ mounted: true, store: request.store, mountPoint: request.mountPoint });
  return 0;
}

function planMount(storeArgument: string, directory: string, options: MountCommandOptions): MountRequest {
  checkBinding(options.binding);
  const parsed = parseMountOptions(options.option);
  const store = realStore(storeArgument);
  const config = readConfig(store);
  const volumes = volumeRows(config, store);
  const mountPoint = checkMountPoint(directory, store);
  checkApart(mountPoint, [store, ...volumes.flatMap((volume) => volume.paths)]);
  checkPrivilege(mountPoint);
  const hidden = readdirSync(mountPoint).length;
  if (hidden > 0)
    remark(`${mountPoint} is not empty: its ${hidden} entries are hidden while the store is mounted there`);
  return {
    store,
    mountPoint,
    adminSocket: adminSocketPath(config.storeId),
    storeId: config.storeId,
    volumes,
    journals: config.journals.map((path) => resolve(store, path)),
    storeOptions: config.options,
    options: parsed,
    force: options.force === true,
    foreground: options.foreground === true,
  };
}

function checkBinding(binding: string): void {
  if (binding === 'kernel' || binding === 'auto') return;
  if (binding === 'libfuse')
    throw new Failure("Cannot mount with --binding libfuse: this version has the 'kernel' binding only");
  throw usage(`Cannot mount with --binding '${binding}': expected kernel, libfuse or auto`);
}

/** The store's path as the kernel's table of mounts will show it. */
function realStore(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // `readConfig` says what is wrong with it.
    return resolve(path);
  }
}

function checkMountPoint(directory: string, store: string): string {
  const table = readMountTable();
  const mountPoint = resolveOutsideMounts(directory, table);
  const there = pacsfsMounts(table).findLast((entry) => entry.mountPoint === mountPoint);
  if (there !== undefined && mountOf(mountPoint, table) === there) {
    if (there.source === store && !isLocked(store)) {
      removeDead(there);
      return checkMountPoint(directory, store);
    }
    throw new Failure(
      `Mount point busy: ${there.source} is mounted at ${mountPoint} already; \`pacsfs unmount ${mountPoint}\` first`,
    );
  }
  let isDirectory: boolean;
  try {
    isDirectory = statSync(mountPoint).isDirectory();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new Failure(`No such mount point: ${directory} does not exist; make it with \`mkdir -p ${directory}\``);
    }
    throw failureOf(`mount at ${directory}`, error);
  }
  if (!isDirectory) throw new Failure(`Cannot mount at ${directory}: it is not a directory`);
  return mountPoint;
}

/** What is left of a mount whose processes were all killed: nobody can use it, it only stands in the way. */
function removeDead(dead: MountEntry): void {
  const outcome = umount2(dead.mountPoint, MNT_DETACH);
  if (outcome < 0) throw new Failure(`Cannot unmount ${dead.mountPoint}: ${errnoReason(errnoOf(-outcome))}`);
  remark(`no process served ${dead.mountPoint} any more; unmounted what was left of it`);
}

/** A mount over its own store's folders would have the daemon wait for itself: it finds its files by their paths. */
function checkApart(mountPoint: string, folders: readonly string[]): void {
  for (const folder of folders) {
    const place = resolveOutsideMounts(folder);
    if (isWithin(mountPoint, place))
      throw new Failure(`Cannot mount at ${mountPoint}: it lies in ${folder}, which is the store's own`);
    if (isWithin(place, mountPoint))
      throw new Failure(`Cannot mount at ${mountPoint}: it would hide ${folder}, which is the store's own`);
  }
}

function checkPrivilege(mountPoint: string): void {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (effective === undefined || (BigInt(`0x${effective}`) & (1n << CAP_SYS_ADMIN)) !== 0n) return;
  throw new Failure(
    `Cannot mount at ${mountPoint}: no permission; mounting needs root, this is user ${process.geteuid?.()}; use sudo`,
  );
}

async function startSupervisor(request: MountRequest): Promise<void> {
  const log = openLog(request.store);
  // In a session of its own and in no folder, so that neither a terminal's end nor an unmount elsewhere meets it.
  const supervisor = spawn(process.execPath, [programFile('supervisor_main'), JSON.stringify(request)], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', log, log, 'pipe'],
  });
  closeSync(log);
  const failed = new Promise<never>((_, reject) => {
    supervisor.once('error', (error) => reject(failureOf('start the supervisor', error)));
  });
  const report = await Promise.race([readReport(supervisor.stdio[3] as Readable), failed]);
  supervisor.unref();
  if (report === undefined) {
    throw new Failure(
      `Cannot mount ${request.mountPoint}: the supervisor ended without a word; see ${logPath(request.store)}`,
    );
  }
  if (report.kind === 'failed') throw new Failure(report.message, report.exitCode || FAILED);
}

/** The supervisor's one line; undefined when it ended without one. */
async function readReport(pipe: Readable): Promise<SupervisorReport | undefined> {
  let text = '';
  for await (const chunk of pipe) {
    text += String(chunk);
    if (text.includes('\n')) break;
  }
  pipe.destroy();
  return text.includes('\n') ? (JSON.parse(text) as SupervisorReport) : undefined;
}

/** Asks the mount something, as a user would. */
async function checkAnswer(mountPoint: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    const late = new Failure(
      `${mountPoint} is mounted, but has not answered for ${ANSWER_TIMEOUT_MS} ms; see \`pacsfs status\``,
    );
    timer = setTimeout(() => reject(late), ANSWER_TIMEOUT_MS);
  });
  try {
    await Promise.race([stat(mountPoint), tooLate]);
  } catch (error) {
    if (error instanceof Failure) throw error;
    // Nobody can use what has no root directory: what failed leaves no mount.
    umount2(mountPoint, MNT_DETACH);
    const errno = errnoOf(errnoFromThrown(error));
    throw new Failure(`Cannot use ${mountPoint}: ${errno.name} at its root; check the store with \`pacsfs fsck\``);
  } finally {
    clearTimeout(timer);
  }
}

/** A mount that lacks a volume answers, but not with every file: whoever mounted it should know now. */
/** Above all a disk that was not mounted: its journal would go into the bare folder below. */
function warnOfJournals({ store, journals }: MountRequest): void {
  const { dev } = statSync(metaFolder(store));
  for (const path of journals) {
    if (statSync(path, { throwIfNoEntry: false })?.dev !== dev) continue;
    remark(`${path} is on the disk of the metadata: a journal there does not outlive it; is its own disk mounted?`);
  }
}

async function warnOfHealth(request: MountRequest): Promise<void> {
  const asked = askDaemon(request.adminSocket, { method: 'GET', path: '/status', timeoutMs: ANSWER_TIMEOUT_MS });
  const found = (await asked.catch(() => ({}))) as { readonly health?: string };
  if (found.health === undefined || found.health === 'ok') return;
  remark(`${request.mountPoint} is mounted, but ${found.health}; see \`pacsfs status\` and ${logPath(request.store)}`);
}

function openLog(store: string): number {
  const path = logPath(store);
  try {
    if (!existsSync(metaFolder(store))) mkdirSync(metaFolder(store), { mode: 0o700 });
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_ROTATE_BYTES) renameSync(path, `${path}.1`);
    return openSync(path, 'a', 0o600);
  } catch (error) {
    throw failureOf(`write the log ${path}`, error);
  }
}
