/** Which files there are to write, over all studies and real objects, in an order that all processes agree on. */
import type { RealObject } from './real_objects.ts';

export type Job =
  | { readonly study: number; readonly file: number; readonly real?: undefined }
  | { readonly study: number; readonly real: RealObject };

/**
 * The studies take turns, as if several modalities sent at once, and each real object goes to one of them, spread over
 * the whole list.
 */
export function workList(options: { studies: number; files: number; realObjects: readonly RealObject[] }): Job[] {
  const { studies, files, realObjects } = options;
  const jobs: Job[] = [];
  let placed = 0;
  for (let file = 0; file < files; file++) {
    for (let study = 0; study < studies; study++) jobs.push({ study, file });
    for (; (file + 1) * (realObjects.length + 1) >= (placed + 1) * files; placed++) {
      const real = realObjects[placed];
      if (real === undefined) break;
      jobs.push({ study: placed % studies, real });
    }
  }
  return jobs;
}
