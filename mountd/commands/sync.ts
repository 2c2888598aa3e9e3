/** `pacsfs sync`: all that was written before it survives power loss. */
import { askDaemon } from '../admin_client.ts';
import { daemonOf } from '../live_daemon.ts';

export interface SyncOptions {
  readonly packed?: boolean;
}

export async function sync(target: string, options: SyncOptions): Promise<void> {
  const { adminSocket } = daemonOf(target);
  await askDaemon(adminSocket, {
    method: 'POST',
    path: '/sync',
    body: { packed: options.packed === true },
    timeoutMs: 0,
  });
}
