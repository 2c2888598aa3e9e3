/** What `-o` changes for the users of a mount, and what a remount must not: one store, mounted again by each case. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { unmountedFaults } from '../support/scripts.ts';

describe('mount options', () => {
  let store: TestStore;
  beforeAll(async () => {
    store = await TestStore.create();
    await store.shell('echo content > file; mkdir d; ln -s file link; setfattr -n user.a -v b file; chmod 4755 file');
  });
  afterAll(async () => {
    await store.destroy();
  });

  async function refused(command: string): Promise<string> {
    const result = await store.run('bash', ['-c', command]);
    expect(result.code, command).not.toBe(0);
    return result.stderr;
  }

  it('ro refuses every change and answers every question', { timeout: 60_000 }, async () => {
    await store.remount(['ro']);
    const before = await store.shell('stat --format "%n %s %X %Y %Z" file d link');
    expect(await store.shell('cat file; cat link; readlink link; getfattr --only-values -n user.a file')).toContain(
      'content',
    );
    for (const change of [
      'echo x > file',
      'echo x > new',
      'touch file',
      'mkdir new',
      'rmdir d',
      'rm file',
      'mv file other',
      'ln file other',
      'ln -s x other',
      'mkfifo other',
      'chmod 600 file',
      'chown 1:1 file',
      'truncate -s 0 file',
      'setfattr -n user.a -v c file',
      'setfacl -m u:1:r file',
    ]) {
      expect(await refused(change)).toContain('Read-only file system');
    }
    expect(await store.shell('stat --format "%n %s %X %Y %Z" file d link')).toBe(before);
    await store.remount();
  });

  it('noatime leaves access times alone, without it relatime is kept over a remount', { timeout: 60_000 }, async () => {
    const atime = () => store.shell('stat --format %x file');
    await store.shell('touch -a -d 2001-01-01 file; cat file');
    const read = await atime();
    expect(read).not.toContain('2001');
    await store.remount();
    expect(await atime()).toBe(read);
    await store.shell('touch -a -d 2001-01-01 file');
    await store.remount(['noatime']);
    await store.shell('cat file; ls');
    expect(await atime()).toContain('2001');
    await store.remount();
  });

  it('noacl serves no ACLs, and keeps those there are', { timeout: 60_000 }, async () => {
    await store.shell('setfacl -m u:65534:rw file');
    await store.remount(['noacl']);
    expect(await refused('setfacl -m u:1:r file')).toContain('Operation not supported');
    expect(await store.shell('getfattr --absolute-names -d -m - file')).not.toContain('posix_acl');
    await store.remount();
    expect(await store.shell('getfacl -n file')).toContain('user:65534:rw-');
    await store.shell('setfacl -b file');
  });

  it('layoutxattrs lists what tells where a file lies', { timeout: 60_000 }, async () => {
    expect(await store.shell('getfattr -d file')).not.toContain('pacsfs');
    await store.sync();
    await store.remount(['layoutxattrs']);
    const listed = await store.shell('getfattr -d -m user.pacsfs file');
    for (const name of ['layout="packed"', 'tier="hot"', 'volume="hot"', 'extents=']) expect(listed).toContain(name);
    await store.remount();
  });

  it('nosuid, nodev and noexec reach the kernel', { timeout: 60_000 }, async () => {
    await store.shell('cp /bin/true program; mknod null c 1 3');
    await store.remount(['nosuid', 'nodev', 'noexec']);
    expect(await refused('./program')).toContain('Permission denied');
    expect(await refused('echo x > null')).toContain('Permission denied');
    expect(await store.shell('findmnt --noheadings --output OPTIONS --target .')).toMatch(/nosuid.*nodev.*noexec/);
    expect(await unmountedFaults(store)).toBe('');
  });
});
