/** A worker thread: does what waits for disks, one job at a time, and rings the control thread when it is done. */
import { workerData } from 'node:worker_threads';
import { PackWorker } from '../aggregate/pack_worker.ts';
import { punch } from '../aggregate/punch.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import type { WorkerDone, WorkerJob } from '../fs/types.ts';
import { logStream } from './log_stream.ts';
import type { WorkerSetup } from './messages.ts';
import { Bell } from './wake.ts';

const setup = workerData as WorkerSetup;
const backing = new PosixBacking();
const packer = new PackWorker(backing);
const bell = new Bell(setup.wakeFd);

setup.controlPort.on('message', (job: WorkerJob) => {
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
      return { kind: 'punch', punches: job.punches };
  }
}
