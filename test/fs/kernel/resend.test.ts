/**
 * A request is executed, the daemon ends before its reply has left, the kernel sends it again to the next one: its effect
 * is there once, and the reply is the one that was lost.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { viewOf } from '../../../base/bytes.ts';
import { E } from '../../../base/errno.ts';
import type { Ino } from '../../../base/units.ts';
import { Opcode } from '../../../fs/kernel/protocol.ts';
import { Session } from '../../../fs/kernel/session.ts';
import { LooseFilesystem, value } from '../../support/loose_filesystem.ts';
import { LooseUser, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../../support/loose_user.ts';
import { message, NEGOTIATED, words } from './messages.ts';

const ROOT = 1;

class Killed extends Error {}

/** A loose filesystem, the kernel in front of it. */
class Rig {
  readonly loose = new LooseFilesystem({ filesystem: { noAtime: true } });
  readonly user = new LooseUser(() => this.loose.filesystem);
  #session = this.#open();
  #incoming: Uint8Array[] = [];
  #replies: Buffer[] = [];
  #dies = false;

  #open(): Session {
    const device = {
      read: (into: Uint8Array): number => {
        const next = this.#incoming.shift();
        if (next === undefined) return -E.EAGAIN.number;
        into.set(next);
        return next.length;
      },
      write: (reply: Uint8Array): number => {
        this.#replies.push(Buffer.from(reply));
        if (this.#dies) throw new Killed();
        return reply.length;
      },
    };
    const { filesystem: operations, log } = this.loose;
    return new Session({ fd: -1, device, operations, log, options: { negotiated: NEGOTIATED } });
  }

  /** The reply, from its second word on but for the request's number. */
  ask(request: Uint8Array): string {
    this.#replies = [];
    this.#incoming.push(request);
    this.#session.serve(1);
    for (let round = 0; round < 10 && this.#replies.length === 0; round++) {
      this.loose.clock.advance(1_000);
      this.loose.tick();
      this.loose.work();
    }
    return this.#taken();
  }

  /** The reply that never leaves. */
  askAndDie(request: Uint8Array): string {
    this.#dies = true;
    try {
      this.ask(request);
    } catch (thrown) {
      if (!(thrown instanceof Killed)) throw thrown;
    }
    this.#dies = false;
    const reply = this.#taken();
    this.replace();
    return reply;
  }

  replace(): void {
    this.loose.replace();
    this.#session = this.#open();
  }

  #taken(): string {
    const [reply] = this.#replies;
    if (reply === undefined) return 'none';
    return Buffer.concat([reply.subarray(4, 8), reply.subarray(16)]).toString('hex');
  }

  /** Everything that a second execution could change. */
  state(): unknown {
    const { loose, user } = this;
    const files = user.list('').map((name) => {
      const { atime: _, blocks: __, ...shown } = user.stat(name);
      const isFile = (shown.mode & 0o170000) === 0o100000;
      return [name, shown, isFile ? user.text(name) : '', user.getXattr(name, 'user.a')];
    });
    const { atime: _, ...root } = value(user.filesystem.getAttributes(ROOT as Ino)).attributes;
    const own = readdirSync(join(loose.folder, 'volumes', 'hot', 'own'), { recursive: true, withFileTypes: true });
    return [files, root, own.filter((entry) => entry.isFile()).length, [...loose.namespace.orphans()]];
  }

  ino(path: string): number {
    return this.user.stat(path).ino;
  }
}

function rig(): Rig {
  const made = new Rig();
  onTestFinished(() => made.loose.remove());
  const { user } = made;
  user.put('f', 'contents of f');
  user.put('g', 'contents of g');
  user.mkdir('d');
  user.setXattr('f', 'user.a', 'old');
  made.loose.pack();
  return made;
}

let nextUnique = 2;

/** A request with a number of its own. */
function request(opcode: number, node: number, ...body: (Uint8Array | string)[]): Uint8Array {
  const bytes = message(opcode, node, ...body);
  nextUnique += 2;
  viewOf(bytes).setBigUint64(8, BigInt(nextUnique), true);
  return bytes;
}

/** As the kernel sends it again. */
function again(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  const view = viewOf(copy);
  view.setBigUint64(8, view.getBigUint64(8, true) | (1n << 63n), true);
  return copy;
}

function u64(...values: number[]): Uint8Array {
  return words(...values.flatMap((number) => [number % 2 ** 32, Math.floor(number / 2 ** 32)]));
}

