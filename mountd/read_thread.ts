/** A reader thread: answers READs that the control thread hands on; see fs/reads/read_server.ts. It never returns. */
import { workerData } from 'node:worker_threads';
import { readDescriptor } from '../base/posix_backing.ts';
import { type Fetch, ReadServer } from '../fs/reads/read_server.ts';
import { ReadRing } from '../fs/reads/ring.ts';
import { logStream } from './log_stream.ts';
import type { ReaderSetup } from './messages.ts';
import { Bell } from './wake.ts';

const setup = workerData as ReaderSetup;
const bell = new Bell(setup.wakeFd);

/** As on a slow disk. */
function delayed(fetch: Fetch, delayMs: number): Fetch {
  const sleep = new Int32Array(new SharedArrayBuffer(4));
  return (descriptor, into, offset) => {
    Atomics.wait(sleep, 0, 0, delayMs);
    return fetch(descriptor, into, offset);
  };
}

try {
  new ReadServer({
    ring: new ReadRing(setup.ring),
    segments: setup.segments,
    ringBell: () => bell.ring(),
    fetch: setup.delayMs > 0 ? delayed(readDescriptor, setup.delayMs) : readDescriptor,
  }).run();
} catch (error) {
  // An error loses its stack on its way to another thread.
  const stack = error instanceof Error ? error.stack : String(error);
  const line = { level: 'error', time: new Date().toISOString(), name: `reader ${setup.index}`, pid: process.pid };
  logStream.write(`${JSON.stringify({ ...line, stack, msg: 'A reader has crashed' })}\n`);
  throw error;
}
