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
  /** Let the kernel read and write open own files by itself, where it can. Default true. */
  readonly passthrough: boolean;
  /** Use NOTIFY_RESEND where the kernel has it. */
  readonly resend: boolean;
  /** At more deaths of the daemon than this within a minute no other is started. */
  readonly restarts: number;
}

const DEFAULT_RESTARTS = 5;
const MAX_RESTARTS = 1_000_000;

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
  passthrough: (o) => {
    o.passthrough = true;
  },
  nopassthrough: (o) => {
    o.passthrough = false;
  },
  'passthrough=on': (o) => {
    o.passthrough = true;
  },
  'passthrough=off': (o) => {
    o.passthrough = false;
  },
  resend: (o) => {
    o.resend = true;
  },
  noresend: (o) => {
    o.resend = false;
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
    passthrough: true,
    resend: true,
    restarts: DEFAULT_RESTARTS,
  };
  for (const word of texts.flatMap((text) => text.split(','))) {
    if (word === '') continue;
    const [, name, value] = /^([^=]*)=(.*)$/.exec(word) ?? [];
    const change = Object.hasOwn(KNOWN, word) ? KNOWN[word] : undefined;
    if (name === 'commit' && value !== undefined) options.commitIntervalMs = commitMs(value);
    else if (name === 'restarts' && value !== undefined) options.restarts = restarts(value);
    else if (change !== undefined) change(options);
    else
      throw usage(
        `Cannot mount with -o '${word}': unknown option, expected ${Object.keys(KNOWN).join(', ')}, commit=SECONDS, restarts=N`,
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

function restarts(text: string): number {
  const most = Number(text);
  if (!/^\d+$/.test(text) || most > MAX_RESTARTS) {
    throw usage(`Cannot mount with -o 'restarts=${text}': expected restarts within a minute, 0 to ${MAX_RESTARTS}`);
  }
  return most;
}
