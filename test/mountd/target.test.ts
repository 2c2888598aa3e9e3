import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mountOf, pacsfsMounts, readMountTable } from '../../mountd/mount_table.ts';
import { resolveOutsideMounts, resolveTarget } from '../../mountd/target.ts';

const TABLE_TEXT = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:41 / /mnt/a\\040b rw,relatime - fuse.pacsfs /srv/the\\040store rw,user_id=0
31 22 0:42 / /mnt/other rw - fuse.sshfs host:/ rw
32 30 0:43 / /mnt/a\\040b/deep rw - tmpfs tmpfs rw
33 22 0:44 / /mnt/twice rw - fuse.pacsfs /srv/one rw
34 33 0:45 / /mnt/twice rw master:1 - fuse.pacsfs /srv/two rw
`;

describe('the table of mounts', () => {
  it('decodes what the kernel escapes', () => {
    expect(pacsfsMounts(readMountTable(TABLE_TEXT))[0]).toEqual({
      device: '0:41',
      mountPoint: '/mnt/a b',
      type: 'fuse.pacsfs',
      source: '/srv/the store',
    });
  });

  it('finds the mount of a path: the longest, of equals the last', () => {
    const table = readMountTable(TABLE_TEXT);
    expect(mountOf('/mnt/a b/x', table)?.device).toBe('0:41');
    expect(mountOf('/mnt/a b/deep/x', table)?.device).toBe('0:43');
    expect(mountOf('/mnt/a bc', table)?.device).toBe('254:0');
    expect(mountOf('/mnt/twice', table)?.source).toBe('/srv/two');
  });

  it('reads the real one', () => {
    expect(mountOf('/', readMountTable())?.mountPoint).toBe('/');
  });
});

describe('TARGET', () => {
  let folder: string;
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'pacsfs-test-')));
    mkdirSync(join(folder, 'store', 'meta'), { recursive: true });
    writeFileSync(join(folder, 'store', 'store.yaml'), '');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const mounted = () => [
    { device: '254:0', mountPoint: '/', type: 'ext4', source: '/dev/vda' },
    { device: '0:50', mountPoint: join(folder, 'mnt'), type: 'fuse.pacsfs', source: join(folder, 'store') },
  ];

  it('is a store folder or a path below one', () => {
    for (const path of ['store', 'store/meta', 'store/meta/none/such']) {
      const target = resolveTarget(join(folder, path), []);
      expect(target).toEqual({ store: join(folder, 'store'), mount: undefined, isInMount: false });
    }
    expect(resolveTarget(join(folder, 'store'), mounted()).mount?.device).toBe('0:50');
  });

  it('is a mount point or a path below one, whether or not anything there answers', () => {
    // Nothing at all is at these paths: had they been looked at, nothing would have been found.
    for (const path of ['mnt', 'mnt/a/b']) {
      const target = resolveTarget(join(folder, path), mounted());
      expect(target).toMatchObject({ store: join(folder, 'store'), isInMount: true, mount: { device: '0:50' } });
    }
  });

  it('is reached by symbolic links', () => {
    symlinkSync(join(folder, 'mnt'), join(folder, 'link'));
    symlinkSync('../link/a', join(folder, 'store', 'inner'));
    symlinkSync('store', join(folder, 'relative'));
    expect(resolveOutsideMounts(join(folder, 'link', 'x'), mounted())).toBe(join(folder, 'mnt', 'x'));
    expect(resolveTarget(join(folder, 'store', 'inner', 'b'), mounted()).isInMount).toBe(true);
    expect(resolveTarget(join(folder, 'relative', 'meta'), []).store).toBe(join(folder, 'store'));
  });

  it('is refused when it is none of these', () => {
    expect(() => resolveTarget(folder, [])).toThrow(/^Not a store: /);
    expect(() => resolveTarget(join(folder, 'none'), [])).toThrow(/^No such store or mount: /);
    symlinkSync('loop', join(folder, 'loop'));
    expect(() => resolveTarget(join(folder, 'loop'), [])).toThrow(/symbolic links/);
  });
});
