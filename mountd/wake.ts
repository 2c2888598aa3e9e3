/** An eventfd as a bell: the control thread sleeps in poll(2), where no message port can wake it. */
import { read, write } from '../base/libc.ts';

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

  /** By the thread that listens, before it reads its ports: what is posted later rings again. */
  silence(): void {
    read(this.#fd, this.#bytes);
  }
}
