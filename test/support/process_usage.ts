/** What a process and its descendants hold: memory and descriptors, sampled from /proc while something runs. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Usage {
  /** Proportional set size, bytes: pages shared between the processes count once. */
  readonly memory: number;
  /** Most descriptors that any one of the processes holds. */
  readonly descriptors: number;
}

/** Of the process and all that descend from it, as of now. */
export function usageOf(pid: number): Usage {
  let memory = 0;
  let descriptors = 0;
  for (const member of family(pid)) {
    try {
      const rollup = readFileSync(`/proc/${member}/smaps_rollup`, 'utf8');
      memory += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
      descriptors = Math.max(descriptors, readdirSync(`/proc/${member}/fd`).length);
    } catch {
      // It ended in between.
    }
  }
  return { memory, descriptors };
}

/** Samples until `work` has ended; gives the highest of each. Throws when there was nothing to sample. */
export async function highestUsage(pid: number, work: () => Promise<unknown>): Promise<Usage> {
  let highest: Usage = { memory: 0, descriptors: 0 };
  const sample = () => {
    const now = usageOf(pid);
    highest = {
      memory: Math.max(highest.memory, now.memory),
      descriptors: Math.max(highest.descriptors, now.descriptors),
    };
  };
  const timer = setInterval(sample, 200);
  try {
    await work();
    sample();
  } finally {
    clearInterval(timer);
  }
  if (highest.memory === 0) throw new Error(`Cannot sample process ${pid}: it is gone`);
  return highest;
}

function family(pid: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended in between.
    }
  }
  const found = [pid];
  for (const member of found) found.push(...(children.get(member) ?? []));
  return found;
}
