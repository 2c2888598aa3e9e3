/** `pacsfs dump`: a store's metadata as JSON Lines. */
import { Failure } from '../failure.ts';

export async function dump(target: string, _file: string | undefined): Promise<void> {
  throw new Failure(`Cannot dump ${target}: not built yet`);
}
