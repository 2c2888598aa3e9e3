/** Packed files on a hot volume beside a warm one, and migrations of them, as tests begin and follow them. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { folderOf } from '../../aggregate/volume.ts';
import { isErrno } from '../../base/errno.ts';
import { type AggregateId, type Ino, KIB, ROOT_INO } from '../../base/units.ts';
import type { MigrationJob } from '../../fs/migration_job.ts';
import type { WorkerJob } from '../../fs/types.ts';
import { type Fixture, pattern, same, start } from './fixture.ts';

export const SIZE = 200 * KIB;
export const COUNT = 40;

/** Packed files in a directory, and a warm volume beside the hot one. */
export function filled(options: Parameters<typeof start>[0] = {}): Fixture {
  const fixture = start({ volumes: 2, ...options });
  const { loose, user } = fixture;
  user.mkdir('d');
  for (let i = 0; i < COUNT; i++) user.put(`d/f${i}`, pattern(SIZE, i));
  loose.pack();
  return fixture;
}

let requests = 0;

export function ask({ loose, user }: Fixture, path: string, to: string): MigrationJob {
  const root = path === '' ? ROOT_INO : user.stat(path).ino;
  const job = loose.filesystem.migrator.list.ask({ request: `r${requests++}`, roots: [root as Ino], to });
  if (isErrno(job)) throw new Error(job.name);
  return job;
}

export function jobOf({ loose }: Fixture, id: number): MigrationJob | undefined {
  const { list } = loose.filesystem.migrator;
  return [...list.pending, ...list.history].find((job) => job.id === id);
}

export function turn({ loose }: Fixture): void {
  loose.clock.advance(1_000);
  loose.tick();
  loose.work();
}

/** `pacsfs tier move PATH --to TO --wait` */
export function move(fixture: Fixture, path: string, to: string): MigrationJob {
  const { id } = ask(fixture, path, to);
  for (let round = 0; round < 2_000; round++) {
    const job = jobOf(fixture, id);
    if (job === undefined || job.state === 'done' || job.state === 'failed') break;
    turn(fixture);
  }
  const job = jobOf(fixture, id);
  if (job === undefined) throw new Error('The migration is gone');
  expect(['done', 'failed']).toContain(job.state);
  return job;
}

export function isMove(job: WorkerJob): boolean {
  return job.kind === 'pack' && job.job.moves !== undefined;
}

/** Goes on until a worker has something to copy. */
export function untilCopying(fixture: Fixture, path = 'd', to = 'warm'): number {
  const { loose } = fixture;
  const { id } = ask(fixture, path, to);
  resume(fixture);
  expect(loose.jobs.filter(isMove)).toHaveLength(1);
  return id;
}

export function resume({ loose }: Fixture): void {
  for (let round = 0; round < 300 && !loose.jobs.some(isMove); round++) {
    loose.clock.advance(100);
    loose.tick();
    loose.work((job) => !isMove(job));
  }
}

export function finish(fixture: Fixture, id: number): MigrationJob | undefined {
  for (let round = 0; round < 2_000; round++) {
    const job = jobOf(fixture, id);
    if (job?.state === 'done' || job?.state === 'failed') return job;
    turn(fixture);
  }
  return jobOf(fixture, id);
}

export function volumesOf({ user }: Fixture, path: string): string[] {
  const extents = JSON.parse(user.getXattr(path, 'user.pacsfs.extents')) as { volume: string }[];
  return [...new Set(extents.map(({ volume }) => volume))];
}

export function settle({ loose }: Fixture): void {
  for (let i = 0; i < 2; i++) {
    loose.barrier();
    loose.work();
  }
}

export function allRight({ user }: Fixture, count = COUNT): boolean {
  return Array.from({ length: count }, (_, i) => same(user.read(`d/f${i}`), pattern(SIZE, i))).every(Boolean);
}

/** Live bytes on a volume, as the ledger counts them. */
export function liveOn({ loose }: Fixture, volume: number): number {
  return [...loose.data.ledger.rows()].reduce((sum, row) => sum + (row.volume === volume ? row.live : 0), 0);
}

export function pathOf({ loose }: Fixture, id: number): string {
  const volume = loose.data.ledger.row(id as AggregateId)?.volume ?? 1;
  const folder = loose.volumes.find((row) => row.id === volume)?.paths[0] ?? '';
  return join(folder, 'aggregates', String(folderOf(id as AggregateId)), String(id));
}
