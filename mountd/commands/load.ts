/** `pacsfs load`: fills an empty store's metadata from what `pacsfs dump` wrote. */
import { Failure } from '../failure.ts';

export interface LoadOptions {
  /** File to read; without it standard input. */
  readonly input?: string;
}

export async function load(target: string, _options: LoadOptions): Promise<void> {
  throw new Failure(`Cannot load ${target}: not built yet`);
}
