/** What a file takes in the databases, with a name of 64 bytes and one extent: loaded in order, and made one by one. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Figure } from './figures.ts';
import { metadataBytes, type Workbench } from './workbench.ts';

const LOADED_FILES = 1_000_000;
const MADE_FILES = 300_000;
const NAME_BYTES = 64;
const MOST_BYTES = 250;
const NAMESPACE_MS = 600_000;

export interface FileBytes {
  /** Rows written in the order of their keys: pages are full. */
  readonly loaded: number;
  /** Rows written as names come, anywhere in their tables: pages are as full as splitting leaves them. */
  readonly made: number;
}

export function fileBytes(bench: Workbench): Promise<FileBytes> {
  return bench.once('bytes', () => measured(bench));
}

async function measured(bench: Workbench): Promise<FileBytes> {
  const store = bench.store({ files: LOADED_FILES, nameBytes: NAME_BYTES, empty: false });
  const empty = bench.store({ files: 1_000, nameBytes: NAME_BYTES, empty: false });
  const loaded = (metadataBytes(store) - metadataBytes(empty)) / (LOADED_FILES - 1_000);
  const program = join(import.meta.dirname, '..', 'namespace.js');
  const said = execFileSync(process.execPath, [program, `${MADE_FILES}`, '1'], {
    timeout: NAMESPACE_MS,
    encoding: 'utf8',
    env: { ...process.env, PACSFS_BENCH_FOLDER: bench.folder },
  });
  return { loaded, made: Number(/^metadata +(\d+) bytes a file$/m.exec(said)?.[1] ?? Number.NaN) };
}

export async function bytes(bench: Workbench): Promise<Figure[]> {
  const row = 'bytes';
  const { loaded, made } = await fileBytes(bench);
  const limit = (found: number) => ({ wanted: `under ${MOST_BYTES}`, met: found < MOST_BYTES });
  const of = `bytes of metadata a file, names of ${NAME_BYTES} bytes`;
  return [
    { row, what: `${of}, loaded in order`, found: loaded.toFixed(0), ...limit(loaded) },
    { row, what: `${of}, made one by one`, found: made.toFixed(0), ...limit(made) },
  ];
}
