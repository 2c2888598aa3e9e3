/** What the kernel never sends, and what operations may answer at the edges. */
import { describe, expect, it } from 'vitest';
import { E } from '../../../base/errno.ts';
import { OPCODE_TABLE } from '../../../fs/kernel/opcode_table.ts';
import { Opcode } from '../../../fs/kernel/protocol.ts';
import { type AttributesReply, Deferred } from '../../../fs/types.ts';
import { bench, errnoOfReply, message, NEGOTIATED, serve, words } from './messages.ts';
import { ATTRIBUTES } from './recording_operations.ts';

const NODE = 4097;
/** A 64-bit field of which a double cannot hold the value. */
const HUGE = [0xffff_ffff, 0x7fff_ffff] as const;

function answer(request: Uint8Array, options = {}): number | undefined {
  return errnoOfReply(serve(bench(options).exchange, request));
}

describe('names', () => {
  it.each([
    ['empty', '\0', E.EINVAL],
    ['not ended', 'name', E.EINVAL],
    ['missing', '', E.EINVAL],
    ['with a slash', 'a/b\0', E.EINVAL],
    ['with a NUL', 'a\0b\0', E.EINVAL],
    ['of 256 bytes', `${'n'.repeat(256)}\0`, E.ENAMETOOLONG],
    ['that is . and would be removed', '.\0', E.EINVAL],
    ['that is .. and would be removed', '..\0', E.EINVAL],
  ])('%s', (_what, name, errno) => {
    expect(answer(message(Opcode.UNLINK, NODE, name))).toBe(errno.number);
  });

  it('may have 255 bytes', () => {
    const { exchange, calls } = bench();
    serve(exchange, message(Opcode.UNLINK, NODE, `${'n'.repeat(255)}\0`));
    expect(calls).toEqual([['unlink', '0:0:0', NODE, 'n'.repeat(255)]]);
  });

  it.each(['.', '..'])('%s is looked up', (name) => {
    expect(answer(message(Opcode.LOOKUP, NODE, `${name}\0`))).toBe(0);
  });

  it('are copies: the next message does not change them', () => {
    let kept: Uint8Array = new Uint8Array(0);
    const unlink = (_caller: unknown, _parent: unknown, name: Uint8Array): void => {
      kept = name;
    };
    const { exchange } = bench({}, { unlink });
    serve(exchange, message(Opcode.UNLINK, NODE, 'first\0'));
    const first = kept;
    serve(exchange, message(Opcode.UNLINK, NODE, 'other\0'));
    expect(Buffer.from(first).toString()).toBe('first');
  });

  it.each([
    ['one of two', words(8, 0), 'only\0', E.EINVAL],
    ['the second not ended', words(8, 0), 'one\0two', E.EINVAL],
    ['a third', words(8, 0), 'one\0two\0three\0', E.EINVAL],
    ['the first empty', words(8, 0), '\0two\0', E.EINVAL],
    ['the second too long', words(8, 0), `one\0${'n'.repeat(256)}\0`, E.ENAMETOOLONG],
    ['into no inode', words(0, 0), 'one\0two\0', E.EINVAL],
    ['into an impossible inode', words(...HUGE), 'one\0two\0', E.EINVAL],
  ])('of RENAME: %s', (_what, fixed, names, errno) => {
    expect(answer(message(Opcode.RENAME, NODE, fixed, names))).toBe(errno.number);
  });

  it('RENAME2 takes no unknown flags', () => {
    expect(answer(message(Opcode.RENAME2, NODE, words(8, 0, 8, 0), 'one\0two\0'))).toBe(E.EINVAL.number);
  });

  it.each([
    ['without target', 'link\0', E.EINVAL],
    ['with an empty target', 'link\0\0', E.ENOENT],
    ['with a target of 4096 bytes', `link\0${'t'.repeat(4096)}\0`, E.ENAMETOOLONG],
  ])('of SYMLINK: %s', (_what, body, errno) => {
    expect(answer(message(Opcode.SYMLINK, NODE, body))).toBe(errno.number);
  });
});

