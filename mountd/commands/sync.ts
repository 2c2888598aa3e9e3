/** `pacsfs sync`: all that was written before it survives power loss. */
import { askLive, daemonOf } from '../live_daemon.ts';
import { printJson, remark } from '../output.ts';

export interface SyncOptions {
  readonly packed?: boolean;
  readonly json?: boolean;
}

const REMARK_MS = 10_000;

export async function sync(target: string, options: SyncOptions): Promise<void> {
  const daemon = daemonOf(target);
  // However long the disks need; a person who waits is told so.
  const patience = setInterval(() => remark('the daemon is still making everything durable'), REMARK_MS);
  await askLive(daemon, {
    method: 'POST',
    path: '/sync',
    body: { packed: options.packed === true },
    timeoutMs: 0,
  }).finally(() => clearInterval(patience));
  if (options.json === true) printJson({ store: daemon.store, durable: true });
}
