/** Writers of many series side by side: without fsync and with one a file, until everything is on the disk. */
import { PLAIN } from '../mount/place.ts';
import { OURS, type Row } from '../report/judge.ts';
import { ingestFigures, seriesJobs } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';

const KIB = 1024;

export interface Ingest {
  readonly writers: number;
  readonly files: number;
  readonly block: number;
  readonly fsync: boolean;
}

/** The title of an ingest; its files are in a folder of this name. */
export function titleOf({ writers, block, fsync }: Ingest): string {
  const size = block < KIB * KIB ? `${block / KIB} KiB` : `${block / KIB / KIB} MiB`;
  return `ingest ${writers}, ${size}${fsync ? ', fsync' : ''}`;
}

/** What it wrote is removed, since all of them together have no room; `isKept`: but that of plain and pacsfs. */
export function ingestStage(ingest: Ingest, { isKept = false } = {}): Stage {
  const name = titleOf(ingest);
  return {
    name,
    isForPeers: true,
    run: (turn) => {
      const jobs = seriesJobs(turn, { name, writers: ingest.writers, files: ingest.files });
      const { block, fsync } = ingest;
      const measured = turn.settled({ act: 'write', jobs, block, fsync });
      const figures = ingestFigures(name, measured, turn.place.memory());
      const isOfUse = isKept && (turn.place.name === PLAIN || turn.place.name === OURS);
      if (!isOfUse) turn.remove(name);
      return figures;
    },
  };
}

const WRITERS = [1, 16, 64, 520] as const;
const BLOCKS = [64 * KIB, KIB * KIB] as const;
const INGESTS: readonly Ingest[] = [false, true].flatMap((fsync) =>
  BLOCKS.flatMap((block) =>
    WRITERS.map((writers): Ingest => ({ writers, block, fsync, files: fsync || writers === 1 ? 1_600 : 3_200 })),
  ),
);

function rowsOf(ingest: Ingest): Row[] {
  const title = titleOf(ingest);
  const limits = ingest.fsync ? { mustReach: 0.8, goal: 1.2 } : { mustReach: 0.9, goal: 1.1 };
  const peers = ingest.fsync ? { mustReach: 2, goal: 3 } : { mustReach: 1.5, goal: 2.5 };
  const least = (figure: string, of: Partial<Row>): Row => {
    return { title: `${title}: ${figure}`, figure: `${title}, ${figure}`, wanted: 'at least', ...of };
  };
  const most = (figure: string, of: Partial<Row> = {}): Row => {
    return { title: `${title}: ${figure}`, figure: `${title}, ${figure}`, wanted: 'at most', against: 'plain', ...of };
  };
  return [
    least('files/s', { against: 'plain', ...limits }),
    least('files/s', { against: 'peers', ...peers }),
    most('requests a file', ingest.fsync ? { mustReach: 1 / 3, goal: 1 / 8 } : {}),
    most('flushes a file'),
    least('hard disk files/s', { against: 'plain', ...(ingest.fsync ? { mustReach: 3, goal: 10 } : {}) }),
    most('bytes a byte'),
    most('CPU s a 1,000 files'),
    most('CPU s a GB'),
    { ...most('memory MiB'), against: '' },
  ].map(({ against, ...row }) => (against === '' || against === undefined ? row : { ...row, against }));
}

export const ingestWorkload: Workload = {
  name: 'ingest',
  what: '1, 16, 64 and 520 writers of 64 KiB and 1 MiB, with fsync a file and without; requests, processor time, memory',
  gib: 20,
  hasPeers: true,
  stages: INGESTS.map((ingest) => ingestStage(ingest)),
  rows: INGESTS.flatMap(rowsOf),
};
