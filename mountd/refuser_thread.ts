/** The thread of refuser.ts: reads requests and refuses them. */
import { workerData } from 'node:worker_threads';
import { POLLIN, poll, read, write } from '../base/libc.ts';
import { Refusal } from '../fs/kernel/refusal.ts';
import type { RefuserSetup } from './messages.ts';

/** How often it looks whether it is to stop. */
const LOOK_MS = 100;

const setup = workerData as RefuserSetup;
const polled = new Uint8Array(8);
const view = new DataView(polled.buffer);
view.setInt32(0, setup.fuseFd, true);
view.setInt16(4, POLLIN, true);

const refusal = new Refusal(
  { read: (into) => read(setup.fuseFd, into), write: (message) => write(setup.fuseFd, message) },
  setup.maxWrite,
);
// What the last daemon had read and not answered hangs too.
refusal.resendRequests();
while (refusal.serve() && Atomics.load(setup.isStopping, 0) === 0) poll(polled, LOOK_MS);
