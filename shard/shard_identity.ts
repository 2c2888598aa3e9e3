/** What a shard's own table `meta` says of which shard it is, and of which store. */
import type { SqliteFile } from './sqlite_file.ts';

export const SHARD_NUMBER = 'shard';
export const STORE_ID = 'store_id';
/** There while a repair fills a shard that it has made anew. */
export const UNFINISHED = 'unfinished';

export function getMeta(file: SqliteFile, key: string): unknown {
  return file.prepare<[string], unknown>('SELECT value FROM meta WHERE key = ?').pluck(true).get(key);
}

/** In the open transaction, as any write. */
export function putMeta(file: SqliteFile, key: string, value: string | number): void {
  file.willWrite();
  file.prepare<[string, unknown]>('INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)').run(key, value);
}

export function deleteMeta(file: SqliteFile, key: string): void {
  file.willWrite();
  file.prepare<[string]>('DELETE FROM meta WHERE key = ?').run(key);
}
