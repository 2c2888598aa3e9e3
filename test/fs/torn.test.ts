import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { type Ino, KIB, ROOT_INO, slotOf } from '../../base/units.ts';
import { rowIdOf } from '../../shard/row_id.ts';
import { O_RDWR } from '../support/loose_user.ts';
import { Random } from '../support/random.ts';
import { type Fixture, pattern, same, start } from './fixture.ts';

const SIZE = 20 * KIB;
/** Of two shards the one that holds the root directory. */
const ROOT_SHARD = `shards/00${slotOf(ROOT_INO) % 2}.db`;

/** Copies of the databases as they are now, behind a barrier; `restore` puts chosen ones back, as a cut barrier would. */
class OlderDatabases {
  readonly #meta: string;
  readonly #copies: string;

  constructor({ loose }: Fixture) {
    this.#meta = loose.metaFolder;
    this.#copies = join(loose.folder, 'copies');
    loose.namespace.barrier();
    loose.namespace.checkpoint();
    mkdirSync(join(this.#copies, 'shards'), { recursive: true });
    for (const name of this.#files()) copyFileSync(join(this.#meta, name), join(this.#copies, name));
  }

  /** `system.db` and `shards/000.db` and so on. */
  restore(databases: readonly string[]): void {
    for (const name of databases) {
      for (const suffix of ['', '-wal', '-shm']) rmSync(join(this.#meta, `${name}${suffix}`), { force: true });
      for (const suffix of ['', '-wal']) {
        const copy = join(this.#copies, `${name}${suffix}`);
        if (existsSync(copy)) copyFileSync(copy, join(this.#meta, `${name}${suffix}`));
      }
    }
  }

  #files(): string[] {
    const shards = readdirSync(join(this.#meta, 'shards')).map((name) => join('shards', name));
    return ['system.db', 'system.db-wal', ...shards].filter(
      (name) => !name.endsWith('-shm') && existsSync(join(this.#meta, name)),
    );
  }
}

/** Ends as a kill in the middle of a barrier that these databases did not see. */
function tear({ loose }: Fixture, older: OlderDatabases, databases: readonly string[]): void {
  loose.namespace.barrier();
  loose.kill();
  older.restore(databases);
  loose.open();
}

/** A directory whose inode is in the other shard than the root's. */
function directoryElsewhere({ user }: Fixture): string {
  for (let i = 0; ; i++) {
    const name = `dir${i}`;
    if (slotOf(user.mkdir(name)) % 2 !== slotOf(ROOT_INO) % 2) return name;
  }
}

/** Flips a bit in the middle of an inode's row, in a store that is closed. */
function damageInode(metaFolder: string, ino: Ino): void {
  for (const shard of ['shards/000.db', 'shards/001.db']) {
    const database = new Database(join(metaFolder, shard));
    const row = database.prepare<[number], Buffer>('SELECT row FROM inodes WHERE id = ?').pluck(true).get(rowIdOf(ino));
    const middle = (row?.length ?? 0) >> 1;
    row?.writeUInt8(row.readUInt8(middle) ^ 4, middle);
    if (row !== undefined) database.prepare('UPDATE inodes SET row = ? WHERE id = ?').run(row, rowIdOf(ino));
    database.close();
  }
}

/** Packs, makes a barrier, punches what it set free. */
function settle({ loose }: Fixture): void {
  loose.pack();
  loose.sync();
  loose.work();
  loose.sync();
}

describe('a barrier that was cut off', () => {
  test('before system.db: what two files share outlives either, though no row of a sharer was kept', () => {
    for (const gone of ['a', 'b']) {
      const fixture = start();
      const { loose, user } = fixture;
      user.put('a', pattern(SIZE));
      loose.pack();
      const older = new OlderDatabases(fixture);
      user.copy('a', 'b');
      tear(fixture, older, ['system.db']);
      expect(loose.log.has('barrier was cut off')).toBe(true);
      user.remove(gone);
      settle(fixture);
      expect(same(user.read(gone === 'a' ? 'b' : 'a'), pattern(SIZE))).toBe(true);
      expect(loose.damageNow()).toEqual([]);
    }
  });

  test('before the shard of the source: it is marked as sharing all the same', () => {
    for (const gone of ['a', 'b']) {
      const fixture = start();
      const { loose, user } = fixture;
      const dir = directoryElsewhere(fixture);
      user.put('a', pattern(SIZE));
      loose.pack();
      const older = new OlderDatabases(fixture);
      user.copy('a', `${dir}/b`);
      tear(fixture, older, [ROOT_SHARD, 'system.db']);
      user.remove(gone === 'a' ? 'a' : `${dir}/b`);
      settle(fixture);
      expect(same(user.read(gone === 'a' ? `${dir}/b` : 'a'), pattern(SIZE))).toBe(true);
      expect(loose.damageNow()).toEqual([]);
    }
  });

  test('after sharers were deleted: their rows, which nobody bears out, go, and so do the bytes in the end', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('a', pattern(SIZE));
    loose.pack();
    user.copy('a', 'b');
    const older = new OlderDatabases(fixture);
    user.remove('b');
    tear(fixture, older, ['system.db']);
    expect(user.exists('b')).toBe(false);
    user.remove('a');
    settle(fixture);
    expect([...loose.data.ledger.rows()].reduce((sum, row) => sum + row.live, 0)).toBe(0);
    expect(loose.damageNow()).toEqual([]);
  });

  test('what an inode that cannot be read names stays alive, its share of what others name too', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const lost = user.put('a', pattern(SIZE));
    loose.pack();
    user.copy('a', 'b');
    const older = new OlderDatabases(fixture);
    user.put('c', 'later');
    loose.namespace.barrier();
    loose.kill();
    older.restore(['system.db']);
    damageInode(loose.metaFolder, lost);
    loose.open();
    expect(loose.log.has('barrier was cut off')).toBe(true);
    user.remove('b');
    settle(fixture);
    const live = [...loose.data.ledger.rows()].filter(({ state }) => state !== 'dead').map((row) => row.live);
    expect(live.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThanOrEqual(SIZE);
    expect([...loose.namespace.allSharers()].map(({ ino }) => ino)).toContain(lost);
  });

  test('before the shard of a name: the inode that lost it is kept, and so is what it held', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const dir = directoryElsewhere(fixture);
    user.put(`${dir}/f`, 'bytes');
    user.rename(`${dir}/f`, 'f');
    user.mkdir(`${dir}/d`);
    settle(fixture);
    const older = new OlderDatabases(fixture);
    user.unlink('f');
    tear(fixture, older, [ROOT_SHARD, 'system.db']);
    expect([user.text('f'), user.stat('f').nlink]).toEqual(['bytes', 1]);
    user.remove('f');
    settle(fixture);
    expect(loose.damageNow()).toEqual([]);
  });

  test('at aggregates made since: they have rows again, and their bytes count', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const older = new OlderDatabases(fixture);
    user.put('a', pattern(SIZE));
    user.put('b', pattern(SIZE, 2));
    loose.pack();
    tear(fixture, older, ['system.db']);
    expect([same(user.read('a'), pattern(SIZE)), same(user.read('b'), pattern(SIZE, 2))]).toEqual([true, true]);
    user.put('c', pattern(SIZE, 3));
    settle(fixture);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('barriers cut off anywhere', () => {
  const first = Number(process.env['PACSFS_SEED'] ?? 1 + (Date.now() % 1_000_000));
  for (const seed of [first, first + 1])
    test(`leave alone what did not change meanwhile; fsck mends the rest (seed ${seed})`, () => {
      // No barrier but those of the test: one that is complete cannot be cut off any more.
      const fixture = start({ shardCount: 3, filesystem: { commitIntervalMs: Number.MAX_SAFE_INTEGER } });
      const { loose, user } = fixture;
      loose.clock.isWallReal = true;
      const random = new Random(seed);
      const directories = ['p', 'q', 'r', 's'];
      for (const name of directories) user.mkdir(name);
      for (const name of directories)
        for (let i = 0; i < 6; i++) user.put(`${name}/${i}`, pattern(1 + random.below(SIZE), i));
      settle(fixture);
      for (const name of directories) user.copy(`${name}/4`, `${name}/copy`);
      const older = new OlderDatabases(fixture);
      const kept = new Map(
        directories.flatMap((name) => [2, 3, 4, 5].map((i) => [`${name}/${i}`, user.read(`${name}/${i}`)] as const)),
      );
      churn(fixture, random, directories);
      const restored = ['shards/000.db', 'shards/001.db', 'shards/002.db'].filter(() => random.below(2) === 0);
      tear(fixture, older, ['system.db', ...restored]);
      const expectKept = () => {
        for (const [path, bytes] of kept)
          expect([path, typeof bytes !== 'number' && same(user.read(path), bytes)]).toEqual([path, true]);
      };
      expectKept();
      settle(fixture);
      loose.stop();
      expect(loose.damage({ repair: true })).toEqual([]);
      loose.open();
      expectKept();
      for (const name of directories) user.remove(`${name}/4`);
      settle(fixture);
      kept.forEach((_, path) => void (path.endsWith('/4') && kept.delete(path)));
      expectKept();
      expect(loose.damageNow()).toEqual([]);
    });
});

/** Changes files 0, 1 and copies of each directory, and none of the others. */
function churn(fixture: Fixture, random: Random, directories: readonly string[]): void {
  const { loose, user } = fixture;
  for (let i = 0; i < 60; i++) {
    const name = directories[random.below(directories.length)] ?? 'p';
    const other = directories[random.below(directories.length)] ?? 'p';
    const path = `${name}/${random.below(2)}`;
    const choice = random.below(7);
    if (choice === 0) user.put(`${name}/new${i}`, pattern(1 + random.below(SIZE), i));
    else if (choice === 1) user.copy(`${other}/5`, `${name}/copy${i}`);
    else if (choice === 2) loose.pack();
    else if (!user.exists(path)) user.mkdir(`${name}/dir${i}`);
    else if (choice === 3) user.remove(path);
    else if (choice === 4) user.rename(path, `${other}/moved${i}`);
    else if (choice === 5) user.link(path, `${other}/link${i}`);
    else {
      const file = user.open(path, O_RDWR);
      user.write(file, 'changed', random.below(SIZE));
      user.close(file);
    }
  }
  loose.tick();
}
