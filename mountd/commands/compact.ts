/** `pacsfs compact`: one pass over the aggregates of a mounted store, in the background or waited for. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CompactionStatus } from '../../fs/compactor.ts';
import { Failure } from '../failure.ts';
import { askLive, daemonOf, type LiveDaemon } from '../live_daemon.ts';
import { print, printJson } from '../output.ts';
import { Bar } from '../shards/bar.ts';

export interface CompactOptions {
  readonly wait?: boolean;
  readonly json?: boolean;
}

const ASK_TIMEOUT_MS = 30_000;
const LOOK_MS = 250;

export async function compact(target: string, options: CompactOptions): Promise<void> {
  const daemon = daemonOf(target);
  let status = await ask(daemon, 'POST');
  if (options.wait === true) status = await waitFor(daemon, status);
  if (options.json === true) printJson({ store: daemon.store, ...described(status) });
  else print(textOf(daemon.store, status, options.wait === true));
  if (options.wait === true && status.failed !== undefined)
    throw new Failure(`Compaction of ${daemon.store} ended early: ${status.failed}`);
}

/** A daemon that took over meanwhile knows of no pass: it is asked for one. */
async function waitFor(daemon: LiveDaemon, begun: CompactionStatus): Promise<CompactionStatus> {
  const bar = new Bar('compacting aggregates');
  let status = begun;
  let wanted = begun.asked;
  try {
    while (status.done < wanted) {
      bar.draw(status.looked, status.toDo);
      await sleep(LOOK_MS);
      status = await ask(daemon, 'GET');
      if (status.asked >= wanted) continue;
      status = await ask(daemon, 'POST');
      wanted = status.asked;
    }
  } finally {
    bar.end();
  }
  return status;
}

/** To ask for a pass twice costs a look at the ledger. */
async function ask(daemon: LiveDaemon, method: 'GET' | 'POST'): Promise<CompactionStatus> {
  return (await askLive(daemon, { method, path: '/compact', timeoutMs: ASK_TIMEOUT_MS })) as CompactionStatus;
}

function described({ asked, done, ...status }: CompactionStatus): object {
  return { ...status, finished: done >= asked };
}

function textOf(store: string, status: CompactionStatus, isDone: boolean): string {
  if (!isDone) return `${store} is being compacted; \`pacsfs status ${store}\` tells how far it is`;
  const { aggregates, files, bytesCopied, bytesGivenBack, writeAmplification, damaged } = status;
  const amplification = writeAmplification === null ? '' : `, ${writeAmplification} bytes copied for each given back`;
  const left =
    damaged === 0 ? '' : `; ${damaged} files stay where they are: a block of each cannot be read, see the log`;
  return `Since the daemon started: ${count(aggregates)} aggregates emptied, ${count(files)} files moved, ${count(bytesCopied)} bytes copied, ${count(bytesGivenBack)} given back${amplification}${left}`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}
