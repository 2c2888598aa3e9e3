/** The kernel itself on the other side of the protocol, a filesystem in memory on this one. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryServer } from '../../support/memory_server.ts';
import { run } from '../../support/processes.ts';

let server: MemoryServer;

beforeEach(async () => {
  server = await MemoryServer.start();
});

afterEach(async () => {
  await server.destroy();
});

/** What the script prints; it runs in the mount and must end with 0. */
async function shell(script: string): Promise<string> {
  const options = { cwd: server.mountPoint, timeoutMs: 20_000, onTimeout: () => server.abort() };
  const result = await run('bash', ['-euo', 'pipefail', '-c', script], options);
  expect(result, `${script}: ${result.stderr}`).toMatchObject({ code: 0 });
  return result.stdout.trim();
}

const python = (script: string): Promise<string> => shell(`python3 - <<'END'\nimport os, errno\n${script}\nEND`);

describe('names', () => {
  it('are made, listed, moved and removed', async () => {
    await shell('mkdir d; echo hello > d/a; ln d/a b; ln -s d/a s; mkfifo p; mknod n c 1 3');
    expect(await shell('ls -1')).toBe('b\nd\nn\np\ns');
    expect(await shell('cat s; readlink s; stat -c %h b; stat -c "%t %T %F" n')).toBe(
      'hello\nd/a\n2\n1 3 character special file',
    );
    await shell('mv b c; mv -n c d/e; rm d/a s p n; rmdir d 2>/dev/null && exit 1; rm -r d');
    expect(await shell('ls -A')).toBe('');
  });

  it('come whole from a directory of 1500, with and without attributes', async () => {
    await shell('for i in $(seq 1500); do : > file-number-$i; done');
    expect(await shell('ls -f | sort -u | wc -l')).toBe('1502');
    expect(await shell('ls -l | tail -n +2 | wc -l')).toBe('1500');
    expect(await shell('find . -name "file-number-1??" | wc -l')).toBe('100');
    expect(await shell('rm -r ./*; ls | wc -l')).toBe('0');
  });

  it('are exchanged, kept from being replaced, and refused when too long', async () => {
    const script = `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
open('a', 'w').write('1'); open('b', 'w').write('2')
print(libc.renameat2(-100, b'a', -100, b'b', 2), open('a').read(), open('b').read())
print(libc.renameat2(-100, b'a', -100, b'b', 1), errno.errorcode[ctypes.get_errno()])
open('n' * 255, 'w').close()
try: open('n' * 256, 'w')
except OSError as error: print(errno.errorcode[error.errno])`;
    expect(await python(script)).toBe('0 2 1\n-1 EEXIST\nENAMETOOLONG');
  });
});

describe('data', () => {
  it('comes back as written, at the largest request sizes too', async () => {
    await shell(
      'head -c 20000000 /dev/urandom > /dev/shm/pacsfs-$$; cp /dev/shm/pacsfs-$$ big; cmp big /dev/shm/pacsfs-$$; rm /dev/shm/pacsfs-$$',
    );
    await shell('dd if=big of=copy bs=1M oflag=direct iflag=direct 2>/dev/null; cmp big copy');
    expect(await shell('stat -c %s copy')).toBe('20000000');
    const counts = await server.stop();
    // 20 requests of 1 MiB for the direct copy, and hardly more for the buffered one.
    expect(counts['WRITE']).toBeLessThan(200);
  });

  it('is cut, grown, appended to and mapped', async () => {
    const script = `
import mmap
f = os.open('f', os.O_CREAT | os.O_RDWR)
os.write(f, b'0123456789'); os.ftruncate(f, 4); os.ftruncate(f, 6)
print(os.pread(f, 100, 0))
a = os.open('f', os.O_WRONLY | os.O_APPEND); os.write(a, b'end'); print(os.fstat(f).st_size)
m = mmap.mmap(f, 9); m[0:2] = b'MM'; m.flush(); print(os.pread(f, 100, 0))
os.close(os.open('f', os.O_WRONLY | os.O_TRUNC)); print(os.fstat(f).st_size); os.fsync(f); os.fdatasync(f)
d = os.open('.', os.O_RDONLY); os.fsync(d)`;
    expect(await python(script)).toBe("b'0123\\x00\\x00'\n9\nb'MM23\\x00\\x00end'\n0");
  });

  it('is allocated, punched, searched and copied in the server', async () => {
    const script = `
f = os.open('f', os.O_CREAT | os.O_RDWR); os.write(f, b'x' * 10000)
os.posix_fallocate(f, 0, 20000); print(os.fstat(f).st_size)
print(os.lseek(f, 5, os.SEEK_DATA), os.lseek(f, 5, os.SEEK_HOLE))
try: os.lseek(f, 20000, os.SEEK_DATA)
except OSError as error: print(errno.errorcode[error.errno])
g = os.open('g', os.O_CREAT | os.O_RDWR)
print(os.copy_file_range(f, g, 5000, 100, 200), os.fstat(g).st_size)
for past in (2**60, 2**53):
  try: os.truncate('f', past)
  except OSError as error: print(errno.errorcode[error.errno])
t = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(t, b'unnamed'); print(os.pread(t, 9, 0), os.fstat(t).st_nlink)`;
    expect(await python(script)).toBe("20000\n5 20000\nENXIO\n5000 5200\nEFBIG\nEFBIG\nb'unnamed' 0");
    const counts = await server.stop();
    expect(Object.keys(counts)).toEqual(expect.arrayContaining(['FALLOCATE', 'LSEEK', 'TMPFILE']));
    expect((counts['COPY_FILE_RANGE'] ?? 0) + (counts['COPY_FILE_RANGE_64'] ?? 0)).toBe(1);
  });
});

