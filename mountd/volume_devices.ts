/** Redundancy needs devices that fail alone. */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { VolumeRow } from '../base/layout.ts';
import { Failure } from './failure.ts';

/**
 * Throws a Failure when two directories of one volume lie on one device: they would be lost together. `deviceOf` tells the
 * device of a directory that may be yet to be made.
 */
export function checkDevices(
  volumes: readonly Pick<VolumeRow, 'name' | 'paths'>[],
  deviceOf: (path: string) => number = nearestDevice,
): void {
  for (const volume of volumes) {
    const seen = new Map<number, string>();
    for (const path of volume.paths) {
      const device = deviceOf(path);
      const other = seen.get(device);
      if (other !== undefined) {
        throw new Failure(
          `Cannot format volume '${volume.name}': ${other} and ${path} lie on one device and would be lost together; ` +
            'use --same-device if that is meant',
        );
      }
      seen.set(device, path);
    }
  }
}

/** Of the path, or of the folder that it will be made in. */
function nearestDevice(path: string): number {
  for (let place = path; ; place = dirname(place)) {
    const found = statSync(place, { throwIfNoEntry: false });
    if (found !== undefined) return found.dev;
    if (place === '/') return -1;
  }
}
