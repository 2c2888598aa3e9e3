/**
 * Seeded lives with migrations: everything is to move to one volume, then to the other, while files are made, removed, cut,
 * written, renamed and copied and the daemon is killed at any step. Contents are what the model says all the time; in the end
 * all is on one volume, and the other has no live byte.
 */
import { describe, expect, test } from 'vitest';
import { MIB, ROOT_INO } from '../../base/units.ts';
import { firstSeed } from '../support/seed.ts';
import { type Fixture, start } from './fixture.ts';
import { Life, type Mover } from './moving_life.ts';

const STEPS = 120;
const PENDING = 2;

const MIGRATION: Mover = {
  begin: ({ loose }, random) => ask({ loose }, random.below(2) === 0 ? 'warm' : 'hot'),
  files: ({ loose }) => {
    const { history, pending } = loose.filesystem.migrator.list;
    return [...history, ...pending].reduce((sum, { moved }) => sum + moved.files, 0);
  },
};

function ask({ loose }: Pick<Fixture, 'loose'>, to: string): void {
  const { list } = loose.filesystem.migrator;
  const request = `${loose.namespace.start}-${loose.namespace.lsn}`;
  if (list.pending.length < PENDING) list.ask({ request, roots: [ROOT_INO], to });
}

function untilDone({ loose }: Fixture): void {
  for (let round = 0; round < 4_000 && loose.filesystem.migrator.list.pending.length > 0; round++) {
    loose.clock.advance(1_000);
    loose.tick();
    loose.work();
  }
  expect(loose.filesystem.migrator.list.pending).toEqual([]);
}

describe('lives with migrations', () => {
  const first = firstSeed('PACSFS_SEED');
  for (const seed of [first, first + 1, first + 2])
    test(`seed ${seed}`, () => {
      const data = { aggregateBytes: 8 * MIB, lanesPerVolume: 1 };
      const fixture = start({ volumes: 2, data, filesystem: { packBelow: MIB } });
      const { loose } = fixture;
      const life = new Life(fixture, seed, MIGRATION);
      for (let step = 0; step < STEPS; step++) {
        life.step();
        if (step % 8 === 7) expect(life.wrong()).toEqual([]);
      }
      loose.pack();
      untilDone(fixture);
      const files = MIGRATION.files(fixture);
      console.log(`life with migrations: PACSFS_SEED=${seed}: ${files} files moved, ${life.kills} kills`);
      expect([files > 0, life.kills > 0]).toEqual([true, true]);
      expect([...life.wrong(), ...loose.damageNow(), ...life.wrong()]).toEqual([]);
      for (const [to, empty] of [
        ['warm', 1],
        ['hot', 2],
      ] as const) {
        ask(fixture, to);
        untilDone(fixture);
        const job = loose.filesystem.migrator.list.history.at(-1);
        expect(job).toMatchObject({ state: 'done', to, stay: { open: 0, changed: 0, shared: 0, damaged: 0 } });
        const left = [...loose.data.ledger.rows()].filter((row) => row.volume === empty && row.live > 0);
        expect(left).toEqual([]);
        expect([...life.wrong(), ...loose.damageNow(), ...life.wrong()]).toEqual([]);
      }
    });
});
