/**
 * Messages from the daemon to the kernel that answer no request: an out header with the code where replies have the
 * error, and `unique` 0. Only RESEND and INVAL_INODE of attributes are safe on the thread that serves requests; INVAL_ENTRY,
 * STORE and ranged INVAL_INODE wait for requests that this thread has yet to answer.
 */
import { setI64, setU53, viewOf } from '../../base/bytes.ts';
import type { Ino } from '../../base/units.ts';
import { NotifyCode, outHeaderBytes, PAYLOAD } from './protocol.ts';

const invalInodeBytes = 24;
const invalEntryBytes = 16;
const RESEND_MINOR_VERSION = 40;

function notification(code: number, payloadBytes: number): Uint8Array {
  const message = new Uint8Array(outHeaderBytes + payloadBytes);
  const view = viewOf(message);
  view.setUint32(0, message.length, true);
  view.setInt32(4, code, true);
  return message;
}

/** Drops the cached attributes (not the pages) of an inode. fuse_notify_inval_inode_out: ino 0, off i64 8, len i64 16 */
export function invalidateAttributes(node: Ino): Uint8Array {
  const message = notification(NotifyCode.INVAL_INODE, invalInodeBytes);
  const view = viewOf(message);
  setU53(view, PAYLOAD, node);
  setI64(view, PAYLOAD + 8, -1);
  return message;
}

/**
 * Drops what the kernel keeps of a name; if nothing else holds the inode, FORGET follows. Waits for requests in that
 * directory, so it is for a process that serves none. fuse_notify_inval_entry_out: parent u64 0, namelen u32 8, flags u32 12
 */
export function invalidateName(parent: Ino, name: Uint8Array): Uint8Array {
  const message = notification(NotifyCode.INVAL_ENTRY, invalEntryBytes + name.length + 1);
  const view = viewOf(message);
  setU53(view, PAYLOAD, parent);
  view.setUint32(PAYLOAD + 8, name.length, true);
  message.set(name, PAYLOAD + invalEntryBytes);
  return message;
}

/** Whether the kernel knows RESEND: from protocol 7.40, Linux 6.9. It need not be negotiated. */
export function canResend({ minor }: { readonly minor: number }): boolean {
  return minor >= RESEND_MINOR_VERSION;
}

/** Asks for every unanswered request once more, with bit 63 of `unique` set. */
export function resendRequests(): Uint8Array {
  return notification(NotifyCode.RESEND, 0);
}
