/** `pacsfs info PATH`: where a file, its name and its bytes lie. */
import { lstat } from 'node:fs/promises';
import { Failure, failureOf } from '../failure.ts';
import { askLive, daemonOf } from '../live_daemon.ts';
import { print, printJson, renderFields } from '../output.ts';

export interface InfoOptions {
  readonly json?: boolean;
}

const TIMEOUT_MS = 30_000;

export async function info(path: string, options: InfoOptions): Promise<void> {
  const daemon = daemonOf(path, { withinMount: true });
  const ino = await inodeNumber(path);
  const answer = await askLive(daemon, { method: 'GET', path: `/inode/${ino}`, timeoutMs: TIMEOUT_MS });
  const found = { path, ...(answer as object) };
  if (options.json === true) printJson(found);
  else print(renderFields(found));
}

export async function inodeNumber(path: string): Promise<bigint> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Failure(`${path} has not answered for ${TIMEOUT_MS} ms; see \`pacsfs status\``)),
      TIMEOUT_MS,
    );
  });
  try {
    return (await Promise.race([lstat(path, { bigint: true }), tooLate])).ino;
  } catch (error) {
    throw failureOf(`look at ${path}`, error);
  } finally {
    clearTimeout(timer);
  }
}
