/** Studies written by many parallel writers: a few child processes with several writers each, as receiving PACS do. */
import { mkdirSync } from 'node:fs';
import { type CrewReport, compiledModule, runCrew } from './crew.ts';
import type { WriteTask } from './write_member.ts';

export interface WriteOptions {
  /** The folder that receives `PatientID/StudyUID/SeriesUID/SOPUID.dcm`. */
  readonly to: string;
  readonly seed: number;
  readonly studies: number;
  /** Images in each study. */
  readonly files: number;
  readonly processes: number;
  /** Writers in each process. */
  readonly writers: number;
  /** Bytes in each `write`: 65,536 or 1,048,576 are usual. */
  readonly writeBytes: number;
  /** The folder for the manifest; not on the filesystem under test. */
  readonly manifest: string;
  /** Where real objects to mix in lie; none when there is no such folder. */
  readonly realFolder: string;
}

export async function writeStudies(options: WriteOptions, timeoutMs: number): Promise<CrewReport> {
  mkdirSync(options.manifest, { recursive: true });
  const tasks = Array.from({ length: options.processes }, (_, part): WriteTask => ({ ...options, part }));
  return runCrew({ module: compiledModule('write_member'), tasks, concurrency: options.writers, timeoutMs });
}
