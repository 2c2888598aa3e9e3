/** Who hears of what a worker has done. */
import type { Barriers } from './barriers.ts';
import type { Compactor } from './compactor.ts';
import type { Comparisons } from './comparisons.ts';
import type { DatabaseSteps } from './database_steps.ts';
import type { FlushJobs } from './flush_jobs.ts';
import type { Fsyncs } from './fsyncs.ts';
import type { LargeWrites } from './large_writes.ts';
import type { Migrator } from './migrator.ts';
import type { OwnAhead } from './own_ahead.ts';
import type { Packer } from './packer.ts';
import type { Sweep } from './sweep.ts';
import type { WorkerDone } from './types.ts';
import type { WriteBack } from './write_back.ts';

export interface Listeners {
  readonly barriers: Barriers;
  readonly comparisons: Comparisons;
  readonly compactor: Compactor;
  readonly databases: DatabaseSteps;
  readonly flushes: FlushJobs;
  readonly fsyncs: Fsyncs;
  readonly largeWrites: LargeWrites;
  readonly ownAhead: OwnAhead;
  readonly migrator: Migrator;
  readonly packer: Packer;
  readonly sweep: Sweep | undefined;
  readonly writeBack: WriteBack;
}

export function hearWorker(message: WorkerDone, parts: Listeners): void {
  switch (message.kind) {
    case 'pack':
      parts.barriers.packed(message.result);
      if (parts.fsyncs.isCopying(message.result.id)) parts.fsyncs.finishCopies(message.result);
      else if (parts.compactor.isMine(message.result.id)) parts.compactor.finish(message.result);
      else if (parts.migrator.isMine(message.result.id)) parts.migrator.finish(message.result);
      else parts.packer.finish(message.result);
      break;
    case 'flush':
      parts.flushes.finish(message.id, message.outcomes);
      break;
    case 'checkpoint':
      parts.databases.finish(message.id, message.outcome);
      break;
    case 'write':
      parts.largeWrites.finish(message.id, message.outcome);
      break;
    case 'compare':
      parts.comparisons.finish(message.id, message.outcome);
      break;
    case 'punch':
    case 'unlink':
      parts.barriers.removed(message);
      break;
    case 'own':
      parts.ownAhead.finish(message.result);
      break;
    case 'residents':
      parts.compactor.listed(message.residents);
      break;
    case 'list':
      parts.sweep?.listed(message.numbers);
      break;
    case 'writeBack':
      parts.writeBack.finish(message.id, message.outcome);
      break;
  }
}
