/** A faulty backing that also writes down the calls it gets, in their order. */
import { type Fault, FaultBacking, type FaultKind } from './fault_backing.ts';

/** What changes a disk or makes it durable. */
const RECORDED: ReadonlySet<FaultKind> = new Set([
  'create',
  'write',
  'truncate',
  'allocate',
  'flush',
  'flushFolder',
  'writeBack',
  'unlink',
  'rename',
]);
/** Entries kept; a test that needs more than these clears them in between. */
const HISTORY_MAX = 10_000;

export class RecordingBacking extends FaultBacking {
  /** `kind path-from-the-volume` (calls on the metadata folder are not kept), and what tests add of their own. */
  readonly history: string[] = [];

  override fault(kind: FaultKind, path: string, direct = false): Fault | undefined {
    const fault = super.fault(kind, path, direct);
    if (RECORDED.has(kind) && !path.includes('/meta/'))
      this.note(`${kind} ${path.replace(/^.*\/volumes\/[^/]*\/?/, '')}`);
    return fault;
  }

  note(entry: string): void {
    if (this.history.length < HISTORY_MAX) this.history.push(entry);
  }

  clear(): void {
    this.history.length = 0;
  }
}
