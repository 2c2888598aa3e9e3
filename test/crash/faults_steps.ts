/**
 * The fixed workload of the fault suite: small steps over every kind of change, each with what it does to the model. It
 * packs, makes barriers, is restarted on the live mount, mounted anew, and ended.
 */
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import { type LooseUser, O_RDWR, O_TRUNC, O_WRONLY, type OpenFile } from '../support/loose_user.ts';
import type { Node, State } from './faults_model.ts';

/** Files up to here are packed: larger ones keep their own files. */
export const PACK_BELOW = 64 * 1024;

export interface Stage {
  readonly loose: LooseFilesystem;
  readonly user: LooseUser;
  /** Open files by their name in the workload; one whose open failed is not there. */
  readonly handles: Map<string, OpenFile>;
}

/** 'restart': of the daemon on the live mount. 'mount': killed, and mounted anew. 'end': stopped, and mounted anew. */
export type Act = (stage: Stage) => Result<unknown>;

export interface Step {
  readonly name: string;
  readonly act: Act | 'restart' | 'mount' | 'end';
  /** What it makes of the state when it succeeds; default nothing. */
  readonly effect?: (state: Map<string, Node>) => void;
  /** Paths that it changes. */
  readonly touches?: readonly string[];
  /** When it fails, bytes within the file may be old or new. */
  readonly isWrite?: boolean;
  /** What is durable when it succeeds: everything, or all names and one file. */
  readonly durable?: 'all' | string;
  /** Works on a handle: left out when there is none. */
  readonly handle?: string;
}

export function bytes(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = (i * 2_654_435_761 + seed * 40_503) >>> 0;
  return new Uint8Array(words.buffer, 0, length);
}

function written(node: Node | undefined, data: Uint8Array, at: number): Uint8Array {
  const old = node instanceof Uint8Array ? node : new Uint8Array(0);
  const made = new Uint8Array(Math.max(old.length, at + data.length));
  made.set(old);
  made.set(data, at);
  return made;
}

function resized(node: Node | undefined, size: number): Uint8Array {
  const made = new Uint8Array(size);
  if (node instanceof Uint8Array) made.set(node.subarray(0, size));
  return made;
}

/** All names of an inode change together. */
function update(state: Map<string, Node>, paths: readonly string[], make: (node: Node | undefined) => Node): void {
  for (const path of paths) if (state.has(path)) state.set(path, make(state.get(path)));
}

const create = (path: string, flags = O_RDWR): Step => ({
  name: `create ${path}`,
  touches: [path],
  act: ({ user, handles }) => {
    const made = user.tryCreate(path, flags);
    if (!isErrno(made)) handles.set(path, made);
    return made;
  },
  effect: (state) => state.set(path, new Uint8Array(0)),
});

const open = (path: string, flags = O_RDWR, also: readonly string[] = []): Step => ({
  name: `open ${path} ${flags}`,
  touches: (flags & O_TRUNC) !== 0 ? [path, ...also] : [],
  act: ({ user, handles }) => {
    const opened = user.tryOpen(path, flags);
    if (!isErrno(opened)) handles.set(path, opened);
    return opened;
  },
  effect: (state) => {
    if ((flags & O_TRUNC) !== 0) update(state, [path, ...also], () => new Uint8Array(0));
  },
});

const onHandle = (
  path: string,
  step: Omit<Step, 'act' | 'handle'> & { act: (stage: Stage, file: OpenFile) => Result<unknown> },
): Step => ({
  ...step,
  handle: path,
  act: (stage) => {
    const file = stage.handles.get(path);
    return file === undefined ? E.EBADF : step.act(stage, file);
  },
});

const write = (path: string, data: Uint8Array, options: { at?: number; also?: readonly string[] } = {}): Step => {
  const { at = 0, also = [] } = options;
  const paths = [path, ...also];
  return onHandle(path, {
    name: `write ${path} ${data.length}@${at}`,
    touches: paths,
    isWrite: true,
    act: ({ user }, file) => fromCount(user.tryWrite(file, data, at)),
    effect: (state) => update(state, paths, (node) => written(node, data, at)),
  });
};

const close = (path: string): Step =>
  onHandle(path, {
    name: `close ${path}`,
    act: ({ user, handles }, file) => {
      handles.delete(path);
      user.close(file);
      return undefined;
    },
  });

const fsync = (path: string): Step =>
  onHandle(path, {
    name: `fsync ${path}`,
    durable: path,
    act: ({ user, loose }, file) => {
      const asked = user.fsync(file.ino);
      for (let round = 0; round < 100 && asked.outcome() === 'waiting'; round++) {
        if (round > 0) loose.work();
        loose.tick();
      }
      const outcome = asked.outcome();
      if (outcome === 'waiting') throw new Error('An fsync does not end');
      return outcome;
    },
  });

const put = (path: string, data: Uint8Array): Step[] => [create(path, O_WRONLY), write(path, data), close(path)];

const call = (name: string, act: Act, rest: Partial<Step> = {}): Step => ({ name, act, ...rest });
const pack = call('pack', ({ loose }) => void loose.pack());
const barrier = call('barrier', ({ loose }) => void loose.barrier());
const sync = call('sync', ({ loose }) => loose.sync(), { durable: 'all' });

