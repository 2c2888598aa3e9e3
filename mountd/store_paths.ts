/** Where the program keeps its own things: within the store, and for what dies with the machine under /run. */
import { join } from 'node:path';

export function configPath(store: string): string {
  return join(store, 'store.yaml');
}

export function metaFolder(store: string): string {
  return join(store, 'meta');
}

export function lockPath(store: string): string {
  return join(store, 'meta', 'lock');
}

export function logPath(store: string): string {
  return join(store, 'meta', 'pacsfs.log');
}

/** A store's admin socket, in a folder for its owner alone. Short, because a socket's path ends at 107 bytes. */
export function adminSocketPath(storeId: string): string {
  return join(runFolder(), `${storeId}.sock`);
}

/** What a mount's daemons leave to each other: in memory, because it means nothing once the mount is gone. */
export function openTablePath(storeId: string): string {
  return join(runFolder(), `${storeId}.open`);
}

function runFolder(): string {
  const uid = process.geteuid?.() ?? 0;
  return uid === 0 ? '/run/pacsfs' : join(process.env['XDG_RUNTIME_DIR'] ?? '/tmp', `pacsfs-${uid}`);
}
