import { expect, test } from 'vitest';
import { pattern, same, start } from './fixture.ts';

const O_RDWR = 2;

function changedAfterPacking(more: { readonly isSynced?: boolean } = {}) {
  const fixture = start();
  const { user, loose } = fixture;
  const before = pattern(300_000);
  const file = user.create('file');
  user.write(file, before, 0);
  user.close(file);
  loose.pack();
  loose.barrier();
  const again = user.open('file', O_RDWR);
  user.write(again, 'NEW', 1_000);
  if (more.isSynced === true) {
    user.fsync(again.ino);
  }
  loose.barrier();
  const after = before.slice();
  after.set([78, 69, 87], 1_000);
  return { ...fixture, before, after };
}

test('after a reboot a packed file that was being changed is what it was when its bytes were last durable', () => {
  const { user, loose, before } = changedAfterPacking();
  loose.bootId = 'boot-2';
  loose.crash();
  expect(same(user.read('file'), before)).toBe(true);
  expect(user.layout('file')).toBe('packed');
  loose.barrier();
  expect(loose.damageNow()).toEqual([]);
});

test('when only the daemon died it is what was written last', () => {
  const { user, loose, after } = changedAfterPacking();
  loose.crash();
  expect(same(user.read('file'), after)).toBe(true);
  loose.pack();
  expect(loose.damageNow()).toEqual([]);
});

test('a change that was fsynced survives the reboot', () => {
  const { user, loose, after } = changedAfterPacking({ isSynced: true });
  loose.bootId = 'boot-2';
  loose.crash();
  expect(same(user.read('file'), after)).toBe(true);
  loose.pack();
  expect(loose.damageNow()).toEqual([]);
});
