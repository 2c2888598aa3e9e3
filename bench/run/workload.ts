/** What a workload is: stages that all places do in turn, and the rows that are made of their figures. */
import type { Figures, Round, Row } from '../report/judge.ts';
import type { Turn } from './turn.ts';

export interface Stage {
  readonly name: string;
  /** The places that do it; default plain and pacsfs, and the others that the workload names. */
  readonly isForPeers?: boolean;
  run(turn: Turn): Figures;
}

export interface Workload {
  readonly name: string;
  /** One line for those who choose. */
  readonly what: string;
  readonly gib: number;
  /** Whether other FUSE filesystems take part (in stages that are for them). */
  readonly hasPeers?: boolean;
  /** Whether a store that packs nothing takes part, too. */
  readonly hasUnpacked?: boolean;
  /** Each place gets an image of its own, made anew: what the other did to the disk is not to be seen. */
  readonly isAlone?: boolean;
  readonly stages: readonly Stage[];
  readonly rows: readonly Row[];
  /** More than the table: returns Markdown; files go into `folder`, which is that of the document. */
  appendix?(rounds: readonly Round[], to: { kind: string; folder: string }): string;
}
