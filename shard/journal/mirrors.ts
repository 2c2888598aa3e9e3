/**
 * The folders besides its own that a journal is written to: those that follow it, and those that were to and do not. One
 * that fails is dropped, which the others and the journal survive; so that nobody takes it for the whole story later, it
 * is marked on its own disk, if that still takes anything, and the store is told.
 */
import type { Backing } from '../../base/backing.ts';
import { errnoOf, isErrno } from '../../base/errno.ts';
import type { Log } from '../../base/log.ts';
import type { Lsn } from '../../base/units.ts';
import { JournalMirror, type MirrorOptions, type MirrorStatus, markStale } from './mirror.ts';
import type { Segment } from './segments.ts';

/** Folders that miss records, with the LSN of the first one that they miss. */
export type StaleFolders = Readonly<Record<string, number>>;

export class JournalMirrors {
  readonly #log: Log;
  readonly #options: Omit<MirrorOptions, 'path' | 'isKnown'>;
  #live: JournalMirror[] = [];
  readonly #dropped: MirrorStatus[] = [];
  /** Told of a folder that misses the record with that LSN, and of one that is whole again (undefined). */
  onChange: (path: string, lsn: Lsn | undefined) => void = () => {};

  constructor(log: Log, options: Omit<MirrorOptions, 'path' | 'isKnown'>) {
    this.#log = log;
    this.#options = options;
  }

  get #backing(): Backing {
    return this.#options.backing;
  }

  /** Makes the folder equal to `live`, whose last record is `lsn`. `isKnown`: see `MirrorOptions`. */
  attach(
    { path, isKnown }: Pick<MirrorOptions, 'path' | 'isKnown'>,
    to: { readonly live: readonly Segment[]; readonly segmentBytes: number; readonly lsn: Lsn },
  ): void {
    const mirror = JournalMirror.attach({ ...this.#options, path, isKnown }, to.live, to.segmentBytes);
    if (!isErrno(mirror)) this.#live.push(mirror);
    else this.#noteDropped(path, { reason: mirror.name, coversFrom: to.lsn, missing: (to.lsn + 1) as Lsn });
    this.onChange(path, isErrno(mirror) ? ((to.lsn + 1) as Lsn) : undefined);
  }

  #noteDropped(path: string, why: { readonly reason: string; readonly coversFrom: Lsn; readonly missing: Lsn }): void {
    const { reason, coversFrom, missing } = why;
    this.#dropped.push({ path, dropped: reason, coversFrom });
    this.#log.error({ path, reason }, 'A journal folder is not written any more: mend it and mount again');
    const { storeId } = this.#options;
    const marked = markStale(this.#backing, { path, storeId, missing });
    if (marked < 0) this.#log.warn({ path, errno: errnoOf(-marked).name }, 'Cannot mark the journal folder as stale');
  }

  get isEmpty(): boolean {
    return this.#live.length === 0;
  }

  /** Does something to each; `lsn` is the first record that one which fails at it may miss. */
  each(lsn: Lsn, act: (mirror: JournalMirror) => number): void {
    for (const mirror of this.#live) {
      const outcome = act(mirror);
      if (outcome < 0) this.drop(mirror.path, outcome, lsn);
    }
  }

  /** `path` as it was given, or as a flush target names a file below it. */
  drop(path: string, outcome: number, lsn: Lsn): void {
    const mirror = this.#live.find((each) => path === each.path || path.startsWith(`${each.path}/`));
    if (mirror === undefined) return;
    this.#live = this.#live.filter((each) => each !== mirror);
    const { coversFrom } = mirror;
    this.#noteDropped(mirror.path, { reason: errnoOf(-outcome).name, coversFrom, missing: lsn });
    mirror.close();
    this.onChange(mirror.path, lsn);
  }

  /** Segments that a flush is due for. */
  dirty(): Segment[] {
    return this.#live.flatMap((mirror) => mirror.dirty());
  }

  status(): MirrorStatus[] {
    const live = this.#live.map(({ path, coversFrom }) => ({ path, dropped: undefined, coversFrom }));
    return [...live, ...this.#dropped];
  }

  close(): void {
    for (const mirror of this.#live) mirror.close();
  }
}
