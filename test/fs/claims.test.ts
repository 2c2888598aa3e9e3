/** Barriers that are flushed beside their data, and what becomes of their claims. */
import { describe, expect, test } from 'vitest';
import { E } from '../../base/errno.ts';
import { O_WRONLY } from '../support/loose_user.ts';
import { type Fixture, start } from './fixture.ts';

/** What the journal was told, and what was flushed. */
function watched(): Fixture {
  const fixture = start({ shardCount: 1 });
  const { loose } = fixture;
  const append = loose.namespace.appendBarrier.bind(loose.namespace);
  loose.namespace.appendBarrier = (...args) => {
    loose.backing.note(args[1] === undefined ? 'BARRIER' : `CLAIM of ${args[1].length}`);
    return append(...args);
  };
  // The first barrier of a daemon claims nothing, nor does one that makes an aggregate.
  fsynced(fixture, 'first');
  loose.backing.clear();
  return fixture;
}

function fsynced({ loose, user }: Fixture, name: string): void {
  const file = user.create(name, O_WRONLY);
  user.write(file, `contents of ${name}`);
  const answer = user.fsync(file.ino);
  loose.tick();
  expect(answer.outcome()).toBeUndefined();
  user.close(file);
}

/** An fsync of `second` whose claim stands in the journal, and of which nothing has been flushed. */
function claim({ loose, user }: Fixture) {
  const file = user.create('second', O_WRONLY);
  user.write(file, 'contents of second');
  const answer = user.fsync(file.ino);
  loose.look();
  loose.work(({ kind }) => kind === 'pack');
  loose.look();
  return { file, answer };
}

const told = ({ loose }: Fixture) =>
  loose.backing.history.filter((entry) => /^(CLAIM|BARRIER|flush (aggregates|.*journal))/.test(entry));

/** The machine is booted anew; what was written to the disk is there. */
function boot({ loose }: Fixture, bootId: string): void {
  loose.kill();
  loose.bootId = bootId;
  loose.open();
}

describe('a barrier whose data are copies that fsyncs have asked for', () => {
  test('claims them and is flushed beside them', () => {
    const fixture = watched();
    fsynced(fixture, 'second');
    expect(told(fixture)[0]).toBe('CLAIM of 1');
    expect(told(fixture).filter((entry) => entry.startsWith('flush aggregates'))).toHaveLength(1);
    boot(fixture, 'another');
    expect(fixture.user.text('second')).toBe('contents of second');
  });

  test('waits for what was packed otherwise', () => {
    const fixture = watched();
    const { loose, user } = fixture;
    user.put('packed', 'contents');
    loose.clock.advance(1_000);
    loose.look();
    loose.work(({ kind }) => kind === 'pack');
    fsynced(fixture, 'second');
    expect(told(fixture).at(-1)).toBe('BARRIER');
    expect(told(fixture).some((entry) => entry.startsWith('CLAIM'))).toBe(false);
  });

  test('claims nothing of which it lets something go', () => {
    const fixture = watched();
    const { loose, user } = fixture;
    fsynced(fixture, 'removed before');
    user.remove('removed before');
    const [kept, removed] = ['kept', 'removed'].map((name) => user.create(name, O_WRONLY));
    if (kept === undefined || removed === undefined) throw new Error('no files');
    for (const file of [kept, removed]) user.write(file, 'contents');
    const answers = [kept, removed].map(({ ino }) => user.fsync(ino));
    loose.look();
    loose.work(({ kind }) => kind === 'pack');
    user.close(removed);
    user.remove('removed');
    loose.backing.clear();
    loose.tick();
    expect(answers.map((answer) => answer.outcome())).toEqual([undefined, undefined]);
    expect(told(fixture).filter((entry) => /CLAIM|BARRIER/.test(entry))).toEqual(['BARRIER']);
    // What was removed before lies elsewhere.
    user.close(kept);
    user.remove('kept');
    loose.backing.clear();
    fsynced(fixture, 'last');
    expect(told(fixture)[0]).toBe('CLAIM of 1');
  });

  test('breaks the store when the data cannot be flushed, and confirms nothing', () => {
    const fixture = watched();
    const { loose, user } = fixture;
    const file = user.create('lost', O_WRONLY);
    user.write(file, 'contents');
    loose.backing.arm({ kind: 'flush', error: E.EIO, path: 'aggregates', times: 1 });
    const answer = user.fsync(file.ino);
    loose.tick();
    expect(answer.outcome()).toBe(E.EIO);
    expect(loose.filesystem.status().broken).toBeDefined();
    expect(told(fixture).filter((entry) => /CLAIM|BARRIER/.test(entry))).toEqual(['CLAIM of 1']);
  });

  test('counts after a power cut only if they are there', () => {
    for (const isThere of [true, false]) {
      const fixture = watched();
      const { loose } = fixture;
      const { durableLsn } = loose.namespace;
      claim(fixture);
      expect(loose.jobs.filter(({ kind }) => kind === 'flush').length).toBe(2);
      const claimed = loose.namespace.lsn;
      // Neither flush has been done: what the disk has of the data is a matter of luck.
      loose.holds = () => isThere;
      boot(fixture, 'another');
      expect([isThere, loose.foundLsn]).toEqual([isThere, isThere ? claimed : durableLsn]);
      expect(loose.damageNow()).toEqual([]);
    }
  });

  test('on the same boot is made anew: nobody knows whether its data was flushed', () => {
    const fixture = watched();
    const { loose, user } = fixture;
    const { durableLsn } = loose.namespace;
    claim(fixture);
    const claimed = loose.namespace.lsn;
    loose.kill();
    loose.open();
    expect([loose.foundLsn, loose.namespace.recovered.aggregates.length > 0]).toEqual([claimed, true]);
    expect(loose.namespace.durableLsn).toBe(durableLsn);
    loose.backing.clear();
    loose.sync();
    expect(loose.backing.history.some((entry) => entry.startsWith('flush aggregates'))).toBe(true);
    expect(user.text('second')).toBe('contents of second');
  });

  test('is complete though a full disk does not take its confirmation; the next one claims nothing', () => {
    const fixture = watched();
    const { loose, user } = fixture;
    const { file, answer } = claim(fixture);
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: 'journal', times: 1 });
    loose.tick();
    expect([answer.outcome(), loose.filesystem.status().broken]).toEqual([undefined, undefined]);
    user.close(file);
    const claims = ['third', 'fourth'].map((name) => {
      loose.backing.clear();
      fsynced(fixture, name);
      return told(fixture)
        .filter((entry) => /CLAIM|BARRIER/.test(entry))
        .at(-1);
    });
    expect(claims).toEqual(['BARRIER', 'CLAIM of 1']);
  });

  test('a flush of the journal that fails beside one of the data is heard, too', () => {
    const fixture = watched();
    const { loose, user } = fixture;
    const file = user.create('lost', O_WRONLY);
    user.write(file, 'contents');
    loose.backing.arm({ kind: 'flush', error: E.EIO, path: 'aggregates', times: 1 });
    loose.backing.arm({ kind: 'flush', error: E.EIO, path: 'journal', times: 1 });
    user.fsync(file.ino);
    expect(() => loose.tick()).toThrow('Cannot flush the journal');
    loose.kill();
  });
});