const mkdir = (path: string): Step =>
  call(
    `mkdir ${path}`,
    ({ user }) => user.filesystem.makeDirectory(user.caller, user.place(path), { mode: 0o755, umask: 0 }),
    { touches: [path], effect: (state) => state.set(path, 'folder') },
  );

const rename = (from: string, to: string): Step =>
  call(`rename ${from} ${to}`, ({ user }) => user.rename(from, to), {
    touches: [from, to],
    effect: (state) => {
      const node = state.get(from);
      if (node !== undefined) state.set(to, node);
      state.delete(from);
    },
  });

const unlink = (path: string): Step =>
  call(
    `unlink ${path}`,
    ({ user }) => {
      const { ino, nlink } = user.stat(path);
      const outcome = user.unlink(path);
      if (!isErrno(outcome) && nlink === 1) user.forget(ino);
      return outcome;
    },
    { touches: [path], effect: (state) => state.delete(path) },
  );

const truncate = (path: string, size: number): Step =>
  call(`truncate ${path} ${size}`, ({ user }) => user.truncate(path, size), {
    touches: [path],
    effect: (state) => update(state, [path], (node) => resized(node, size)),
  });

const link = (from: string, to: string): Step =>
  call(`link ${from} ${to}`, ({ user }) => user.link(from, to), {
    touches: [to],
    effect: (state) => {
      const node = state.get(from);
      if (node !== undefined) state.set(to, node);
    },
  });

/** The whole of `from` into a new file, which is open as `to` before. */
const copy = (from: string, to: string): Step =>
  onHandle(to, {
    name: `copy ${from} ${to}`,
    touches: [to],
    isWrite: true,
    act: ({ user }, file) => {
      const source = user.tryOpen(from);
      if (isErrno(source)) return source;
      const count = user.copyRange(source, file, { length: user.stat(from).size });
      user.close(source);
      return fromCount(count);
    },
    effect: (state) => update(state, [to], () => state.get(from) ?? new Uint8Array(0)),
  });

function fromCount(count: number): Result<number> {
  const error = Object.values(E).find(({ number }) => number === -count);
  return count < 0 ? (error ?? E.EIO) : count;
}

/** A step whose path is not there (an earlier one failed) is left out. */
export function isPossible(step: Step, state: State, handles: Stage['handles']): boolean {
  if (step.handle !== undefined) return handles.has(step.handle);
  const [verb, path = '', to = ''] = step.name.split(' ');
  const parent = (of: string) => !of.includes('/') || state.get(of.slice(0, of.lastIndexOf('/'))) === 'folder';
  if (verb === 'create' || verb === 'mkdir') return parent(path) && !state.has(path);
  if (verb === 'rename' && !parent(to)) return false;
  if (verb === 'link') return state.has(path) && !state.has(to);
  if (['open', 'truncate', 'unlink', 'rename', 'xattr'].includes(verb ?? '')) return state.has(path);
  return true;
}

function turn(act: 'restart' | 'mount' | 'end'): Step {
  return { name: act, act };
}

export const STEPS: readonly Step[] = [
  mkdir('d'),
  ...put('d/a', bytes(5_000, 1)),
  ...put('d/b', bytes(30_000, 2)),
  ...put('d/empty', new Uint8Array(0)).filter(({ name }) => !name.startsWith('write')),
  create('d/open'),
  write('d/open', bytes(9_000, 3)),
  // By copy, together with what is packed.
  create('d/synced', O_WRONLY),
  write('d/synced', bytes(7_000, 4)),
  fsync('d/synced'),
  pack,
  barrier,
  write('d/synced', bytes(100, 5), { at: 6_950 }),
  fsync('d/synced'),
  close('d/synced'),
  ...put('d/large', bytes(PACK_BELOW + 6_000, 6)),
  pack,
  // Copied out, flushed, packed again.
  open('d/a'),
  write('d/a', bytes(50, 7), { at: 4_980 }),
  fsync('d/a'),
  close('d/a'),
  truncate('d/b', 1_000),
  truncate('d/b', 3_000),
  truncate('d/large', 500_000),
  sync,
  link('d/a', 'd/link'),
  rename('d/a', 'd/moved'),
  ...put('d/new', bytes(4_000, 8)),
  rename('d/new', 'd/b'),
  create('d/copy', O_WRONLY),
  copy('d/b', 'd/copy'),
  close('d/copy'),
  open('d/large', O_WRONLY),
  write('d/large', bytes(60, 9), { at: 70 }),
  turn('restart'),
  write('d/large', bytes(60, 10), { at: 100_000 }),
  close('d/large'),
  write('d/open', bytes(500, 11), { at: 9_000 }),
  call('xattr d/b', ({ user }) => user.setXattr('d/b', 'user.note', 'value')),
  open('d/moved', O_WRONLY | O_TRUNC, ['d/link']),
  write('d/moved', bytes(300, 12), { also: ['d/link'] }),
  close('d/moved'),
  barrier,
  unlink('d/copy'),
  unlink('d/synced'),
  barrier,
  pack,
  turn('mount'),
  ...put('d/late', bytes(20_000, 13)),
  create('d/sync', O_WRONLY | 0o10000),
  write('d/sync', bytes(700, 14)),
  close('d/sync'),
  mkdir('e'),
  rename('d/late', 'e/late'),
  unlink('d/large'),
  pack,
  turn('end'),
  unlink('e/late'),
  ...put('e/last', bytes(1_000, 15)),
  sync,
];
