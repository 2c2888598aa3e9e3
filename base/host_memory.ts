/** How much the host's page cache takes before it writes to the disk by itself. */
import { readFileSync } from 'node:fs';
import { GIB, KIB, MIB } from './units.ts';

const LEAST_BYTES = 64 * MIB;
const MOST_BYTES = 4 * GIB;

/** Reads a file of /proc or /sys; undefined where it is not there. For tests. */
export type ReadText = (path: string) => string | undefined;

/**
 * Half of the host's background threshold (vm.dirty_background_ratio of the memory that is available, or
 * dirty_background_bytes), so that those who write are not throttled by it; 64 MiB to 4 GiB. In a control group with a
 * memory limit the threshold is a part of that.
 */
export function hostDirtyLimit(read: ReadText = readText): number {
  const number = (path: string) => Number(read(path) ?? 0) || 0;
  const fixed = number('/proc/sys/vm/dirty_background_bytes');
  const ratio = number('/proc/sys/vm/dirty_background_ratio') / 100;
  const available = Number(/^MemAvailable:\s+(\d+)/m.exec(read('/proc/meminfo') ?? '')?.[1] ?? 0) * KIB;
  const group = /^0::(\/.*)$/m.exec(read('/proc/self/cgroup') ?? '')?.[1];
  // 'max' where there is none.
  const limit = group === undefined ? 0 : number(`/sys/fs/cgroup${group}/memory.max`);
  const memory = limit > 0 ? Math.min(limit, available) : available;
  const threshold = fixed > 0 ? Math.min(fixed, memory) : memory * ratio;
  return Math.round(Math.min(MOST_BYTES, Math.max(LEAST_BYTES, threshold / 2)));
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
