/** A worker thread: does what waits for disks, one job at a time, and rings the control thread when it is done. */
import { getPriority, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { compareContents } from '../aggregate/compare.ts';
import { makeOwnFiles } from '../aggregate/own_pool.ts';
import { PackWorker } from '../aggregate/pack_worker.ts';
import { punch } from '../aggregate/punch.ts';
import { listResidents } from '../aggregate/residents.ts';
import { listOwnFiles } from '../aggregate/volume_set.ts';
import { unreachable } from '../base/assert.ts';
import { flushTarget, writeBackTarget, writeTarget } from '../base/backing.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import type { WorkerDone, WorkerJob } from '../fs/types.ts';
import { checkpointDatabase } from '../shard/checkpoint.ts';
import { logStream } from './log_stream.ts';
import type { WorkerSetup } from './messages.ts';
import { VOLUME_KINDS } from './volume_kinds.ts';
import { Bell } from './wake.ts';

/** Added to the niceness of a thread that gives way. */
const PATIENCE = 10;
/** The niceness of who gives way to everybody: there is none above. */
const LEAST = 19;

const setup = workerData as WorkerSetup;
const backing = new PosixBacking();
const packer = new PackWorker(backing, VOLUME_KINDS);
const bell = new Bell(setup.wakeFd);
const niceness = getPriority();
let present = niceness;
const mayReturn = canReturn();

// Nothing comes this way but a test's wish for a crash.
parentPort?.on('message', (what: unknown) => unreachable(`message ${what} from the main thread`));

setup.controlPort.on('message', (job: WorkerJob) => {
  giveWay(job);
  try {
    setup.controlPort.postMessage(perform(job));
  } catch (error) {
    // An error loses its stack on its way to another thread. By hand: a logger would cost each worker's start more.
    const stack = error instanceof Error ? error.stack : String(error);
    const line = { level: 'error', time: new Date().toISOString(), name: `worker ${setup.index}`, pid: process.pid };
    logStream.write(`${JSON.stringify({ ...line, stack, msg: `A worker has crashed at job '${job.kind}'` })}\n`);
    throw error;
  }
  bell.ring();
});

function perform(job: WorkerJob): WorkerDone {
  switch (job.kind) {
    case 'pack':
      return { kind: 'pack', result: packer.pack(job.job) };
    case 'punch':
      // A punch that fails costs space until compaction, nothing else.
      for (const range of job.punches) punch(range, backing);
      return { kind: 'punch', id: job.id };
    case 'compare':
      return { kind: 'compare', id: job.id, outcome: compareContents(job.job, backing, VOLUME_KINDS) };
    case 'residents':
      return { kind: 'residents', residents: listResidents(job.job, backing, VOLUME_KINDS) };
    case 'list':
      return { kind: 'list', numbers: listOwnFiles(backing, job.volume, job.start) };
    case 'flush':
      return { kind: 'flush', id: job.id, outcomes: job.targets.map((target) => flushTarget(backing, target)) };
    case 'writeBack':
      return { kind: 'writeBack', id: job.id, outcome: writeBackTarget(backing, job.target, job.range) };
    case 'write':
      return { kind: 'write', id: job.id, outcome: writeTarget(backing, job.target, job) };
    case 'checkpoint':
      return { kind: 'checkpoint', id: job.id, outcome: checkpointDatabase(job.path) };
    case 'own':
      return { kind: 'own', id: job.id, result: makeOwnFiles(backing, job.batch) };
    case 'unlink':
      return { kind: 'unlink', id: job.id, outcomes: job.paths.map((path) => backing.unlink(path)) };
  }
}

/**
 * What a program waits for keeps the daemon's niceness. Copying what somebody streams is worth no more than other programs,
 * or the host's own threads, which move every byte to the disk, get no processor beside it; and removing a large file, for
 * which nobody waits, is worth less.
 */
function giveWay(job: WorkerJob): void {
  if (!mayReturn) return;
  const wanted = nicenessFor(job);
  if (wanted === present) return;
  // Linux has a niceness for each thread: this is the calling one's.
  setPriority(wanted);
  present = wanted;
}

function nicenessFor(job: WorkerJob): number {
  if (job.kind === 'unlink' || job.kind === 'punch' || isMove(job))
    return Math.min(LEAST, Math.max(0, niceness) + PATIENCE);
  if (job.kind === 'flush' && !job.isLong) return niceness;
  if (job.kind === 'pack' && job.isUrgent) return niceness;
  if (job.kind === 'checkpoint') return niceness;
  return Math.max(0, niceness);
}

/** Nobody waits for what compaction moves. */
function isMove(job: WorkerJob): boolean {
  return job.kind === 'residents' || (job.kind === 'pack' && job.job.moves !== undefined);
}

/** Whether a thread that has given way may have its niceness again: not in every container. */
function canReturn(): boolean {
  try {
    setPriority(niceness + 1);
    setPriority(niceness);
    return true;
  } catch {
    return false;
  }
}
