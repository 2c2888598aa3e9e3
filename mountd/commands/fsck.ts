/** `pacsfs fsck`: checks a store that is not mounted. */
import { Failure } from '../failure.ts';

export interface FsckOptions {
  readonly repair?: boolean;
  readonly rebuild?: boolean;
  readonly json?: boolean;
}

/** Resolves to the exit code of fsck(8): 0 clean, 1 repaired, 4 damage left, 8 operational error, 16 usage. */
export async function fsck(target: string, _options: FsckOptions): Promise<number> {
  throw new Failure(`Cannot check ${target}: not built yet`, 8);
}
