import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isLocked, readLockRecord, StoreLock } from '../../mountd/lock.ts';

const HERE = { host: 'here', bootId: 'boot-1' };
const ELSEWHERE = { host: 'elsewhere', bootId: 'boot-2' };

describe('the store lock', () => {
  let store: string;
  beforeEach(() => {
    store = mkdtempSync(join(tmpdir(), 'pacsfs-test-'));
    mkdirSync(join(store, 'meta'));
  });
  afterEach(() => rmSync(store, { recursive: true }));

  it('is held by one, who can be read', () => {
    expect(isLocked(store)).toBe(false);
    const lock = StoreLock.acquire(store, { purpose: 'mount', identity: HERE });
    lock.update({ mountPoint: '/mnt/x' });
    expect(isLocked(store)).toBe(true);
    expect(readLockRecord(store)).toMatchObject({ state: 'held', host: 'here', supervisorPid: process.pid });
    expect(() => StoreLock.acquire(store, { purpose: 'mount', identity: HERE })).toThrow(
      new RegExp(`^Store in use: .* is mounted at /mnt/x by process ${process.pid}; .*unmount`),
    );
    lock.release({ code: 0 });
    expect(isLocked(store)).toBe(false);
    expect(readLockRecord(store)).toMatchObject({ state: 'free', outcome: { code: 0 } });
    StoreLock.acquire(store, { purpose: 'mount', identity: ELSEWHERE }).release({ code: 0 });
  });

  it('names another verb that holds it', () => {
    const lock = StoreLock.acquire(store, { purpose: 'fsck', identity: HERE });
    expect(() => StoreLock.acquire(store, { purpose: 'mount', identity: HERE })).toThrow(/held by `pacsfs fsck`/);
    lock.release({ code: 0 });
  });

  const leave = (record: object) => writeFileSync(join(store, 'meta', 'lock'), JSON.stringify(record));
  const left = { state: 'held', purpose: 'mount', supervisorPid: 1, ...HERE };

  /** Of a living process, as the lock itself writes it. */
  const living = () => {
    const lock = StoreLock.acquire(store, { purpose: 'mount', identity: HERE });
    const record = readLockRecord(store);
    lock.release({ code: 0 });
    return record ?? {};
  };
  const taken = () => StoreLock.acquire(store, { purpose: 'mount', force: false, identity: HERE }).release({ code: 0 });

  it('is taken over from a holder of this host that is gone, or lived before the machine started anew', () => {
    const alive = living();
    for (const record of [
      left,
      { ...left, bootId: 'boot-0' },
      { ...alive, bootId: 'boot-0' },
      // The number of one that is gone, used again by another.
      { ...alive, startTicks: 1 },
      { ...alive, supervisorPid: 2 ** 22 + 1 },
    ]) {
      leave(record);
      taken();
    }
  });

  it('is refused while its holder lives, though flock did not tell, but by force', () => {
    leave(living());
    expect(taken).toThrow(
      new RegExp(`^Store in use: .* process ${process.pid} on host 'here', which is alive; .*--force`),
    );
    expect(isLocked(store)).toBe(false);
    StoreLock.acquire(store, { purpose: 'fsck', force: true, identity: HERE }).releaseUnchanged();
    expect(taken).toThrow(/which is alive/);
    StoreLock.acquire(store, { purpose: 'mount', force: true, identity: HERE }).release({ code: 0 });
    taken();
  });

  it('is refused when another host of the same kernel left it: whether its processes are gone cannot be seen', () => {
    leave({ ...left, host: 'container' });
    expect(taken).toThrow(/host 'container', this is 'here'; .*--force/);
  });

  it('is refused when another machine left it, but by force', () => {
    leave({ ...left, ...ELSEWHERE });
    expect(() => StoreLock.acquire(store, { purpose: 'mount', force: false, identity: HERE })).toThrow(
      /^Store in use: .* host 'elsewhere', this is 'here'; .*, then use --force$/,
    );
    // A command that has no --force does not tell of one.
    expect(() => StoreLock.acquire(store, { purpose: 'backup', identity: HERE })).toThrow(
      /this is 'here'; .*, then take it over with `pacsfs mount --force`$/,
    );
    expect(isLocked(store)).toBe(false);
    StoreLock.acquire(store, { purpose: 'mount', force: true, identity: HERE }).release({ code: 0 });
    StoreLock.acquire(store, { purpose: 'mount', identity: HERE }).release({ code: 0 });
  });

  it('does not mind a record that is no record', () => {
    for (const text of ['', 'garbage', '[]', '{"state":1}', '\0\0\0']) {
      writeFileSync(join(store, 'meta', 'lock'), text);
      StoreLock.acquire(store, { purpose: 'mount', identity: HERE }).release({ code: 0 });
    }
  });

  it('says what is missing where there is no store', () => {
    rmSync(join(store, 'meta'), { recursive: true });
    expect(() => StoreLock.acquire(store, { purpose: 'mount' })).toThrow(/^Cannot open .*lock: it does not exist/);
    expect(isLocked(store)).toBe(false);
  });
});
