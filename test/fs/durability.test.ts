import { describe, expect, test } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import { type AggregateId, type Ino, KIB, MIB } from '../../base/units.ts';
import { FLAG_FLUSHED } from '../../shard/rows.ts';
import { O_RDWR, O_WRONLY } from '../support/loose_user.ts';
import { type Fixture, pattern, same, start } from './fixture.ts';

/** Notes in the history when the journal says BARRIER, and when the rows are durable. */
function recordBarriers({ loose }: Fixture): void {
  const { namespace } = loose;
  const append = namespace.appendBarrier.bind(namespace);
  const flushed = namespace.barrierFlushed.bind(namespace);
  namespace.appendBarrier = (...args) => {
    loose.backing.note(args[1] === undefined ? 'BARRIER' : 'CLAIM');
    return append(...args);
  };
  namespace.barrierFlushed = (lsn, outcome) => {
    loose.backing.note('rows');
    flushed(lsn, outcome);
  };
}

/** The history without what packing wrote, each run of equal entries once. */
function order({ loose }: Fixture): string[] {
  return loose.backing.history.filter((entry, i, all) => entry !== all[i - 1]);
}

function started(options = {}): Fixture {
  const fixture = start(options);
  recordBarriers(fixture);
  return fixture;
}

describe('the order of what reaches the disk', () => {
  test('fsync of an own file: its bytes, its name, then the rows', () => {
    const fixture = started();
    const { loose, user } = fixture;
    const file = user.create('file');
    user.write(file, 'contents');
    loose.backing.clear();
    const answer = user.fsync(file.ino);
    expect(answer.outcome()).toBe('waiting');
    loose.tick();
    expect(answer.outcome()).toBeUndefined();
    expect(order(fixture)).toEqual([
      'flush own/1/1',
      'flushFolder own/1',
      'flushFolder own',
      'flushFolder ',
      'BARRIER',
      'rows',
    ]);
  });

  test('fsync of a file that is packed: its segment, then the rows, then its own file goes', () => {
    const fixture = started();
    const { loose, user } = fixture;
    const ino = user.put('file', 'contents');
    loose.clock.advance(2_000);
    loose.tick();
    loose.work();
    loose.backing.clear();
    const answer = user.fsync(ino);
    loose.tick();
    expect(answer.outcome()).toBeUndefined();
    const happened = order(fixture);
    expect(happened.slice(0, 4).sort()).toEqual([
      'flush aggregates/0/1',
      'flushFolder ',
      'flushFolder aggregates',
      'flushFolder aggregates/0',
    ]);
    expect(happened.slice(4)).toEqual(['BARRIER', 'rows', 'unlink own/1/1']);
  });

  test('a delete: the rows, then own files and aggregates', () => {
    const fixture = started({ filesystem: { packBelow: 4 * KIB } });
    const { loose, user } = fixture;
    user.put('own', pattern(8 * KIB));
    user.put('packed', 'x');
    loose.pack();
    loose.sync();
    user.remove('own');
    user.remove('packed');
    loose.backing.clear();
    loose.barrier();
    expect(order(fixture)).toEqual(['BARRIER', 'rows', 'unlink own/1/1']);
  });

  test('bytes that a copy holds are punched only behind the barrier of the flush that replaced it', () => {
    const fixture = started();
    const { loose, user } = fixture;
    user.put('file', pattern(256 * KIB));
    loose.pack();
    loose.sync();
    loose.work();
    const file = user.open('file', O_RDWR);
    user.write(file, 'x');
    loose.barrier();
    loose.work();
    loose.backing.clear();
    user.fsync(file.ino);
    loose.tick();
    const happened = order(fixture).filter((entry) => !entry.startsWith('flushFolder'));
    expect(happened).toEqual(['flush own/1/2', 'BARRIER', 'rows']);
    loose.work();
    expect(order(fixture).at(-1)).toBe('allocate aggregates/0/1');
    expect(loose.damageNow()).toEqual([]);
  });

  test('what the last barrier of a mount lets go is punched before the mount has ended', () => {
    const fixture = started();
    const { loose, user } = fixture;
    user.put('kept', pattern(256 * KIB));
    user.put('removed', pattern(256 * KIB));
    loose.pack();
    loose.sync();
    loose.work();
    user.remove('removed');
    loose.backing.clear();
    let isSettled = false;
    loose.filesystem.beginStop().whenSettled(() => {
      isSettled = true;
    });
    for (let round = 0; round < 100 && !isSettled; round++) {
      loose.tick();
      loose.work(({ kind }) => kind !== 'punch');
    }
    expect(loose.jobs.map(({ kind }) => kind)).toEqual(['punch']);
    expect(loose.filesystem.shutDown()).toBeUndefined();
    expect(loose.jobs).toEqual([]);
    expect(order(fixture).at(-1)).toBe('allocate aggregates/0/1');
    loose.open();
  });

  test('a barrier that the rows refuse keeps what they still name', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('file', 'contents');
    loose.pack();
    loose.sync();
    const { namespace } = loose;
    const append = namespace.appendBarrier.bind(namespace);
    namespace.appendBarrier = () => E.ENOSPC;
    const file = user.create('other');
    const answer = user.fsync(file.ino);
    user.remove('file');
    loose.backing.clear();
    loose.tick();
    expect(answer.outcome()).toBe(E.ENOSPC);
    expect(order(fixture).filter((entry) => /unlink|allocate/.test(entry))).toEqual([]);
    namespace.appendBarrier = append;
    user.close(file);
    loose.barrier();
    loose.work();
    expect(loose.filesystem.status().broken).toBeUndefined();
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('barriers', () => {
  test('one answers all who wait, of files and directories', () => {
    const { loose, user } = started();
    const directory = user.mkdir('directory');
    const files = ['a', 'b', 'c'].map((name) => user.create(name));
    for (const file of files) user.write(file, 'contents');
    const before = loose.filesystem.status();
    const answers = files.map(({ ino }) => user.fsync(ino));
    loose.look();
    loose.backing.clear();
    answers.push(user.fsync(directory));
    for (const job of loose.jobs) expect(job.kind).toBe('flush');
    loose.work();
    loose.tick();
    expect(answers.map(({ outcome }) => outcome())).toEqual(Array(4).fill(undefined));
    const after = loose.filesystem.status();
    expect([after.barriers - before.barriers, after.fsyncs - before.fsyncs]).toEqual([1, 4]);
    expect(loose.backing.history.filter((entry) => entry === 'rows')).toHaveLength(1);
    expect(loose.backing.history.filter((entry) => entry.startsWith('flush own/'))).toHaveLength(3);
  });

  test('one is made every commit interval, without anybody asking', () => {
    const { loose, user } = started({ filesystem: { commitIntervalMs: 500 } });
    user.put('file', 'contents');
    loose.tick();
    loose.backing.clear();
    loose.clock.advance(499);
    loose.tick();
    expect(loose.backing.history.filter((entry) => entry === 'rows')).toEqual([]);
    loose.clock.advance(1);
    loose.tick();
    expect(loose.backing.history.filter((entry) => entry === 'rows')).toEqual(['rows']);
  });

  test('a sync flushes own files that are open, and makes one barrier', () => {
    const { loose, user } = started();
    const file = user.create('open', O_WRONLY);
    user.write(file, 'contents');
    user.put('closed', 'contents');
    loose.backing.clear();
    expect(loose.sync()).toBeUndefined();
    expect(user.layout('closed')).toBe('packed');
    const { history } = loose.backing;
    expect(history.filter((entry) => entry === 'rows')).toHaveLength(1);
    expect(history.indexOf('flush own/1/1')).toBeGreaterThanOrEqual(0);
    expect(history.indexOf('flush own/1/1')).toBeLessThan(history.indexOf('rows'));
    loose.backing.clear();
    loose.sync();
    expect(loose.backing.history.filter((entry) => entry.startsWith('flush '))).toEqual([]);
  });
});

describe('what was synced survives a kill', () => {
  test.each(['kill', 'reboot'])('by fsync, by sync, by a barrier: names, contents, attributes (%s)', (end) => {
    const { loose, user } = start();
    user.mkdir('directory');
    const file = user.create('directory/fsynced');
    user.write(file, 'fsynced');
    user.fsync(file.ino);
    loose.tick();
    user.put('synced', 'synced');
    user.setXattr('synced', 'user.a', 'value');
    loose.sync();
    const kept = user.stat('synced');
    user.put('late', 'late');
    user.rename('synced', 'renamed');
    if (end === 'reboot') loose.bootId = 'boot-2';
    loose.crash();
    if (end === 'kill') {
      expect(user.list('')).toEqual(['directory', 'late', 'renamed']);
      user.unlink('late');
      user.rename('renamed', 'synced');
    }
    expect(user.list('')).toEqual(['directory', 'synced']);
    const { ctime } = user.stat('synced');
    expect(user.stat('synced')).toEqual(end === 'kill' ? { ...kept, ctime } : kept);
    expect(user.getXattr('synced', 'user.a')).toBe('value');
    expect([user.text('directory/fsynced'), user.text('synced')]).toEqual(['fsynced', 'synced']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('everything, after a stop: open files, waiting ones, orphans none', () => {
    const { loose, user } = start();
    user.write(user.create('open'), 'open');
    user.put('waiting', 'waiting');
    user.unlink('waiting');
    user.put('other', 'other');
    const times = user.stat('other');
    loose.stop();
    expect(loose.damage()).toEqual([]);
    loose.open();
    expect(user.list('')).toEqual(['open', 'other']);
    expect(user.stat('other')).toEqual({ ...times, blocks: 1 });
    expect(['open', 'other'].map((name) => [user.layout(name), user.text(name)])).toEqual([
      ['packed', 'open'],
      ['packed', 'other'],
    ]);
  });

  test('a large file is not written again by a restart', () => {
    const { loose, user } = start({ filesystem: { packBelow: MIB } });
    user.put('large', pattern(2 * MIB));
    loose.sync();
    loose.stop();
    loose.backing.clear();
    loose.open();
    loose.pack();
    expect(loose.backing.history.filter((entry) => /write|flush own\//.test(entry))).toEqual([]);
    expect([user.layout('large'), same(user.read('large'), pattern(2 * MIB))]).toEqual(['own', true]);
  });
});

describe('after a flush has failed', () => {
  for (const what of ['an own file', 'an aggregate', 'a folder'] as const) {
    test(`of ${what}: whoever waits gets EIO, changes are refused, reads go on`, () => {
      const { loose, user } = start();
      user.put('before', 'before');
      loose.sync();
      const file = user.create('file');
      user.write(file, 'contents');
      user.put('waiting', 'waiting');
      if (what === 'an aggregate') {
        loose.clock.advance(1_500);
        loose.tick();
        loose.work();
      }
      const kind = what === 'a folder' ? 'flushFolder' : 'flush';
      loose.backing.arm({ kind, error: E.EIO, path: what === 'an aggregate' ? 'aggregates' : 'own', times: 1 });
      const answer = user.fsync(file.ino);
      loose.tick();
      expect(answer.outcome()).toBe(E.EIO);
      expect(loose.filesystem.status().broken).toBeDefined();
      // Nothing is tried again: the host has forgotten which pages it could not write.
      loose.backing.clear();
      const second = user.fsync(file.ino);
      loose.barrier();
      expect(second.outcome()).toBe(E.EIO);
      expect(loose.backing.history.filter((entry) => /^flush |unlink|rename|create/.test(entry))).toEqual([]);
      expectReadOnly({ loose, user }, file);
      expect([user.text('before'), user.text('file'), user.text('waiting')]).toEqual(['before', 'contents', 'waiting']);
      expect(loose.sync()).toBe(E.EIO);
      const lines = loose.log.lines.filter(({ message }) => message.startsWith('This store takes no more changes'));
      expect(lines).toHaveLength(1);
      // The mark outlives the daemon, and every mount until a repair has looked at the store.
      loose.crash();
      expect([user.text('before'), loose.filesystem.status().broken]).toEqual(['before', expect.any(String)]);
      expect(user.tryCreate('new')).toBe(E.EIO);
      expect(loose.namespace.clearBroken()).toBeUndefined();
      loose.crash();
      expect(loose.damageNow()).toEqual([]);
    });
  }
});

function expectReadOnly({ loose, user }: Fixture, file: ReturnType<Fixture['user']['create']>): void {
  const { filesystem, caller } = user;
  const place = user.place('new');
  const node = { mode: 0o644, umask: 0 };
  const refusals = [
    filesystem.create(caller, { ...place, flags: O_RDWR }, node),
    filesystem.createUnnamed(caller, { parent: place.parent, flags: O_RDWR }, node),
    filesystem.makeNode(caller, place, node),
    filesystem.makeDirectory(caller, place, node),
    filesystem.makeSymlink(caller, place, new Uint8Array([65])),
    filesystem.makeLink(caller, file.ino, place),
    user.unlink('before'),
    user.rename('before', 'after'),
    user.truncate('before', 0),
    filesystem.setAttributes(caller, file.ino, { mode: 0o600 }),
    user.setXattr('before', 'user.a', 'b'),
    user.removeXattr('before', 'user.a'),
    user.tryOpen('before', O_WRONLY),
    filesystem.allocate({ ...file, offset: 0 }, { mode: 0, length: 10 }),
  ];
  for (const refusal of refusals) expect(isErrno(refusal) && refusal.name).toBe('EIO');
  expect(user.tryWrite(file, 'x')).toBe(-E.EIO.number);
  expect(user.copyRange(file, file, { from: 0, to: 100, length: 4 })).toBe(-E.EIO.number);
  // Neither reading nor closing changes a row.
  const { lsn } = loose.namespace;
  loose.clock.advance(10_000);
  user.text('before');
  user.close(file);
  user.forget(file.ino);
  loose.tick();
  expect(loose.namespace.lsn).toBe(lsn);
}

test('an fsynced own file says so in its row until it is written again', () => {
  const { loose, user } = start();
  const file = user.create('file');
  user.write(file, 'contents');
  user.fsync(file.ino);
  loose.tick();
  expect((loose.namespace.inode(file.ino)?.flags ?? 0) & FLAG_FLUSHED).toBe(FLAG_FLUSHED);
  loose.backing.clear();
  user.write(file, 'more', 8);
  user.fsync(file.ino);
  loose.tick();
  expect(loose.backing.history.filter((entry) => entry === 'flush own/1/1')).toHaveLength(1);
  expect(loose.namespace.inode(file.ino)?.size).toBe(12);
});

test('what comes faster than a slow disk takes it is held, not refused', () => {
  const { loose, user } = start();
  const many = () => {
    const record = loose.namespace.begin();
    for (let i = 0; i < 45_000; i++) record.putSharer(7 as AggregateId, i * 4096, 9_999 as Ino);
    loose.namespace.commit(record);
  };
  many();
  loose.clock.advance(2_000);
  loose.look();
  expect(loose.filesystem.isFull).toBe(false);
  many();
  expect(loose.filesystem.isFull).toBe(true);
  // Once the workers have done what they have to, all goes on.
  for (let turn = 0; turn < 100 && loose.filesystem.isFull; turn++) {
    loose.work();
    loose.tick();
  }
  expect(loose.filesystem.isFull).toBe(false);
  user.create('another');
});
