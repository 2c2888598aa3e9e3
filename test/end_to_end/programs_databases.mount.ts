/** Programs that keep databases of their own on the mount: git, SQLite, and flock(1) between shells. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { SCRIPTS, unmountedFaults } from '../support/scripts.ts';

const GIT_REPOSITORY = `
  git init -q -b main "$1" && cd "$1"
  git config user.name Tester && git config user.email tester@example.org && git config gc.auto 0
  for round in 1 2 3 4 5 6; do
    for file in $(seq 1 60); do
      mkdir -p part$((file % 9)); echo "round $round of $file" >> part$((file % 9))/file$file
    done
    head -c 300000 /dev/urandom > binary$round; ln -sf binary$round newest
    git add -A && git commit -q -m "Round $round"
  done
  git checkout -q -b side HEAD~3 && echo side > side && git add side && git commit -q -m Side && git checkout -q main`;

describe('programs with databases', () => {
  let store: TestStore;
  beforeEach(async () => {
    store = await TestStore.create();
  });
  afterEach(async () => {
    await store.destroy();
  });

  it('git clones, commits, collects garbage and finds its objects whole', { timeout: 120_000 }, async () => {
    const outside = join(store.folder, 'origin');
    await store.shell(`make() { ${GIT_REPOSITORY}\n}; (make ${outside}); (make "$PWD/made-here")`, {
      timeoutMs: 60_000,
    });
    const git = 'git -c user.name=Tester -c user.email=tester@example.org -c gc.auto=0';
    await store.shell(
      `git clone -q file://${outside} clone; cd clone; git fsck --full --strict
       test "$(git rev-parse HEAD)" = "$(git -C ${outside} rev-parse HEAD)"
       test -z "$(git status --porcelain)"
       ${git} merge -q -m Merge origin/side; git mv part1 renamed; ${git} commit -q -m Renamed
       ${git} gc -q --aggressive --prune=now; git fsck --full --strict; test -z "$(git status --porcelain)"`,
      { timeoutMs: 60_000 },
    );
    await store.sync();
    await store.shell(
      `cd made-here; git fsck --full --strict; git gc -q --prune=now; git fsck --full --strict
       test -z "$(git status --porcelain)"; git -C ../clone pull -q ${outside} side; git log --oneline | wc -l`,
      { timeoutMs: 60_000 },
    );
    expect(await unmountedFaults(store)).toBe('');
  });

  it('SQLite in WAL mode takes four writing processes', { timeout: 120_000 }, async () => {
    const output = await store.shell(`python3 -B ${SCRIPTS}/sqlite_writers.py archive.db 250`, { timeoutMs: 90_000 });
    expect(output).toBe('wal\n0 1000 1000 ok\n');
    await store.sync();
    await store.remount();
    expect(await store.shell("sqlite3 archive.db 'PRAGMA integrity_check; SELECT count(*) FROM entry'")).toBe(
      'ok\n1000\n',
    );
    const rollback = 'PRAGMA journal_mode = DELETE; CREATE TABLE t (x); INSERT INTO t VALUES (1), (2); VACUUM';
    await store.shell(`sqlite3 archive.db '${rollback}'; sqlite3 archive.db 'PRAGMA integrity_check' | grep -qx ok`);
    expect(await unmountedFaults(store)).toBe('');
  });

  it('flock(1) keeps shells apart', { timeout: 60_000 }, async () => {
    const count = await store.shell(
      `echo 0 > counter
       add() { for i in $(seq 1 25); do flock lock sh -c 'echo $(( $(cat counter) + 1 )) > counter'; done; }
       add & add & add & add & wait; cat counter`,
    );
    expect(count).toBe('100\n');
    await store.shell(
      '(flock 9; sleep 2) 9> held & sleep 0.3; ! flock --nonblock held true; flock --wait 10 held true',
    );
    expect(await unmountedFaults(store)).toBe('');
  });
});
