/**
 * Registration of backing files with the kernel, by ioctl on the device.
 *
 * struct fuse_backing_map:  fd i32 0, flags u32 4 (0), padding u64 8
 *
 * Source: FUSE_DEV_IOC_BACKING_OPEN and _CLOSE in the kernel's uapi header linux/fuse.h (Linux 6.9).
 */
import { ioctl } from '../../base/libc.ts';
import type { BackingIds } from '../passthrough.ts';

/** _IOW(229, 1, struct fuse_backing_map) */
const FUSE_DEV_IOC_BACKING_OPEN = 0x4010_e501;
/** _IOW(229, 2, uint32_t) */
const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004_e502;

export class DeviceBackingIds implements BackingIds {
  readonly #device: { readonly fd: number };
  readonly #map = new Uint8Array(16);
  readonly #view = new DataView(this.#map.buffer);

  /** `device` may change its descriptor; any of the connection's will do. */
  constructor(device: { readonly fd: number }) {
    this.#device = device;
  }

  register(descriptor: number): number {
    this.#map.fill(0);
    this.#view.setInt32(0, descriptor, true);
    return ioctl(this.#device.fd, FUSE_DEV_IOC_BACKING_OPEN, this.#map);
  }

  unregister(id: number): void {
    this.#view.setUint32(0, id, true);
    ioctl(this.#device.fd, FUSE_DEV_IOC_BACKING_CLOSE, this.#map);
  }
}
