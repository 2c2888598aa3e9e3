/**
 * A mount that the kernel's NFS server exports to this very machine: cookies and file handles that outlive whoever asked.
 * Needs root, a kernel with nfsd and nfs, and nfs-kernel-server's programs; skipped aloud where one of them is missing.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileNames } from '../../bench/populate/names.ts';
import { CHECKOUT, TestStore } from '../support/mount_harness.ts';
import { run } from '../support/processes.ts';

const FILES = 100_000;
const NAME_BYTES = 40;
const DIRECTORY = 'study-00000000';
const PROGRAMS = ['exportfs', 'rpc.nfsd', 'rpc.mountd', 'mount.nfs4'];
const COMMAND_MS = 60_000;
const NEW_NAMES = 1_000;

/** Why there can be no NFS server here; undefined where there can. */
function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root';
  for (const module of ['nfsd', 'nfs4']) {
    const isThere = () => readFileSync('/proc/filesystems', 'utf8').split(/\s/).includes(module);
    if (!isThere()) attempt('modprobe', [module === 'nfs4' ? 'nfsv4' : module]);
    if (!isThere()) return `the kernel has no ${module}`;
  }
  const missing = PROGRAMS.filter((program) => !attempt('sh', ['-c', `command -v ${program}`]));
  if (missing.length > 0) return `${missing.join(', ')} missing: apt-get install nfs-kernel-server`;
  if (existsSync('/proc/fs/nfsd/threads') && readFileSync('/proc/fs/nfsd/threads', 'utf8').trim() !== '0')
    return 'this machine serves NFS already';
  return undefined;
}

function attempt(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { timeout: COMMAND_MS, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const why = obstacle();
if (why !== undefined) console.warn(`SKIPPED: exporting a mount by the kernel's NFS server: ${why}`);

describe.skipIf(why !== undefined)("exported by the kernel's NFS server", () => {
  let store: TestStore;
  let client: string;
  beforeEach(async () => {
    store = await TestStore.create({ mounted: false });
    const path = join(store.folder, 'populated');
    const populate = join(CHECKOUT, 'dist', 'bench', 'populate.js');
    const args = [populate, path, '--files', `${FILES}`, '--directories', '1', '--name-bytes', `${NAME_BYTES}`];
    await must(process.execPath, [...args, '--empty']);
    await must('sh', ['-c', `rm -r '${store.path}' && mv '${path}' '${store.path}'`]);
    await store.mount();
    client = join(store.folder, 'client');
    mkdirSync(client);
    await must('sh', ['-c', 'mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd']);
    await must('exportfs', [
      '-o',
      'rw,no_root_squash,no_subtree_check,insecure,fsid=0',
      `127.0.0.1:${store.mountPoint}`,
    ]);
    await must('rpc.nfsd', ['--no-nfs-version', '3', '4']);
    await must('sh', ['-c', 'pidof rpc.mountd > /dev/null || rpc.mountd --no-nfs-version 3']);
    await must('mount', ['-t', 'nfs4', '-o', 'soft,timeo=100,retrans=2', '127.0.0.1:/', client]);
  });
  afterEach(async () => {
    attempt('umount', ['-l', client]);
    attempt('exportfs', ['-u', `127.0.0.1:${store.mountPoint}`]);
    attempt('rpc.nfsd', ['0']);
    await store.destroy();
  });

  async function must(command: string, args: readonly string[]): Promise<string> {
    const result = await run(command, args, { timeoutMs: COMMAND_MS });
    if (result.code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${result.code}: ${result.stderr}`);
    return result.stdout;
  }

  async function listed(): Promise<string[]> {
    return (await must('find', [join(client, DIRECTORY), '-type', 'f', '-printf', '%f\\n'])).trim().split('\n');
  }

  it('lists 100,000 entries, before and after the daemon was killed', { timeout: 300_000 }, async () => {
    const names = new FileNames(NAME_BYTES);
    const wanted = Array.from({ length: FILES }, (_, number) => names.textOf(number)).sort();
    expect((await listed()).sort()).toEqual(wanted);
    const { daemon } = store.daemonPids();
    process.kill(daemon ?? 0, 'SIGKILL');
    // The client remembers neither names nor what it was told of them.
    await must('sh', ['-c', 'echo 3 > /proc/sys/vm/drop_caches']);
    expect((await listed()).sort()).toEqual(wanted);
    const make = `for number in $(seq ${NEW_NAMES}); do : > new$number; done; mkdir -p a/b; mv a/b b; rm ${wanted[7]}`;
    await must('sh', ['-c', `cd '${join(client, DIRECTORY)}' && ${make} && echo content > b/file && cat b/file`]);
    expect((await listed()).length).toBe(FILES - 1 + NEW_NAMES + 1);
    expect(await store.shell(`cat ${DIRECTORY}/b/file; ls -f ${DIRECTORY} | wc -l`)).toBe(
      `content\n${FILES - 1 + NEW_NAMES + 2 + 2}\n`,
    );
  });
});
