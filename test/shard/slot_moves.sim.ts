/**
 * Slots that move while rows change, and crashes at every kind of step: see slot_walk.ts. `PACSFS_SEED` repeats a walk that
 * failed. The faults that are planted below must all be found by the same walks.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { isErrno } from '../../base/errno.ts';
import { slotsOfShards } from '../../shard/balance.ts';
import { Committer } from '../../shard/committer.ts';
import { StoreDatabases } from '../../shard/databases.ts';
import { COPIED, type CopyMark, SlotMarks } from '../../shard/slot_marks.ts';
import { moveAll } from '../../shard/slot_moves.ts';
import { SlotRows } from '../../shard/slot_rows.ts';
import { NamespaceStore } from '../../shard/store.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { foreignSlots, SlotWalk } from './slot_walk.ts';

const SEED = firstSeed('PACSFS_SEED');
const STEPS = 260;

/** One walk from 3 shards to 5 and then 6, until every slot is in its place. */
function walk(seed: number): SlotWalk {
  const random = new Random(seed);
  const walked = new SlotWalk(random);
  expect(isErrno(walked.store.addShards(2))).toBe(false);
  for (let step = 0; step < STEPS; step++) {
    const kind = random.below(100);
    if (kind < 45) walked.change();
    else if (kind < 80) {
      const { moved } = walked.store.moves;
      if (walked.move() === 'waiting' && random.below(3) > 0) walked.barrier();
      if (walked.store.moves.moved !== moved && random.below(2) === 0) afterSwitch(walked, random);
    } else if (kind < 88) walked.barrier();
    else if (kind < 94) walked.crash('power', random.below(2) === 0);
    else if (kind < 98) walked.crash('kill', random.below(2) === 0);
    else walked.check();
    if (step === STEPS / 2) expect(isErrno(walked.store.addShards(1))).toBe(false);
  }
  finish(walked);
  walked.crash('power', true);
  finish(walked);
  return walked;
}

/** The moment at which most depends on what is where. */
function afterSwitch(walked: SlotWalk, random: Random): void {
  if (random.below(2) === 0) walked.barrier();
  walked.crash(random.below(2) === 0 ? 'kill' : 'power', random.below(2) === 0);
}

/** Every shard has its share, and nothing else. */
function finish(walked: SlotWalk): void {
  const { store } = walked;
  expect(moveAll(store.moves, { barrier: () => store.barrier() })).toBeUndefined();
  walked.check();
  const map = Array.from({ length: 4096 }, (_, slot) => store.shardOf(slot as never));
  const counts = slotsOfShards(map, store.shardCount);
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  expect(store.inspect().marks()).toEqual([]);
  for (let shard = 0; shard < store.shardCount; shard++) expect([...foreignSlots(store, shard)]).toEqual([]);
}

describe('slots that move', () => {
  for (const seed of [SEED, SEED + 1])
    it(`keep every row over crashes at any step (seed ${seed})`, { timeout: 120_000 }, () => {
      const { crashes, store } = walk(seed);
      console.info(`slots moved over ${crashes} crashes, ${store.shardCount} shards at the end`);
    });
});

/** Rows that were there before a shard was added, so that it replays none, and logs that nothing but the move itself moves. */
function cutAtSwitch(seed: number): void {
  const walked = new SlotWalk(new Random(seed), { walLimit: 2 ** 30 });
  walked.barrier();
  walked.store.checkpoint();
  expect(isErrno(walked.store.addShards(2))).toBe(false);
  walked.moveUntilSwitched();
  walked.powerAtCommit();
}

describe('a power cut at the commit that switches a slot', () => {
  it('leaves its rows', () => cutAtSwitch(SEED));
});

describe('planted faults are found', () => {
  let undo: () => void = () => {};
  afterEach(() => undo());

  function plant<T extends object, K extends keyof T>(on: T, name: K, fault: T[K]): void {
    const original = on[name];
    on[name] = fault;
    undo = () => {
      on[name] = original;
    };
  }

  function isFound(): void {
    for (let seed = SEED; seed < SEED + 6; seed++) {
      try {
        walk(seed);
      } catch (thrown) {
        console.info(`found by seed ${seed}: ${String(thrown).split('\n', 1)[0]}`);
        return;
      }
    }
    expect.unreachable('No walk found it');
  }

  const timeout = 300_000;

  it('a switch before the copy is checkpointed', { timeout }, () => {
    plant(Committer.prototype, 'settle', () => true);
    expect(() => cutAtSwitch(SEED)).toThrow(/expected \[/);
  });

  it('changes that are not made in the copy too', { timeout }, () => {
    const { commit } = NamespaceStore.prototype;
    let isApplying = false;
    plant(NamespaceStore.prototype, 'commit', function fault(this: NamespaceStore, record) {
      isApplying = true;
      try {
        return commit.call(this, record);
      } finally {
        isApplying = false;
      }
    });
    const withCommit = undo;
    const { copyOf } = StoreDatabases.prototype;
    plant(StoreDatabases.prototype, 'copyOf', function fault(this: StoreDatabases, slot) {
      return isApplying ? undefined : copyOf.call(this, slot);
    });
    const withCopies = undo;
    undo = () => {
      withCopies();
      withCommit();
    };
    isFound();
  });

  it('how far a copy is, remembered outside of its transaction', { timeout }, () => {
    const remembered = new Map<string, CopyMark>();
    const { putIncoming, reload } = SlotMarks.prototype;
    plant(SlotMarks.prototype, 'putIncoming', function fault(this: SlotMarks, slot, mark) {
      putIncoming.call(this, slot, mark);
      if (mark !== undefined) remembered.set(`${slot}`, mark);
    });
    const withPut = undo;
    plant(SlotMarks.prototype, 'reload', function fault(this: SlotMarks) {
      reload.call(this);
      for (const slot of this.incoming.keys()) {
        const mark = remembered.get(`${slot}`);
        if (mark !== undefined && mark.stage <= COPIED) (this.incoming as Map<unknown, CopyMark>).set(slot, mark);
      }
    });
    const withReload = undo;
    undo = () => {
      withReload();
      withPut();
    };
    isFound();
  });

  it('rows that are left where a slot was', { timeout }, () => {
    plant(SlotRows.prototype, 'remove', () => 0);
    isFound();
  });
});
