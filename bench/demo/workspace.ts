/**
 * The demo's temporary folder with its store and mount point, and the promise that nothing of it is left: no mount, no
 * process, no file, whatever state the filesystem is in. Nothing here touches the mount itself: that could wait for ever.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MNT_DETACH, mount, umount2 } from '../../base/libc.ts';
import { readMountTable } from '../../mountd/mount_table.ts';
import { logPath } from '../../mountd/store_paths.ts';

/** The store, a copy of one study beside it and one in it. */
const BYTES_PER_IMAGE = 1_300_000;
const TMPFS_MAGIC = 0x01021994;
const CONNECTIONS = '/sys/fs/fuse/connections';
/** How long processes of the mount get to end once its connection is gone. */
const END_WAIT_MS = 3_000;
const LOG_LINES = 10;

export class Workspace {
  readonly folder: string;
  readonly store: string;
  readonly mountPoint: string;

  /** Makes the folder below `parent`, an absolute path. */
  constructor(parent: string) {
    this.folder = mkdtempSync(join(parent, 'pacsfs-demo-'));
    this.store = join(this.folder, 'store');
    this.mountPoint = join(this.folder, 'mnt');
    mkdirSync(this.mountPoint);
  }

  /** Fails every request on the mount, now and later, so that whoever waits for it can end. */
  abort(): void {
    for (const { device } of this.#mounts()) {
      const control = join(CONNECTIONS, device.split(':')[1] ?? '', 'abort');
      if (!existsSync(control)) mount({ source: 'none', target: CONNECTIONS, type: 'fusectl', flags: 0, data: '' });
      try {
        writeFileSync(control, '1');
      } catch {
        // The connection ended in between.
      }
    }
  }

  /** The last warnings and errors of the daemon's log, which goes with the folder. */
  troubles(): string[] {
    try {
      const lines = readFileSync(logPath(this.store), 'utf8').trimEnd().split('\n');
      return lines
        .filter((line) => line !== '' && !/"level":(10|20|30|"(trace|debug|info)")/.test(line))
        .slice(-LOG_LINES);
    } catch {
      return [];
    }
  }

  /** Ends what is still there, by force, and removes the folder. Call it when no child of the demo is left. */
  async remove(): Promise<void> {
    this.#detach();
    const end = Date.now() + END_WAIT_MS;
    while (this.#processes().length > 0 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const pid of this.#processes()) kill(pid);
    // One that was just starting may have mounted in between.
    this.#detach();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #mounts() {
    return readMountTable().filter((entry) => entry.mountPoint === this.mountPoint);
  }

  /** Processes whose command line names this store, in a folder that nobody else has: supervisor and daemon. */
  #processes(): number[] {
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && pid !== process.pid && commandLine(pid).includes(this.store));
  }

  #detach(): void {
    this.abort();
    while (this.#mounts().length > 0 && umount2(this.mountPoint, MNT_DETACH) === 0);
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself in the meantime.
  }
}

/**
 * PACSFS_DEMO_DIR, else the system's temporary folder unless that is memory or too small, else /var/tmp.
 */
export function chooseParent(images: number): { readonly parent: string } | { readonly reason: string } {
  const wanted = images * BYTES_PER_IMAGE;
  const chosen = process.env['PACSFS_DEMO_DIR'];
  if (chosen !== undefined) mkdirSync(chosen, { recursive: true });
  const tried: string[] = [];
  for (const parent of chosen === undefined ? [tmpdir(), '/var/tmp'] : [chosen]) {
    const { type, bavail, bsize } = statfsSync(parent);
    if (bavail * bsize >= wanted && (type !== TMPFS_MAGIC || parent === chosen)) return { parent };
    tried.push(`${parent} has ${gigabytes(bavail * bsize)} free${type === TMPFS_MAGIC ? ' in memory' : ''}`);
  }
  const where = 'set PACSFS_DEMO_DIR to a folder with more room';
  return { reason: `${tried.join(', ')}, expected ${gigabytes(wanted)} on a disk; ${where}` };
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