describe('fields', () => {
  const read = (...fields: number[]) => words(...fields, ...new Array(10 - fields.length).fill(0));

  it.each([
    ['a node id of 0', message(Opcode.GETATTR, 0, new Uint8Array(16)), E.EINVAL],
    ['a handle past 2^53', message(Opcode.READ, NODE, read(...HUGE, 0, 0, 4096)), E.EBADF],
    ['a READ longer than agreed', message(Opcode.READ, NODE, read(1, 0, 0, 0, 1_048_577)), E.EINVAL],
    ['a WRITE shorter than it says', message(Opcode.WRITE, NODE, read(1, 0, 0, 0, 7), 'pixels'), E.EINVAL],
    ['a WRITE longer than it says', message(Opcode.WRITE, NODE, read(1, 0, 0, 0, 5), 'pixels'), E.EINVAL],
    ['a WRITE past 2^53', message(Opcode.WRITE, NODE, read(1, 0, ...HUGE, 6), 'pixels'), E.EFBIG],
    ['a listing from past 2^53', message(Opcode.READDIR, NODE, read(1, 0, ...HUGE, 4096)), E.EINVAL],
    ['a listing without space', message(Opcode.READDIR, NODE, read(1, 0, 0, 0, 31)), E.EINVAL],
    ['a size past 2^53', message(Opcode.SETATTR, NODE, words(8, 0, 0, 0, ...HUGE, ...new Array(16).fill(0))), E.EFBIG],
    [
      'nanoseconds past a second',
      message(Opcode.SETATTR, NODE, words(16, ...new Array(13).fill(0), 1e9, ...new Array(7).fill(0))),
      E.EINVAL,
    ],
    ['a node that mknod does not make', message(Opcode.MKNOD, NODE, words(0o040755, 0, 0, 0), 'name\0'), E.EINVAL],
    ['SEEK_SET', message(Opcode.LSEEK, NODE, words(1, 0, 0, 0, 0, 0)), E.EINVAL],
    ['SEEK_DATA past 2^53', message(Opcode.LSEEK, NODE, words(1, 0, ...HUGE, 3, 0)), E.ENXIO],
    ['FALLOCATE past 2^53', message(Opcode.FALLOCATE, NODE, words(1, 0, 0, 0, ...HUGE, 0, 0)), E.EFBIG],
    ['an attribute name too long', message(Opcode.GETXATTR, NODE, words(9, 0), `${'x'.repeat(256)}\0`), E.ERANGE],
    ['an attribute value cut short', message(Opcode.SETXATTR, NODE, words(9, 0, 0, 0), 'user.a\0value'), E.EINVAL],
    [
      'an attribute value too long',
      message(Opcode.SETXATTR, NODE, words(65_537, 0, 0, 0), 'user.a\0', new Uint8Array(65_537)),
      E.E2BIG,
    ],
    ['SETXATTR without the extension it agreed on', message(Opcode.SETXATTR, NODE, words(0, 0)), E.EINVAL],
    ['an unknown opcode', message(4096, NODE), E.ENOSYS],
    ['opcode 0', message(0, NODE), E.ENOSYS],
  ])('%s', (_what, request, errno) => {
    expect(answer(request)).toBe(errno.number);
  });

  it.each(
    OPCODE_TABLE.flatMap((row, opcode) => (row === undefined || row.bodyBytes === 0 ? [] : [{ ...row, opcode }])),
  )('$name with a body one byte short', ({ opcode, bodyBytes, silent }) => {
    const { exchange, calls } = bench();
    const reply = serve(exchange, message(opcode, NODE, new Uint8Array(bodyBytes - 1)));
    expect(errnoOfReply(reply)).toBe(silent ? undefined : E.EINVAL.number);
    expect(calls).toEqual([]);
  });

  it('a READ past 2^53 is past the end', () => {
    expect(answer(message(Opcode.READ, NODE, read(1, 0, ...HUGE, 4096)))).toBe(0);
  });

  it('SETXATTR of kernels before 5.14 has no extension', () => {
    const { exchange, calls } = bench({ negotiated: { ...NEGOTIATED, flags: 0 } });
    expect(errnoOfReply(serve(exchange, message(Opcode.SETXATTR, NODE, words(3, 0), 'user.a\0abc')))).toBe(0);
    expect(calls[0]?.[3]).toEqual({ name: 'user.a', value: 'abc', flags: 0, killSetgid: false });
  });

  it("lengths in the header must be the message's", () => {
    const request = message(Opcode.GETATTR, NODE, new Uint8Array(16));
    request[0] = 57;
    expect(answer(request)).toBe(E.EINVAL.number);
  });

  it('extensions behind the body are left out', () => {
    const request = message(Opcode.UNLINK, NODE, 'name\0', new Uint8Array(16).fill(7));
    request[36] = 2;
    expect(answer(request)).toBe(0);
    request[36] = 200;
    expect(answer(request)).toBe(E.EINVAL.number);
  });

  it('BATCH_FORGET forgets what is there, and is never answered', () => {
    const { exchange, calls } = bench();
    const request = message(
      Opcode.BATCH_FORGET,
      0,
      words(1000, 0),
      words(NODE, 0, 1, 0),
      words(0, 0, 1, 0),
      words(5, 0),
    );
    expect(errnoOfReply(serve(exchange, request))).toBeUndefined();
    expect(calls).toEqual([['forget', NODE]]);
    expect(errnoOfReply(serve(exchange, message(Opcode.FORGET, NODE)))).toBeUndefined();
  });
});

