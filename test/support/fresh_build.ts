/** Tests of mounts run what was built: a build that is older than the sources would test another program. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const FOLDERS = ['base', 'fs', 'shard', 'aggregate', 'tiering', 'mountd'];

/** A source of the program that is newer than what was built of it, or was not built at all. */
export function staleSource(checkout: string, folders: readonly string[] = FOLDERS): string | undefined {
  const joined = statSync(join(checkout, 'dist', 'program', 'main.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  for (const folder of folders) {
    for (const entry of readdirSync(join(checkout, folder), { recursive: true, encoding: 'utf8' })) {
      if (!entry.endsWith('.ts') || entry.endsWith('.mount.ts')) continue;
      const source = join(folder, entry);
      const built = statSync(join(checkout, 'dist', source.replace(/\.ts$/, '.js')), { throwIfNoEntry: false });
      const changed = statSync(join(checkout, source)).mtimeMs;
      if (built === undefined || built.mtimeMs < changed || joined < changed) return source;
    }
  }
  return undefined;
}
