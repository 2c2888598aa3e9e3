/**
 * Where the daemon's threads log to: standard error, synchronously, so that a crash loses no line. A log that cannot be
 * written, on a full disk above all, must not end the daemon; the line is lost instead.
 */
import { writeSync } from 'node:fs';

export const logStream = {
  write(line: string): void {
    try {
      writeSync(2, line);
    } catch {
      // Nobody is left to tell.
    }
  },
};
