/** Which boot of this machine it is: what only the page cache held is gone when it differs. */
import { readFileSync } from 'node:fs';

/** The kernel's random UUID of this boot; see random(4). */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
