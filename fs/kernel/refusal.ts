/** A conversation with the kernel that has nothing to say: every request that wants an answer gets EIO. */
import { viewOf } from '../../base/bytes.ts';
import { E } from '../../base/errno.ts';
import { alignedBuffer } from '../../base/libc.ts';
import { resendRequests } from './notifications.ts';
import { inHeaderBytes, MAX_REQUEST_OVERHEAD_BYTES, Opcode, outHeaderBytes } from './protocol.ts';
import type { Device } from './session.ts';

/** What the kernel does not wait for. */
const SILENT: ReadonlySet<number> = new Set([
  Opcode.FORGET,
  Opcode.BATCH_FORGET,
  Opcode.INTERRUPT,
  Opcode.NOTIFY_REPLY,
]);
const ECONNABORTED = 103;

export class Refusal {
  readonly #device: Device;
  readonly #request: Uint8Array;
  readonly #requestView: DataView;
  readonly #reply = new Uint8Array(outHeaderBytes);
  readonly #replyView = viewOf(this.#reply);

  /** `maxWrite`: bytes of the largest WRITE that was negotiated. */
  constructor(device: Device, maxWrite: number) {
    this.#device = device;
    this.#request = alignedBuffer(maxWrite + MAX_REQUEST_OVERHEAD_BYTES);
    this.#requestView = viewOf(this.#request);
  }

  /** What others have read and left unanswered comes again, where the kernel can do that. */
  resendRequests(): void {
    this.#device.write(resendRequests());
  }

  /** Refuses what waits, without waiting for more; false when the mount is gone. */
  serve(): boolean {
    for (;;) {
      const received = this.#device.read(this.#request);
      if (received === -E.EINTR.number || received === -E.ENOENT.number) continue;
      if (received < 0) return received !== -E.ENODEV.number && received !== -ECONNABORTED;
      if (received >= inHeaderBytes) this.#refuse();
    }
  }

  #refuse(): void {
    if (SILENT.has(this.#requestView.getUint32(4, true))) return;
    this.#replyView.setUint32(0, outHeaderBytes, true);
    this.#replyView.setInt32(4, -E.EIO.number, true);
    this.#reply.set(this.#request.subarray(8, 16), 8);
    this.#device.write(this.#reply);
  }
}
