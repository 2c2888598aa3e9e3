import { describe, expect, it } from 'vitest';
import { E, isErrno } from '../../../base/errno.ts';
import { type InitRequest, type Negotiated, type NegotiationOptions, negotiate } from '../../../fs/kernel/init.ts';
import { InitFlag, InitFlag2, Opcode } from '../../../fs/kernel/protocol.ts';
import { bench, errnoOfReply, message, serve, words } from './messages.ts';

/** What Linux 5.4 offers: bits 0, 1, 3 to 25. */
const LINUX_5_4: InitRequest = { major: 7, minor: 31, maxReadahead: 131_072, flags: 0x03ff_fffb, flags2: 0 };
/** Linux 5.15: HANDLE_KILLPRIV_V2 and SETXATTR_EXT have come, INIT_EXT not. */
const LINUX_5_15: InitRequest = { ...LINUX_5_4, minor: 34, flags: 0x33ff_fffb };
const LINUX_6_1: InitRequest = { ...LINUX_5_4, minor: 37, flags: 0x73ff_fffb, flags2: InitFlag2.SECURITY_CTX };
const LINUX_6_18: InitRequest = { ...LINUX_5_4, minor: 45, flags: 0x73ff_fffb, flags2: 0x07ff };

function agreed(kernel: InitRequest, options: NegotiationOptions = {}): Negotiated {
  const result = negotiate(kernel, options);
  if (isErrno(result)) throw new Error(`Negotiation with 7.${kernel.minor} gave ${result.name}, expected a reply`);
  return result;
}

const has = (reply: Negotiated, flag: number): boolean => (reply.flags & flag) !== 0;
const UNWANTED =
  InitFlag.POSIX_LOCKS |
  InitFlag.FLOCK_LOCKS |
  InitFlag.WRITEBACK_CACHE |
  InitFlag.NO_OPEN_SUPPORT |
  InitFlag.NO_OPENDIR_SUPPORT |
  InitFlag.AUTO_INVAL_DATA |
  InitFlag.HANDLE_KILLPRIV |
  InitFlag.ABORT_ERROR |
  InitFlag.SUBMOUNTS;

describe('negotiation', () => {
  it.each([
    ['5.4', LINUX_5_4],
    ['5.15', LINUX_5_15],
    ['6.1', LINUX_6_1],
    ['6.18', LINUX_6_18],
  ])('asks Linux %s only for what it offers, and never for the unwanted', (_version, kernel) => {
    const reply = agreed(kernel);
    expect(reply.flags & ~kernel.flags).toBe(0);
    expect(reply.flags2 & ~kernel.flags2).toBe(0);
    expect(reply.flags & UNWANTED).toBe(0);
    expect(reply.minor).toBe(kernel.minor);
    expect(reply).toMatchObject({ major: 7, maxWrite: 1_048_576, maxPages: 256, maxStackDepth: 0 });
    expect(has(reply, InitFlag.EXPLICIT_INVAL_DATA | InitFlag.CACHE_SYMLINKS | InitFlag.PARALLEL_DIROPS)).toBe(true);
  });

  it('drops with 5.4 what came later', () => {
    const reply = agreed(LINUX_5_4);
    expect(has(reply, InitFlag.HANDLE_KILLPRIV_V2 | InitFlag.SETXATTR_EXT | InitFlag.INIT_EXT)).toBe(false);
    expect(reply.flags2).toBe(0);
  });

  it('uses INIT_EXT only where a flag beyond bit 31 is wanted', () => {
    expect(has(agreed(LINUX_6_1), InitFlag.INIT_EXT)).toBe(false);
    expect(has(agreed(LINUX_6_18), InitFlag.INIT_EXT)).toBe(true);
    expect(agreed(LINUX_6_18).flags2).toBe(InitFlag2.DIRECT_IO_ALLOW_MMAP);
  });

  it('leaves POSIX ACLs out when told to', () => {
    expect(has(agreed(LINUX_6_18), InitFlag.POSIX_ACL)).toBe(true);
    expect(has(agreed(LINUX_6_18, { acl: false }), InitFlag.POSIX_ACL)).toBe(false);
  });

  it('takes pass-through or the writeback cache, not both', () => {
    const through = agreed(LINUX_6_18, { passthrough: true });
    expect(through.flags2 & InitFlag2.PASSTHROUGH).not.toBe(0);
    expect(through.maxStackDepth).toBe(1);
    const back = agreed(LINUX_6_18, { passthrough: true, writeback: true });
    expect(has(back, InitFlag.WRITEBACK_CACHE)).toBe(true);
    expect(back.flags2 & InitFlag2.PASSTHROUGH).toBe(0);
    expect(back.maxStackDepth).toBe(0);
    expect(agreed(LINUX_6_1, { passthrough: true }).maxStackDepth).toBe(0);
  });

  it('counts pages of the size that the kernel has', () => {
    expect(agreed(LINUX_6_18, { pageSize: 65_536 })).toMatchObject({ maxPages: 16, maxWrite: 1_048_576 });
    const few = { ...LINUX_6_18, flags: LINUX_6_18.flags & ~InitFlag.MAX_PAGES };
    expect(agreed(few)).toMatchObject({ maxPages: 32, maxWrite: 131_072 });
  });

  it('refuses kernels before 5.4 and older protocols', () => {
    expect(negotiate({ ...LINUX_5_4, minor: 30 }, {})).toBe(E.EPROTO);
    expect(negotiate({ ...LINUX_5_4, major: 6, minor: 99 }, {})).toBe(E.EPROTO);
  });

  it('never names a minor version beyond its own', () => {
    expect(agreed({ ...LINUX_6_18, minor: 99 }).minor).toBe(45);
  });
});

describe('INIT message', () => {
  const fresh = () => bench({ negotiated: undefined });

  it('takes the 16 bytes of old kernels and remembers what was agreed', () => {
    const { exchange } = fresh();
    const reply = serve(exchange, message(Opcode.INIT, 0, words(7, 31, 131_072, LINUX_5_4.flags)));
    expect(reply.length).toBe(16 + 64);
    expect(exchange.negotiated?.minor).toBe(31);
    expect(exchange.hasExtendedSetxattr).toBe(false);
  });

  it('reads no flags2 behind a short body, whatever the buffer holds', () => {
    const { exchange } = fresh();
    exchange.request.fill(0xff);
    serve(exchange, message(Opcode.INIT, 0, words(7, 45, 0, 0xffff_ffff)));
    expect(exchange.negotiated?.flags2).toBe(0);
  });

  it('answers a newer major version with its own and waits for the next INIT', () => {
    const { exchange } = fresh();
    const reply = serve(exchange, message(Opcode.INIT, 0, words(8, 0, 0, 0)));
    expect(reply.slice(16)).toEqual(words(7, 45));
    expect(exchange.negotiated).toBeUndefined();
  });

  it('answers EPROTO to a kernel that is too old', () => {
    const { exchange } = fresh();
    const reply = serve(exchange, message(Opcode.INIT, 0, words(7, 23, 0, 0)));
    expect(errnoOfReply(reply)).toBe(E.EPROTO.number);
    expect(exchange.negotiated).toBeUndefined();
  });
});