const ONCE: [string, (rig: Rig) => Uint8Array][] = [
  ['CREATE', () => request(Opcode.CREATE, ROOT, words(O_RDWR, 0o644, 0, 0), 'new\0')],
  ['CREATE with O_EXCL', () => request(Opcode.CREATE, ROOT, words(O_RDWR | 0o300, 0o644, 0, 0), 'new\0')],
  ['TMPFILE', () => request(Opcode.TMPFILE, ROOT, words(O_RDWR, 0o600, 0, 0), '#1\0')],
  ['MKNOD', () => request(Opcode.MKNOD, ROOT, words(0o100644, 0, 0, 0), 'new\0')],
  ['MKNOD of a FIFO', () => request(Opcode.MKNOD, ROOT, words(0o010644, 0, 0, 0), 'new\0')],
  ['MKDIR', () => request(Opcode.MKDIR, ROOT, words(0o755, 0), 'new\0')],
  ['SYMLINK', () => request(Opcode.SYMLINK, ROOT, 'new\0target\0')],
  ['LINK', (at) => request(Opcode.LINK, ROOT, u64(at.ino('f')), 'new\0')],
  ['UNLINK', () => request(Opcode.UNLINK, ROOT, 'f\0')],
  ['RMDIR', () => request(Opcode.RMDIR, ROOT, 'd\0')],
  ['RENAME', () => request(Opcode.RENAME, ROOT, u64(ROOT), 'f\0new\0')],
  ['RENAME that replaces', () => request(Opcode.RENAME2, ROOT, u64(ROOT), words(0, 0), 'f\0g\0')],
  ['RENAME2 with NOREPLACE', () => request(Opcode.RENAME2, ROOT, u64(ROOT), words(1, 0), 'f\0new\0')],
  ['RENAME2 with EXCHANGE', () => request(Opcode.RENAME2, ROOT, u64(ROOT), words(2, 0), 'f\0g\0')],
  ['SETXATTR', (at) => request(Opcode.SETXATTR, at.ino('f'), words(3, 0, 0, 0), 'user.a\0new')],
  ['SETXATTR with CREATE', (at) => request(Opcode.SETXATTR, at.ino('g'), words(3, 1, 0, 0), 'user.a\0new')],
  ['REMOVEXATTR', (at) => request(Opcode.REMOVEXATTR, at.ino('f'), 'user.a\0')],
  ['OPEN with O_TRUNC', (at) => request(Opcode.OPEN, at.ino('f'), words(O_WRONLY | O_TRUNC, 0))],
];

describe('executed, not answered, and sent again', () => {
  it.each(ONCE)('%s', (_, make) => {
    const at = rig();
    const bytes = make(at);
    const lost = at.askAndDie(bytes);
    expect(lost.startsWith('00000000'), lost).toBe(true);
    const before = at.state();
    expect(at.ask(again(bytes))).toBe(lost);
    expect(at.state()).toEqual(before);
    // And once more: a second daemon ends before it has answered.
    at.replace();
    expect(at.ask(again(bytes))).toBe(lost);
    expect(at.state()).toEqual(before);
    at.loose.stop();
    expect(at.loose.damage()).toEqual([]);
    at.loose.open();
  });

  it('OPEN with O_TRUNC in place: what others wrote since stays', () => {
    const at = rig();
    const { user } = at;
    const writer = user.open('f', O_WRONLY);
    const bytes = request(Opcode.OPEN, writer.ino, words(O_RDONLY | O_TRUNC, 0));
    // The daemon goes on for a while with the reply stuck: writes of others are acknowledged.
    at.ask(bytes);
    user.write(writer, 'written since');
    at.replace();
    at.ask(again(bytes));
    expect(user.text('f')).toBe('written since');
  });

  it('the handles of a CREATE sent again are closed by as many releases as FORGET allows', () => {
    const at = rig();
    const bytes = request(Opcode.CREATE, ROOT, words(O_WRONLY, 0o644, 0, 0), 'new\0');
    at.askAndDie(bytes);
    at.ask(again(bytes));
    const ino = at.ino('new');
    at.ask(request(Opcode.WRITE, ino, u64(O_WRONLY, 0), words(5, 0, 0, 0, 0, 0), 'bytes'));
    at.ask(request(Opcode.RELEASE, ino, u64(O_WRONLY), words(0, 0, 0, 0)));
    at.loose.filesystem.forget(ino as Ino);
    at.loose.pack();
    at.loose.pack();
    expect([at.user.layout('new'), at.user.text('new')]).toEqual(['packed', 'bytes']);
    expect(at.loose.filesystem.status().openFiles).toBe(0);
  });
});

it('a RELEASE executed and not answered leaves the handle counted until it comes again', () => {
  const at = rig();
  const file = at.user.create('new', O_WRONLY);
  at.user.write(file, 'bytes');
  const bytes = request(Opcode.RELEASE, file.ino, u64(file.handle), words(0, 0, 0, 0));
  at.askAndDie(bytes);
  at.loose.pack();
  at.loose.pack();
  expect(at.user.layout('new')).toBe('own');
  expect(at.ask(again(bytes))).toBe('00000000');
  at.loose.pack();
  expect([at.user.layout('new'), at.user.text('new')]).toEqual(['packed', 'bytes']);
});

