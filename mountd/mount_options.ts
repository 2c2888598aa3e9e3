/** The argument of `mount -o`, as mount(8) has it: names with commas between them. */
import { MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from '../base/libc.ts';
import { usage } from './failure.ts';

export interface MountOptions {
  /** MS_* bits for mount(2). */
  readonly flags: number;
  readonly readOnly: boolean;
  readonly noAtime: boolean;
  /** Serve POSIX ACLs. */
  readonly acl: boolean;
  /** List `user.pacsfs.*` among a file's xattrs. */
  readonly layoutXattrs: boolean;
  /** Overrides the store's option for this mount. */
  readonly commitIntervalMs: number | undefined;
}

type Change = (options: { -readonly [K in keyof MountOptions]: MountOptions[K] }) => void;

const KNOWN: Readonly<Record<string, Change>> = {
  defaults: () => {},
  ro: (o) => {
    o.readOnly = true;
    o.flags |= MS_RDONLY;
  },
  rw: (o) => {
    o.readOnly = false;
    o.flags &= ~MS_RDONLY;
  },
  nosuid: (o) => {
    o.flags |= MS_NOSUID;
  },
  suid: (o) => {
    o.flags &= ~MS_NOSUID;
  },
  nodev: (o) => {
    o.flags |= MS_NODEV;
  },
  dev: (o) => {
    o.flags &= ~MS_NODEV;
  },
  noexec: (o) => {
    o.flags |= MS_NOEXEC;
  },
  exec: (o) => {
    o.flags &= ~MS_NOEXEC;
  },
  noatime: (o) => {
    o.noAtime = true;
    o.flags |= MS_NOATIME;
  },
  relatime: (o) => {
    o.noAtime = false;
    o.flags &= ~MS_NOATIME;
  },
  acl: (o) => {
    o.acl = true;
  },
  noacl: (o) => {
    o.acl = false;
  },
  layoutxattrs: (o) => {
    o.layoutXattrs = true;
  },
  // Both are always on: the kernel checks permissions, and everybody whom they allow may use the mount.
  allow_other: () => {},
  default_permissions: () => {},
};

/** Each element may hold several, with commas between them; a later one wins. Throws a usage Failure. */
export function parseMountOptions(texts: readonly string[]): MountOptions {
  const options = {
    flags: 0,
    readOnly: false,
    noAtime: false,
    acl: true,
    layoutXattrs: false,
    commitIntervalMs: undefined as number | undefined,
  };
  for (const word of texts.flatMap((text) => text.split(','))) {
    if (word === '') continue;
    const commit = /^commit=(.*)$/.exec(word);
    const change = Object.hasOwn(KNOWN, word) ? KNOWN[word] : undefined;
    if (commit !== null) options.commitIntervalMs = commitMs(commit[1] ?? '');
    else if (change !== undefined) change(options);
    else
      throw usage(
        `Cannot mount with -o '${word}': unknown option, expected ${Object.keys(KNOWN).join(', ')}, commit=SECONDS`,
      );
  }
  return options;
}

function commitMs(text: string): number {
  const ms = Math.round(Number(text) * 1000);
  if (!/^\d+(\.\d+)?$/.test(text) || ms < 10 || ms > 300_000) {
    throw usage(`Cannot mount with -o 'commit=${text}': expected seconds between commits, 0.01 to 300`);
  }
  return ms;
}
