/** The child process of `writer.ts`: writes one part of the studies with several writers and notes what it wrote. */
import { createHash } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { type Amount, inParallel, serveMember } from './crew.ts';
import { type ManifestEntry, saveManifest } from './manifest.ts';
import { findRealObjects, readRealObject } from './real_objects.ts';
import { LARGEST_FILE_BYTES, Study } from './study.ts';
import { type Job, workList } from './work_list.ts';
import type { WriteOptions } from './writer.ts';

export interface WriteTask extends WriteOptions {
  /** This process takes the jobs whose number is `part` modulo `processes`. */
  readonly part: number;
}

serveMember((task: WriteTask) => {
  const realObjects = findRealObjects(task.realFolder);
  const jobs = workList({ ...task, realObjects }).filter((_, index) => index % task.processes === task.part);
  const studies = Array.from(
    { length: task.studies },
    (_, index) => new Study({ seed: task.seed, index, files: task.files }),
  );
  for (const study of studies) study.prepare();
  return () => writePart(task, jobs, studies);
});

async function writePart(task: WriteTask, jobs: readonly Job[], studies: readonly Study[]): Promise<Amount> {
  const entries: ManifestEntry[] = [];
  const folders = new Map<string, Promise<unknown>>();
  const scratch = Array.from({ length: task.writers }, () => new ArrayBuffer(LARGEST_FILE_BYTES));
  let bytes = 0;
  await inParallel(jobs, {
    count: task.writers,
    each: async (job, writer) => {
      const file = fileOf(job, { studies, scratch: scratch[writer] });
      const sha256 = createHash('sha256').update(file.bytes).digest('hex');
      const path = join(task.to, file.path);
      const folder = dirname(path);
      const made = folders.get(folder) ?? mkdir(folder, { recursive: true });
      folders.set(folder, made);
      await made;
      await writeFile(path, file.bytes, task.writeBytes);
      bytes += file.bytes.length;
      entries.push({ path: file.path, size: file.bytes.length, sha256 });
    },
  });
  saveManifest(task.manifest, task.part, entries);
  return { files: entries.length, bytes };
}

function fileOf(job: Job, { studies, scratch }: { studies: readonly Study[]; scratch: ArrayBuffer | undefined }) {
  const study = studies[job.study];
  assert(study !== undefined, `study ${job.study} of ${studies.length}`);
  return job.real === undefined ? study.file(job.file, scratch) : readRealObject(job.real, study.folder);
}

/** As a receiving PACS does: a new file, one piece after another, close. */
async function writeFile(path: string, bytes: Uint8Array, writeBytes: number): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await handle.write(bytes, at, Math.min(writeBytes, bytes.length - at));
      at += bytesWritten;
    }
  } finally {
    await handle.close();
  }
}