describe('sent again, and not executed before', () => {
  it.each(ONCE)('%s is executed', (_, make) => {
    const [sent, never] = [rig(), rig()];
    const wanted = never.ask(make(never));
    const bytes = make(sent);
    sent.replace();
    const found = sent.ask(again(bytes));
    expect(found.slice(0, 8)).toBe(wanted.slice(0, 8));
    expect(found.length).toBe(wanted.length);
    expect(sent.user.list('')).toEqual(never.user.list(''));
  });

  it('after it had failed, it may succeed', () => {
    const at = rig();
    const bytes = request(Opcode.MKDIR, ROOT, words(0o755, 0), 'd\0');
    expect(at.askAndDie(bytes)).toMatch(/^efffffff/);
    value(at.user.filesystem.removeDirectory(at.user.caller, ROOT as Ino, Buffer.from('d')));
    expect(at.ask(again(bytes))).toMatch(/^00000000/);
  });
});

describe('a number that was given', () => {
  it('to another request of another kind is answered EIO, and logged', () => {
    const at = rig();
    const bytes = request(Opcode.MKDIR, ROOT, words(0o755, 0), 'new\0');
    at.askAndDie(bytes);
    const other = message(Opcode.UNLINK, ROOT, 'f\0');
    viewOf(other).setBigUint64(8, viewOf(bytes).getBigUint64(8, true), true);
    expect(at.ask(again(other))).toBe('fbffffff');
    expect(at.user.text('f')).toBe('contents of f');
    expect(at.loose.log.has('not the one that was executed')).toBe(true);
  });

  it('in an earlier mount means nothing', () => {
    const at = rig();
    const bytes = request(Opcode.MKDIR, ROOT, words(0o755, 0), 'new\0');
    at.askAndDie(bytes);
    at.loose.stop();
    at.loose.open();
    at.replace();
    expect(at.ask(again(bytes))).toBe('efffffff');
  });

  it('is exact to its last bit', () => {
    const at = rig();
    const numbers = [2n ** 63n - 2n, 2n ** 63n - 4n, 2n ** 53n + 2n, 2n ** 53n + 4n];
    numbers.forEach((unique, index) => {
      const bytes = message(Opcode.MKDIR, ROOT, words(0o755, 0), `new${index}\0`);
      viewOf(bytes).setBigUint64(8, unique, true);
      expect(at.ask(bytes)).toMatch(/^00000000/);
    });
    at.replace();
    numbers.forEach((unique, index) => {
      const bytes = message(Opcode.MKDIR, ROOT, words(0o755, 0), `new${index}\0`);
      viewOf(bytes).setBigUint64(8, unique, true);
      expect(at.ask(again(bytes))).toMatch(/^00000000/);
    });
    expect(at.user.list('').length).toBe(3 + numbers.length);
  });
});

const REPEATED: [string, (rig: Rig) => Uint8Array][] = [
  ['WRITE', (at) => request(Opcode.WRITE, at.ino('f'), u64(O_WRONLY, 13), words(4, 0, 0, 0, 0, 0), 'more')],
  ['SETATTR of a size', (at) => request(Opcode.SETATTR, at.ino('f'), setattr(8, { size: 5 }))],
  ['SETATTR of a larger size', (at) => request(Opcode.SETATTR, at.ino('f'), setattr(8, { size: 50 }))],
  ['SETATTR of a mode', (at) => request(Opcode.SETATTR, at.ino('f'), setattr(1, { mode: 0o600 }))],
  ['FALLOCATE', (at) => request(Opcode.FALLOCATE, at.ino('f'), u64(O_WRONLY, 0, 100), words(0, 0))],
  ['FALLOCATE that punches', (at) => request(Opcode.FALLOCATE, at.ino('f'), u64(O_WRONLY, 2, 4), words(3, 0))],
  ['COPY_FILE_RANGE', (at) => request(Opcode.COPY_FILE_RANGE, at.ino('g'), u64(0, 0, at.ino('f'), O_WRONLY, 3, 13, 0))],
  [
    'COPY_FILE_RANGE to the end of its own source',
    (at) => request(Opcode.COPY_FILE_RANGE, at.ino('f'), u64(0, 0, at.ino('f'), O_WRONLY, 13, 13, 0)),
  ],
];

/** fuse_setattr_in. */
function setattr(valid: number, fields: { readonly size?: number; readonly mode?: number }): Uint8Array {
  const bytes = new Uint8Array(88);
  const view = viewOf(bytes);
  view.setUint32(0, valid, true);
  view.setUint32(16, fields.size ?? 0, true);
  view.setUint32(68, fields.mode ?? 0, true);
  return bytes;
}

describe('executed twice is as good as once', () => {
  it.each(REPEATED)('%s', (_, make) => {
    const at = rig();
    const handle = at.user.open('f', O_RDWR);
    const bytes = make(at);
    const lost = at.askAndDie(bytes);
    expect(lost).toMatch(/^00000000/);
    const before = [at.user.text('f'), at.user.stat('f').size, at.user.stat('f').mode];
    const found = at.ask(again(bytes));
    expect(found.length).toBe(lost.length);
    // The times of a reply to SETATTR are later.
    if (lost.length < 100) expect(found).toBe(lost);
    expect([at.user.text('f'), at.user.stat('f').size, at.user.stat('f').mode]).toEqual(before);
    at.user.close(handle);
    at.loose.pack();
    at.loose.stop();
    expect(at.loose.damage()).toEqual([]);
    at.loose.open();
  });
});
