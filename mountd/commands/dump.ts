/** `pacsfs dump`: a store's metadata as JSON Lines. */
import { Failure } from '../failure.ts';

export interface DumpOptions {
  /** File to write; without it standard output. */
  readonly output?: string;
}

export async function dump(target: string, _options: DumpOptions): Promise<void> {
  throw new Failure(`Cannot dump ${target}: not built yet`);
}
