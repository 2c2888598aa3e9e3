/** What programs do with files, each as a shell script, to count the messages that it costs a file. */

/** Files of each workload, 100 kB each: not a round number of pages. */
export const FILES = 64;
const FILE_BYTES = 100_000;

export interface MessageWorkload {
  readonly name: string;
  /** Nothing is in the kernel's memory before: the store is mounted anew, its files packed. */
  readonly isCold: boolean;
  /** Run in the mount point; `SOURCE` is a folder elsewhere with as many files. */
  readonly script: string;
}

/** Makes the folder that `SOURCE` names; run in the folder above it. */
export const MAKE_SOURCE = `mkdir -p source
for i in $(seq 1 ${FILES}); do head -c ${FILE_BYTES} /dev/urandom > source/image$i.dcm; done`;

const node = (program: string) => `node -e '${program}'`;

/** In this order: later ones use what the first has made. */
export const WORKLOADS: readonly MessageWorkload[] = [
  {
    name: 'create, write, close',
    isCold: false,
    script: `mkdir series\n${node(`const fs = require("fs"); const bytes = Buffer.alloc(${FILE_BYTES / 2}, 7);
for (let i = 0; i < ${FILES}; i++) {
  const fd = fs.openSync("series/image" + i + ".dcm", "wx");
  for (let part = 0; part < 2; part++) fs.writeSync(fd, bytes);
  fs.closeSync(fd);
}`)}`,
  },
  {
    name: 'open, read, close',
    isCold: true,
    script: node(`const fs = require("fs"); const bytes = Buffer.alloc(65536);
for (let i = 0; i < ${FILES}; i++) {
  const fd = fs.openSync("series/image" + i + ".dcm", "r");
  while (fs.readSync(fd, bytes) > 0);
  fs.closeSync(fd);
}`),
  },
  { name: 'ls -l', isCold: true, script: 'ls -l series > /dev/null' },
  { name: 'ls -l again', isCold: false, script: 'ls -l series > /dev/null' },
  { name: 'cp -r', isCold: false, script: 'cp -r "$SOURCE" copied' },
  { name: 'tar', isCold: true, script: 'tar -cf - series | cat > /dev/null' },
  { name: 'rsync -a', isCold: false, script: 'rsync -a "$SOURCE/" synced/' },
];

/** Messages per file by kind, those that come to less than a twentieth left out, and all of them. */
export function perFile(
  before: Readonly<{ [name: string]: number }>,
  after: Readonly<{ [name: string]: number }>,
): { readonly byKind: ReadonlyMap<string, number>; readonly all: number } {
  const byKind = new Map<string, number>();
  let all = 0;
  for (const [name, count] of Object.entries(after)) {
    const share = (count - (before[name] ?? 0)) / FILES;
    all += share;
    if (share >= 0.05) byKind.set(name, share);
  }
  return { byKind, all };
}
