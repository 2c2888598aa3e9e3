/** Where the program keeps its own things: within the store, and for what dies with the machine under /run. */
import { mkdirSync } from 'node:fs';
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

/** Folder of the admin sockets; for its owner alone. */
export function runFolder(): string {
  const uid = process.geteuid?.() ?? 0;
  if (uid === 0) return '/run/pacsfs';
  return join(process.env['XDG_RUNTIME_DIR'] ?? '/tmp', `pacsfs-${uid}`);
}

/** Path of a store's admin socket; makes its folder. Short, because a socket's path ends at 107 bytes. */
export function prepareAdminSocket(storeId: string): string {
  const folder = runFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return join(folder, `${storeId}.sock`);
}
