/** What an open that may change a file unseen, or wants what it writes on the disk at once, waits for. */
import { isErrno, type Result } from '../base/errno.ts';
import type { Ino } from '../base/units.ts';
import { FLAG_COPY } from '../shard/rows.ts';
import type { Barriers } from './barriers.ts';
import type { Core } from './core.ts';
import type { Fsyncs } from './fsyncs.ts';
import { isSynchronous, isUnseen } from './operations/files.ts';
import { Deferred } from './types.ts';

export interface SynchronousOpenTools {
  readonly fsyncs: Fsyncs;
  readonly barriers: Barriers;
  readonly release: (ino: Ino, handle: number) => void;
}

export class SynchronousOpens {
  readonly #core: Core;
  readonly #tools: SynchronousOpenTools;

  constructor(core: Core, tools: SynchronousOpenTools) {
    this.#core = core;
    this.#tools = tools;
  }

  /**
   * An open with O_SYNC or O_DSYNC: a barrier covers the name before the reply. A copy made at fsync is dropped before
   * somebody may change the file unseen.
   */
  after<T>(reply: T, open: { readonly ino: Ino; readonly flags: number; readonly handle: number }): T | Deferred<T> {
    const { ino, flags, handle } = open;
    const { fsyncs, barriers, release } = this.#tools;
    const inode = this.#core.namespace.inode(ino);
    if (!isUnseen(flags) || this.#core.options.readOnly) return reply;
    const hasCopy = inode !== undefined && (inode.flags & FLAG_COPY) !== 0;
    // Of writes past this process the record must say beforehand that the own file is what counts.
    const isPassed = isSynchronous(flags) && this.#core.live.find(ino)?.mode === 'passthrough';
    const dropped = hasCopy || isPassed ? fsyncs.flush(ino) : undefined;
    if (dropped === undefined && (!isSynchronous(flags) || barriers.isDurable)) return reply;
    const answer = new Deferred<T>();
    const answerWith = (outcome: Result<void>) => {
      if (isErrno(outcome)) release(ino, handle);
      answer.settle(isErrno(outcome) ? outcome : reply);
    };
    const cover = (outcome: Result<void>) => {
      if (isErrno(outcome) || !isSynchronous(flags)) answerWith(outcome);
      else barriers.wait().whenSettled(answerWith);
    };
    if (dropped === undefined) cover(undefined);
    else dropped.whenSettled(cover);
    return answer;
  }
}
