/** `pacsfs sync`: all that was written before it survives power loss. */
import { askDaemon } from '../admin_client.ts';
import { daemonOf } from '../live_daemon.ts';
import { printJson, remark } from '../output.ts';

export interface SyncOptions {
  readonly packed?: boolean;
  readonly json?: boolean;
}

const REMARK_MS = 10_000;

export async function sync(target: string, options: SyncOptions): Promise<void> {
  const { store, adminSocket } = daemonOf(target);
  // However long the disks need; a person who waits is told so.
  const patience = setInterval(() => remark('the daemon is still making everything durable'), REMARK_MS);
  await askDaemon(adminSocket, {
    method: 'POST',
    path: '/sync',
    body: { packed: options.packed === true },
    timeoutMs: 0,
  }).finally(() => clearInterval(patience));
  if (options.json === true) printJson({ store, durable: true });
}
