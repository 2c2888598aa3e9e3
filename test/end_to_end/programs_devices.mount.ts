/** Programs that treat files as disks and trees as machines: fio, loop devices, chroot. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { SCRIPTS, unmountedFaults } from '../support/scripts.ts';

describe('files as disks, trees as machines', () => {
  let store: TestStore;
  beforeEach(async () => {
    store = await TestStore.create();
  });
  afterEach(async () => {
    try {
      await releaseDevices();
    } finally {
      await store.destroy();
    }
  });

  /** What a shell that was killed could not undo itself. */
  async function releaseDevices(): Promise<void> {
    const script = `
      umount ${store.folder}/inner 2> /dev/null || true
      losetup --noheadings --raw --output NAME,BACK-FILE | while read -r device file; do
        case $file in ${store.folder}/*) losetup --detach "$device" ;; esac
      done`;
    await store.run('bash', ['-c', script], { cwd: '/' });
  }

  it('fio verifies what it wrote, through every engine', { timeout: 180_000 }, async () => {
    const common = '--size=12m --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=7 --group_reporting --minimal';
    for (const engine of ['--ioengine=mmap', '--ioengine=libaio --iodepth=8', '--ioengine=sync']) {
      for (const access of ['--rw=randwrite --bsrange=4k-64k', '--rw=write --bs=128k', '--rw=randrw --bs=16k']) {
        const name = `fio${engine}${access}`.replace(/\W+/g, '-');
        await store.shell(`fio --name=${name} ${engine} ${access} ${common} > /dev/null; rm ${name}*`);
      }
    }
    for (const engine of ['--ioengine=libaio --iodepth=8', '--ioengine=sync']) {
      const access = '--direct=1 --rw=randwrite --bsrange=4k-64k --blockalign=4k';
      await store.shell(`fio --name=direct ${engine} ${access} ${common} > /dev/null; rm direct*`);
    }
    await store.shell(`fio --name=kept --numjobs=3 --fsync=16 --rw=randwrite --bs=8k ${common} > /dev/null`);
    await store.sync();
    await store.shell(`fio --name=kept --numjobs=3 --rw=randwrite --bs=8k ${common} --verify_only=1 > /dev/null`);
    expect(await unmountedFaults(store)).toBe('');
  });

  it('an ext4 image on the mount is attached, mounted and written', { timeout: 120_000 }, async () => {
    const inner = join(store.folder, 'inner');
    mkdirSync(inner);
    const use = (commands: string) =>
      store.shell(
        `device=$(losetup --find --show image)
         trap 'mountpoint -q ${inner} && umount ${inner}; losetup -d $device' EXIT
         mount $device ${inner}; ${commands}; sync -f ${inner}; umount ${inner}; fsck.ext4 -fn $device > /dev/null`,
        { timeoutMs: 60_000 },
      );
    await store.shell('truncate -s 96M image; mkfs.ext4 -q -F image');
    const tree = `python3 -B ${SCRIPTS}/make_tree.py ${inner}/tree 150`;
    const sums = await use(`${tree}; cd ${inner}/tree; find . -type f -print0 | sort -z | xargs -0 sha256sum; cd /`);
    expect(sums.split('\n').length).toBeGreaterThan(150);
    await store.sync();
    await store.remount();
    const again = `cd ${inner}/tree; find . -type f -print0 | sort -z | xargs -0 sha256sum; cd /`;
    expect(await use(`${again}; rm -rf ${inner}/tree`)).toBe(sums);
    expect(await unmountedFaults(store)).toBe('');
  });

  it('a Debian tree on the mount runs apt-get and compiles, entered by chroot', { timeout: 180_000 }, async () => {
    await store.shell(
      `mkdir tree; python3 -B ${SCRIPTS}/debian_files.py > ${store.folder}/files
       tar -C / -c --no-recursion --files-from=${store.folder}/files | tar -C tree -xp
       mkdir -p tree/dev tree/proc tree/root; mknod -m 666 tree/dev/null c 1 3; chmod 1777 tree/tmp`,
      { timeoutMs: 90_000 },
    );
    await store.sync();
    const enter = 'chroot tree /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root';
    expect(await store.shell(`${enter} ldconfig; ${enter} apt-get --version`)).toMatch(/^apt \d/);
    const program = '#include <stdio.h>\\nint main(void) { return printf("compiled here\\\\n") < 0; }\\n';
    const compiled = await store.shell(
      `${enter} bash -euc 'cd /root; printf "$0" > a.c; gcc -O2 -o a a.c; ./a; cp a /usr/bin/b; b | wc -l' '${program}'`,
    );
    expect(compiled).toBe('compiled here\n1\n');
    expect(await unmountedFaults(store)).toBe('');
  });
});
