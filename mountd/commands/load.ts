/** `pacsfs load`: fills an empty store's metadata from what `pacsfs dump` wrote. */
import { createReadStream } from 'node:fs';
import { readConfig } from '../config.ts';
import { loadDump } from '../dump/load.ts';
import { failureOf } from '../failure.ts';
import { StoreLock } from '../lock.ts';
import { print, printJson, remark } from '../output.ts';
import { resolveTarget } from '../target.ts';

export interface LoadOptions {
  readonly json?: boolean;
}

/** Without a file, or with '-', from standard input. */
export async function load(target: string, file: string | undefined, options: LoadOptions): Promise<void> {
  const { store } = resolveTarget(target);
  const config = readConfig(store);
  const lock = StoreLock.acquire(store, { purpose: 'load' });
  try {
    const input = file === undefined || file === '-' ? process.stdin : createReadStream(file);
    const loaded = await loadDump({ store, config, input });
    if (loaded.damaged > 0)
      remark(`the dump lacks ${loaded.damaged} rows that were damaged; \`pacsfs fsck\` finds what they leave`);
    for (const { name, path } of loaded.missing)
      remark(`volume '${name}' of the dumped store is not at ${path}; put it there, or its path into store.yaml`);
    if (loaded.twin !== undefined)
      remark(`${loaded.twin} is the same store with the same volumes: remove it, the two must never be mounted both`);
    if (options.json === true) printJson({ store, ...loaded });
    else
      print(`Loaded ${store}: store ${loaded.storeId}, ${loaded.inodes} inodes; its files' bytes lie where they lay`);
  } catch (thrown) {
    throw failureOf(`load ${store}`, thrown);
  } finally {
    lock.releaseUnchanged();
  }
}