describe('attributes', () => {
  it('are set and shown to the nanosecond, before 1970 too', async () => {
    await shell(
      'touch f; chmod 4751 f; chown 12:34 f; chmod 4751 f; touch -m -d @-1.25 f; touch -a -d @1700000000.123456789 f',
    );
    expect(await shell('stat -c "%a %u %g %.9Y %.9X %F" f')).toBe(
      '4751 12 34 -1.250000000 1700000000.123456789 regular empty file',
    );
    expect(await shell('test $(stat -c %W f) -gt 1700000000 && echo born')).toBe('born');
    expect(await shell('stat -f -c "%T %l %S" .')).toBe('fuseblk 255 4096');
  });

  it('lose setuid when others write', async () => {
    await shell('echo a > f; chmod 6777 f; setpriv --reuid 1000 --clear-groups bash -c "echo b >> f"');
    expect(await shell('stat -c %a f')).toBe('777');
    await shell('chmod 6777 f; setpriv --reuid 1000 --clear-groups truncate -s 0 f');
    expect(await shell('stat -c %a f')).toBe('777');
    await shell('echo a > f; chmod 6777 f; setpriv --reuid 1000 --clear-groups bash -c ": > f"');
    expect(await shell('stat -c %a f')).toBe('777');
  });

  it('follow the umask and the caller', async () => {
    await shell('chmod 777 .; setpriv --reuid 1000 --regid 1001 --clear-groups bash -c "umask 027; mkdir d; touch f"');
    expect(await shell('stat -c "%n %a %u %g" d f')).toBe('d 750 1000 1001\nf 640 1000 1001');
    await shell('umask 077; touch g; ! setpriv --reuid 1000 --clear-groups cat g 2>/dev/null');
  });

  it('have extended ones, probed for their size first', async () => {
    const script = `
open('f', 'w').close()
os.setxattr('f', 'user.a', b'x' * 4000); os.setxattr('f', 'user.b', b'\\0\\1'); os.setxattr('f', 'user.c', b'')
print(sorted(os.listxattr('f')), len(os.getxattr('f', 'user.a')), os.getxattr('f', 'user.b'), os.getxattr('f', 'user.c'))
os.removexattr('f', 'user.a')
for attempt in (lambda: os.getxattr('f', 'user.a'), lambda: os.setxattr('f', 'user.b', b'', os.XATTR_CREATE)):
  try: attempt()
  except OSError as error: print(errno.errorcode[error.errno])`;
    expect(await python(script)).toBe("['user.a', 'user.b', 'user.c'] 4000 b'\\x00\\x01' b''\nENODATA\nEEXIST");
  });
});

describe('the binding', () => {
  it('keeps locks in the kernel, and refuses ioctl and nothing else', async () => {
    await shell('touch f; flock f true; ! lsattr f 2>/dev/null');
    const script = `
import fcntl, select
f = os.open('f', os.O_RDWR); fcntl.lockf(f, fcntl.LOCK_EX)
p = select.poll(); p.register(f); print(len(p.poll(1000)))`;
    expect(await python(script)).toBe('1');
    const counts = await server.stop();
    expect(counts['IOCTL']).toBeGreaterThan(0);
    expect(counts['SETLK'] ?? counts['UNKNOWN']).toBeUndefined();
    expect(counts['INIT']).toBe(1);
    // Every open says that a close needs no FLUSH.
    expect(counts['FLUSH']).toBeUndefined();
  });

  it('serves many users at once', async () => {
    await shell(
      'for j in 1 2 3 4; do (mkdir $j; for i in $(seq 100); do echo $i > $j/$i; done; cat $j/* | wc -l > $j.sum) & done; wait',
    );
    expect(await shell('cat *.sum')).toBe('100\n100\n100\n100');
  });
});
