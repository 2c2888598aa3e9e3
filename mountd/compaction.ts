/** The daemon's side of `pacsfs compact`: why a pass cannot begin, in words. */
import type { CompactionStatus } from '../fs/compactor.ts';
import { type ControlClient, QueryError } from './control_client.ts';
import { Failure } from './failure.ts';

const TIMEOUT_MS = 30_000;

export async function askCompaction(
  store: string,
  { begin, control }: { readonly begin: boolean; readonly control: ControlClient },
): Promise<CompactionStatus> {
  try {
    return (await control.ask({ kind: 'compaction', begin }, TIMEOUT_MS)) as CompactionStatus;
  } catch (thrown) {
    if (!(thrown instanceof QueryError)) throw thrown;
    const reasons: Readonly<Record<string, string>> = {
      EROFS: 'it takes no changes; see `pacsfs status`',
      ENOSPC: 'the metadata disk is short of room; free some space there first',
    };
    throw new Failure(`Cannot compact ${store}: ${reasons[thrown.errno] ?? thrown.errno}`);
  }
}
