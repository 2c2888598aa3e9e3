/** The host tells of a failed flush once: where a packing worker was told, nobody else's flush of the same bytes proves anything. */
import { expect, test } from 'vitest';
import { E } from '../../base/errno.ts';
import { KIB } from '../../base/units.ts';
import { start } from './fixture.ts';

test('a barrier believes no flush of its own of what a packing worker was told cannot be flushed', () => {
  for (const isAtOnce of [false, true])
    for (const fails of [false, true]) {
      const fixture = start({
        filesystem: { commitIntervalMs: 60_000 },
        data: { aheadFrom: 1, aheadBytes: 256 * KIB },
      });
      const { loose, user } = fixture;
      // Packed, its row in the journal, its bytes not flushed yet.
      user.put('packed', 'contents');
      loose.clock.advance(1_000);
      loose.look();
      loose.work(({ kind }) => kind === 'pack');
      // A barrier is about to flush them, and space is written ahead in the same aggregate.
      const waiter = user.fsync(user.mkdir('directory'));
      loose.look();
      loose.clock.advance(600);
      loose.look();
      const packs = loose.jobs.filter(({ kind }) => kind === 'pack');
      expect(packs).toMatchObject([{ job: { aggregate: 1, files: [], ahead: { length: 256 * KIB } } }]);
      loose.backing.clear();
      if (fails) loose.backing.arm({ kind: 'flush', error: E.EIO, path: 'aggregates', times: 1 });
      loose.workUnheard(({ kind }) => kind === 'pack');
      expect(loose.backing.history.filter((entry) => entry.startsWith('flush '))).toEqual(['flush aggregates/0/1']);
      if (isAtOnce) {
        loose.backing.arm({ kind: 'create', error: E.ENOSPC, path: '/own/', times: 1 });
        user.tryCreate('new');
      } else {
        for (let round = 0; round < 8; round++) {
          loose.look();
          loose.work(({ kind }) => kind === 'flush');
        }
        // The barrier waits to hear of it.
        if (fails) expect(waiter.outcome()).toBe('waiting');
        loose.work();
        loose.tick();
      }
      expect(loose.filesystem.status().broken !== undefined).toBe(fails);
      expect([isAtOnce, fails, waiter.outcome()]).toEqual([isAtOnce, fails, fails ? E.EIO : undefined]);
    }
});
