/** `pacsfs load`: fills an empty store's metadata from what `pacsfs dump` wrote. */
import { Failure } from '../failure.ts';

export async function load(target: string, _file: string | undefined): Promise<void> {
  throw new Failure(`Cannot load ${target}: not built yet`);
}
