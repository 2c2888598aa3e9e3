/** `lstat` of a path in a mount, whose daemon may hang: a command that looks must not hang with it. */
import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { Failure, failureOf } from './failure.ts';

const TIMEOUT_MS = 30_000;

/** Throws a Failure when there is no such file, or no answer. */
export async function patientStat(path: string): Promise<BigIntStats> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Failure(`${path} has not answered for ${TIMEOUT_MS} ms; see \`pacsfs status\``)),
      TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([lstat(path, { bigint: true }), tooLate]);
  } catch (error) {
    throw failureOf(`look at ${path}`, error);
  } finally {
    clearTimeout(timer);
  }
}
