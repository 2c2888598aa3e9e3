/** The child process of `reader.ts`: reads one part of a manifest's files and compares sizes and SHA-256. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Amount, inParallel, serveMember } from './crew.ts';
import { loadManifest, type ManifestEntry } from './manifest.ts';
import type { ReadOptions } from './reader.ts';

export interface ReadTask extends ReadOptions {
  /** This process takes one of `processes` equal stretches, so that each reads whole series in order. */
  readonly part: number;
}

serveMember((task: ReadTask) => {
  const all = loadManifest(task.manifest);
  const share = Math.ceil(all.length / task.processes);
  const entries = all.slice(task.part * share, (task.part + 1) * share);
  return () => readPart(task, entries);
});

async function readPart(task: ReadTask, entries: readonly ManifestEntry[]): Promise<Amount> {
  let bytes = 0;
  await inParallel(entries, {
    count: task.readers,
    each: async (entry) => {
      const found = await readFile(join(task.from, entry.path));
      const sha256 = createHash('sha256').update(found).digest('hex');
      if (found.length !== entry.size) {
        throw new Error(`${entry.path} differs: ${found.length} bytes, expected ${entry.size}`);
      }
      if (sha256 !== entry.sha256)
        throw new Error(`${entry.path} differs: SHA-256 ${sha256}, expected ${entry.sha256}`);
      bytes += found.length;
    },
  });
  return { files: entries.length, bytes };
}
