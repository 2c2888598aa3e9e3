/** Other FUSE filesystems over a folder of the same disk, as Debian has them; what cannot run says why. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Place, sync } from './place.ts';
import { dropCaches } from './places.ts';

/** Path of libfuse's example, built; without it that peer is skipped. */
const PASSTHROUGH_HP = 'PACSFS_BENCH_PASSTHROUGH_HP';
const COMMAND_MS = 60_000;
const WAIT_MS = 20_000;
const POLL_MS = 100;
const GLUSTER_PORT = 24_917;

/** Folders of one peer: what it serves, where, and where its own files go. */
interface Folders {
  readonly source: string;
  readonly mountPoint: string;
  readonly own: string;
}

interface Peer {
  readonly name: string;
  /** Mounts it; what must end with it is returned. Throws when it cannot run. */
  start(folders: Folders): ChildProcess[];
}

const PEERS: readonly Peer[] = [
  {
    name: 'mergerfs',
    start: ({ source, mountPoint }) => {
      run('mergerfs', [
        '-o',
        'allow_other,cache.files=auto-full,category.create=ff,minfreespace=0',
        source,
        mountPoint,
      ]);
      return [];
    },
  },
  {
    name: 'bindfs',
    start: ({ source, mountPoint }) => {
      run('bindfs', ['--multithreaded', source, mountPoint]);
      return [];
    },
  },
  { name: 'glusterfs', start: startGluster },
  {
    name: 'passthrough_hp',
    start: ({ source, mountPoint }) => {
      const program = process.env[PASSTHROUGH_HP];
      if (program === undefined) throw new Error(`${PASSTHROUGH_HP} names no built one`);
      return [background(program, ['--foreground', source, mountPoint])];
    },
  },
];

export const PEER_NAMES = PEERS.map(({ name }) => name);

/** One brick and one client on the loopback interface, without the management daemon. */
function startGluster({ source, mountPoint, own }: Folders): ChildProcess[] {
  const brick = join(own, 'brick.vol');
  const client = join(own, 'client.vol');
  writeFileSync(brick, brickVolume(source));
  writeFileSync(client, clientVolume(source));
  const common = ['--no-daemon', '--log-level', 'ERROR'];
  const server = background('glusterfsd', [...common, '-f', brick, '-l', join(own, 'brick.log')]);
  const mount = background('glusterfs', [...common, '-f', client, '-l', join(own, 'client.log'), mountPoint]);
  return [mount, server];
}

function brickVolume(source: string): string {
  return `volume posix
  type storage/posix
  option directory ${source}
end-volume
volume locks
  type features/locks
  subvolumes posix
end-volume
volume threads
  type performance/io-threads
  subvolumes locks
end-volume
volume ${source}
  type protocol/server
  option transport-type tcp
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port ${GLUSTER_PORT}
  option auth.addr.${source}.allow 127.0.0.1
  subvolumes threads
end-volume
`;
}

function clientVolume(source: string): string {
  return `volume brick
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port ${GLUSTER_PORT}
  option remote-subvolume ${source}
end-volume
volume write-behind
  type performance/write-behind
  subvolumes brick
end-volume
volume md-cache
  type performance/md-cache
  subvolumes write-behind
end-volume
`;
}

/** A peer that runs, over a folder of its own in `parent`. Throws, leaving nothing behind, when it cannot. */
class PeerPlace implements Place {
  readonly name: string;
  readonly folder: string;
  readonly #peer: Peer;
  readonly #root: string;
  readonly #folders: Folders;
  #children: ChildProcess[] = [];

  constructor(peer: Peer, parent: string) {
    this.#peer = peer;
    this.name = peer.name;
    this.#root = mkdtempSync(join(parent, `${peer.name}-`));
    const at = (name: string) => join(this.#root, name);
    this.#folders = { source: at('source'), mountPoint: at('mnt'), own: at('own') };
    for (const folder of Object.values(this.#folders)) mkdirSync(folder);
    this.folder = join(this.#folders.mountPoint, 'work');
    try {
      this.#mount();
      mkdirSync(this.folder);
    } catch (thrown) {
      this.end();
      throw thrown;
    }
  }

  settle(): void {
    sync(this.#folders.mountPoint);
    sync(this.#root);
  }

  forget(): void {
    this.#unmount();
    dropCaches(this.#root);
    this.#mount();
  }

  spans(): never {
    throw new Error(`Cannot say where files of ${this.name} lie`);
  }

  memory(): number {
    return 0;
  }

  end(): void {
    this.#unmount();
    rmSync(this.#root, { recursive: true, force: true });
  }

  #mount(): void {
    this.#children = this.#peer.start(this.#folders);
    waitUntil(() => isMountPoint(this.#folders.mountPoint), `${this.name} did not mount within ${WAIT_MS / 1000} s`);
  }

  #unmount(): void {
    if (isMountPoint(this.#folders.mountPoint)) run('umount', [this.#folders.mountPoint]);
    for (const child of this.#children) endOf(child);
    this.#children = [];
  }
}

/** Those of `wanted` that run here; the others are named by `skipped` with their reason. */
export function peerPlaces(parent: string, wanted: readonly string[], skipped: (reason: string) => void): Place[] {
  return PEERS.filter(({ name }) => wanted.includes(name)).flatMap((peer) => {
    try {
      return [new PeerPlace(peer, parent)];
    } catch (thrown) {
      const [reason] = (thrown instanceof Error ? thrown.message : String(thrown)).split('\n');
      skipped(`${peer.name}: ${reason}`);
      return [];
    }
  });
}

function run(command: string, args: readonly string[]): void {
  execFileSync(command, args, { timeout: COMMAND_MS, stdio: ['ignore', 'ignore', 'pipe'] });
}

function background(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: 'ignore' });
  // One that is not installed does not mount, and that is noticed.
  child.on('error', () => undefined);
  return child;
}

function isMountPoint(folder: string): boolean {
  try {
    // Of a filesystem of its own that answers: not what it covers.
    return readFileSync('/proc/self/mounts', 'utf8').includes(` ${folder} `) && statSync(folder).ino >= 0;
  } catch {
    return false;
  }
}

/** Synchronously: nothing else is to run beside what is measured. */
function endOf(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  child.kill('SIGTERM');
  waitUntil(() => !isRunning(pid), `process ${pid} did not end`);
}

/** One that has ended and was not collected yet (this process waits without its event loop) is not running. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function waitUntil(isSo: () => boolean, otherwise: string): void {
  const end = Date.now() + WAIT_MS;
  while (!isSo()) {
    if (Date.now() > end) throw new Error(otherwise);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
  }
}
