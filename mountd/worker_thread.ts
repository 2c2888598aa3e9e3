/** A worker thread: does what waits for disks, one job at a time, and rings the control thread when it is done. */
import { workerData } from 'node:worker_threads';
import { PackWorker } from '../aggregate/pack_worker.ts';
import { punch } from '../aggregate/punch.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import type { WorkerDone, WorkerJob } from '../fs/types.ts';
import type { WorkerSetup } from './messages.ts';
import { Bell } from './wake.ts';

const setup = workerData as WorkerSetup;
const backing = new PosixBacking();
const packer = new PackWorker(backing);
const bell = new Bell(setup.wakeFd);

setup.controlPort.on('message', (job: WorkerJob) => {
  setup.controlPort.postMessage(perform(job));
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
