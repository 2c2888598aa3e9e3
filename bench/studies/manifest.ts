/**
 * What was written, as JSON Lines: one file `part-N.jsonl` per writing process in a folder outside the mount, one line
 * per file. It is the witness that a later reader compares with.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ManifestEntry {
  /** Relative to the folder that was written to. */
  readonly path: string;
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export function saveManifest(folder: string, part: number, entries: readonly ManifestEntry[]): void {
  writeFileSync(join(folder, `part-${part}.jsonl`), entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
}

/** All parts together, in the order of their paths. Throws where a line is not an entry. */
export function loadManifest(folder: string): ManifestEntry[] {
  const entries: ManifestEntry[] = [];
  for (const name of readdirSync(folder)) {
    if (!/^part-\d+\.jsonl$/.test(name)) continue;
    for (const line of readFileSync(join(folder, name), 'utf8').split('\n')) {
      if (line !== '') entries.push(entryOf(JSON.parse(line), name));
    }
  }
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function entryOf(value: Partial<ManifestEntry>, name: string): ManifestEntry {
  const { path, size, sha256 } = value;
  if (typeof path !== 'string' || typeof size !== 'number' || typeof sha256 !== 'string') {
    throw new Error(`Cannot read ${name}: found ${JSON.stringify(value)}, expected path, size and sha256`);
  }
  return { path, size, sha256 };
}
