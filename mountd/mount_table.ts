/** The kernel's table of mounts, `/proc/self/mountinfo` of proc(5): reading it never waits for a filesystem. */
import { readFileSync } from 'node:fs';

export const FILESYSTEM_TYPE = 'fuse.pacsfs';

export interface MountEntry {
  /** MAJOR:MINOR as in st_dev; for FUSE the minor is the connection's number under /sys/fs/fuse. */
  readonly device: string;
  readonly mountPoint: string;
  readonly type: string;
  /** For a pacsfs mount its store folder. */
  readonly source: string;
}

/** In the order of mounting: of two at one mount point the later one is seen. */
export function readMountTable(text = readFileSync('/proc/self/mountinfo', 'utf8')): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ', 2);
    const fields = before?.split(' ') ?? [];
    const [type, source] = after?.split(' ') ?? [];
    const [device, mountPoint] = [fields[2], fields[4]];
    if (device === undefined || mountPoint === undefined || type === undefined || source === undefined) continue;
    entries.push({ device, mountPoint: decodeOctal(mountPoint), type, source: decodeOctal(source) });
  }
  return entries;
}

export function pacsfsMounts(table: readonly MountEntry[] = readMountTable()): MountEntry[] {
  return table.filter((entry) => entry.type === FILESYSTEM_TYPE);
}

/** The mount that holds an absolute path without symlinks: the longest mount point above it, of equals the last. */
export function mountOf(path: string, table: readonly MountEntry[]): MountEntry | undefined {
  let found: MountEntry | undefined;
  for (const entry of table) {
    if (!isWithin(path, entry.mountPoint)) continue;
    if (found === undefined || entry.mountPoint.length >= found.mountPoint.length) found = entry;
  }
  return found;
}

export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}

/** The kernel writes blank, tab, newline and backslash as three octal digits; the digits stand for bytes of UTF-8. */
function decodeOctal(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
