/** An eventfd as a bell: the control thread sleeps in poll(2), where no message port can wake it. */
import { POLLIN, poll, read, write } from '../base/libc.ts';

/** Longest sleep: a lost ring would cost no more than this. */
const WAIT_MS = 1_000;

export class Bell {
  readonly #fd: number;
  readonly #bytes = new Uint8Array(8);

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** After each post to the thread that listens. Any thread may ring; a bell that rings already keeps ringing. */
  ring(): void {
    this.#bytes.fill(0);
    this.#bytes[0] = 1;
    write(this.#fd, this.#bytes);
  }

  /**
   * By the thread that listens, before it reads its ports: what is posted later rings again. False when it did not ring,
   * which costs next to nothing to find out.
   */
  silence(): boolean {
    return read(this.#fd, this.#bytes) > 0;
  }

  /** As `silence`, once it rings or a while has passed. */
  wait(): void {
    const polled = new Uint8Array(8);
    const view = new DataView(polled.buffer);
    view.setInt32(0, this.#fd, true);
    view.setInt16(4, POLLIN, true);
    poll(polled, WAIT_MS);
    this.silence();
  }
}
