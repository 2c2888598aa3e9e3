/**
 * The process of notifier.ts: writes one batch of notifications to the device, one after the other, and ends. While it waits
 * in the kernel it holds the device, so without a supervisor nobody would ever be told that the mount is dead: then it says
 * so itself, by aborting the connection. It has no other part in a mount.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { E } from '../base/errno.ts';
import { exitNow, mount, umount2, writeLater } from '../base/libc.ts';
import { FUSE_FD } from './messages.ts';
import type { NotifierBatch } from './notifier.ts';

const CONNECTIONS = '/sys/fs/fuse/connections';
/** How long a daemon without a supervisor may go on answering: it makes everything durable and ends. */
const ORPHAN_MS = 1_000;

const abortPath = `${CONNECTIONS}/${process.argv[2]}/abort`;
let isBusy = false;

/** Whoever hangs on the mount gets an error. Hosts without systemd may not have mounted the place where that is said. */
function abort(): void {
  const isHidden = !existsSync(abortPath);
  if (isHidden) mount({ source: 'none', target: CONNECTIONS, type: 'fusectl', flags: 0, data: '' });
  try {
    writeFileSync(abortPath, '1');
  } catch {
    // It is gone.
  }
  if (isHidden) umount2(CONNECTIONS, 0);
}

async function tell(batch: NotifierBatch): Promise<void> {
  isBusy = true;
  for (const message of batch) {
    // ENOENT: the kernel does not have this name.
    if ((await writeLater(FUSE_FD, Buffer.from(message, 'base64'))) === -E.ENODEV.number) break;
  }
  exitNow(0);
}

process.on('message', (batch: NotifierBatch) => void tell(batch));
process.on('disconnect', () => {
  if (!isBusy) exitNow(0);
  setTimeout(abort, ORPHAN_MS);
});
