/**
 * The FUSE connection as one daemon reads and writes it: the supervisor's descriptor, on which what a daemon leaves
 * unanswered can be sent again to the next. Where the kernel cannot do that (before 6.9) a clone of the device that nobody
 * else holds: what was read through it fails when its holder dies, instead of hanging for ever, and what was not yet read
 * waits for the next daemon. A reply must go through the device that its request came from.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { errnoOf } from '../base/errno.ts';
import { ioctl, read, write } from '../base/libc.ts';
import type { Device } from '../fs/kernel/session.ts';

/** FUSE_DEV_IOC_CLONE = _IOR(229, 0, uint32_t) of linux/fuse.h. */
const FUSE_DEV_IOC_CLONE = 0x8004_e500;

export class FuseDevice implements Device {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** For poll(2). */
  get fd(): number {
    return this.#fd;
  }

  read(into: Uint8Array): number {
    return read(this.#fd, into);
  }

  write(message: Uint8Array): number {
    return write(this.#fd, message);
  }

  /** From now on through a clone; nothing read before may be unanswered. Throws when there can be none. */
  useClone(): void {
    const clone = openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK);
    const argument = new Uint8Array(4);
    new DataView(argument.buffer).setUint32(0, this.#fd, true);
    const outcome = ioctl(clone, FUSE_DEV_IOC_CLONE, argument);
    if (outcome < 0) {
      closeSync(clone);
      throw new Error(`Cannot clone the FUSE device: ${errnoOf(-outcome).name}`);
    }
    this.#fd = clone;
  }
}