describe('answers', () => {
  it('a listing ends before the entry that does not fit', () => {
    const { exchange } = bench();
    const space = words(1, 0, 0, 0, 95, 0, 0, 0, 0, 0);
    expect(serve(exchange, message(Opcode.READDIR, NODE, space)).length).toBe(16 + 64);
  });

  it('ENOSYS never answers an open: the kernel would send no more', () => {
    const refusing = { open: () => E.ENOSYS, openDirectory: () => E.ENOSYS };
    for (const opcode of [Opcode.OPEN, Opcode.OPENDIR]) {
      expect(errnoOfReply(serve(bench({}, refusing).exchange, message(opcode, NODE, words(0, 0))))).toBe(E.EIO.number);
    }
  });

  it('an open that drops setuid tells the kernel so, before the open is answered', () => {
    let mode = 0o106777;
    const attributes = (): AttributesReply => ({ attributes: { ...ATTRIBUTES, mode }, validSec: 1 });
    const setAttributes = (): AttributesReply => {
      mode = 0o100777;
      return attributes();
    };
    const { exchange, later } = bench({}, { getAttributes: attributes, setAttributes });
    const request = message(Opcode.OPEN, NODE, words(0o1001, 1));
    expect(errnoOfReply(serve(exchange, request))).toBe(0);
    const told = Buffer.from(words(40, 2, 0, 0, NODE, 0, 0xffff_ffff, 0xffff_ffff, 0, 0)).toString('hex');
    expect(later).toEqual([told]);
    serve(exchange, request);
    expect(later).toEqual([told]);
  });

  it('a name that is missing may be remembered as missing', () => {
    const { exchange } = bench({ negativeEntrySec: 2 });
    const reply = serve(exchange, message(Opcode.LOOKUP, NODE, 'missing\0'));
    expect(errnoOfReply(reply)).toBe(0);
    expect(reply.length).toBe(16 + 128);
    expect(reply.slice(16, 40)).toEqual(words(0, 0, 0, 0, 2, 0));
  });

  it('a read-only mount refuses changes and opens for writing, and nothing else', () => {
    const { exchange, calls } = bench({ readOnly: true });
    const serveErrno = (request: Uint8Array) => errnoOfReply(serve(exchange, request));
    expect(serveErrno(message(Opcode.UNLINK, NODE, 'name\0'))).toBe(E.EROFS.number);
    expect(serveErrno(message(Opcode.OPEN, NODE, words(1, 0)))).toBe(E.EROFS.number);
    expect(serveErrno(message(Opcode.OPEN, NODE, words(0o1000, 0)))).toBe(E.EROFS.number);
    expect(calls).toEqual([]);
    expect(serveErrno(message(Opcode.OPEN, NODE, words(0, 0)))).toBe(0);
    expect(serveErrno(message(Opcode.FSYNC, NODE, words(1, 0, 0, 0)))).toBe(0);
  });

  it('a put-off answer is sent when it is known, to the request that waits for it', () => {
    const flush = new Deferred<void>();
    const { exchange, later } = bench({}, { flushFile: () => flush });
    expect(serve(exchange, message(Opcode.FSYNC, NODE, words(1, 0, 0, 0)))).toEqual(new Uint8Array(0));
    expect(exchange.deferredReplies).toBe(1);
    const other = message(Opcode.UNLINK, NODE, 'name\0');
    other[8] = 78;
    serve(exchange, other);
    expect(later).toEqual([]);
    flush.settle(E.EIO);
    expect(later).toEqual([Buffer.from(words(16, -5, 77, 0)).toString('hex')]);
    expect(exchange.deferredReplies).toBe(0);
  });

  it('an operation that answers outside of errno(3), or more than was asked for, is a bug', () => {
    const wrong = { read: (_request: unknown, into: Uint8Array) => into.length + 1, seek: () => -600 };
    const { exchange } = bench({}, wrong);
    const read = message(Opcode.READ, NODE, words(1, 0, 0, 0, 10, 0, 0, 0, 0, 0));
    expect(() => serve(exchange, read)).toThrow('at most 10');
    expect(() => serve(exchange, message(Opcode.LSEEK, NODE, words(1, 0, 0, 0, 3, 0)))).toThrow('outcome -600');
  });
});
