/** Reads back what `writer.ts` wrote, in parallel child processes, and compares every byte by SHA-256. */
import { type CrewReport, compiledModule, runCrew } from './crew.ts';
import type { ReadTask } from './read_member.ts';

export interface ReadOptions {
  /** The folder that was written to. */
  readonly from: string;
  /** The folder with the manifest. */
  readonly manifest: string;
  readonly processes: number;
  /** Readers in each process. */
  readonly readers: number;
}

/** Rejects at the first file that is missing or differs. */
export async function verifyStudies(options: ReadOptions, timeoutMs: number): Promise<CrewReport> {
  const tasks = Array.from({ length: options.processes }, (_, part): ReadTask => ({ ...options, part }));
  return runCrew({ module: compiledModule('read_member'), tasks, concurrency: options.readers, timeoutMs });
}
