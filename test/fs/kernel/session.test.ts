/** The session on a device that the test plays. */
import { describe, expect, it } from 'vitest';
import { E } from '../../../base/errno.ts';
import { addressOf } from '../../../base/libc.ts';
import { silentLog } from '../../../base/log.ts';
import type { Ino } from '../../../base/units.ts';
import { Opcode } from '../../../fs/kernel/protocol.ts';
import { Session } from '../../../fs/kernel/session.ts';
import { Deferred, type Operations } from '../../../fs/types.ts';
import { message, NEGOTIATED, words } from './messages.ts';
import { type Call, HANDLE, recordingOperations } from './recording_operations.ts';

const NODE = 4097;
const OPEN = message(Opcode.OPEN, NODE, words(0, 0));
const GETATTR = message(Opcode.GETATTR, NODE, new Uint8Array(16));

/** Reads give the incoming one by one (a number is a failure), writes answer with the outcomes, then succeed. */
function played(
  incoming: (Uint8Array | number)[],
  outcomes: number[] = [],
  replaced: Partial<Operations> = {},
): { session: Session; written: Buffer[]; calls: Call[] } {
  const written: Buffer[] = [];
  const calls: Call[] = [];
  const device = {
    read: (into: Uint8Array): number => {
      const next = incoming.shift() ?? -E.EAGAIN.number;
      if (typeof next === 'number') return next;
      into.set(next);
      return next.length;
    },
    write: (reply: Uint8Array): number => {
      written.push(Buffer.from(reply));
      return outcomes.shift() ?? reply.length;
    },
  };
  const operations = recordingOperations(calls, replaced);
  const session = new Session({ fd: -1, device, operations, log: silentLog, options: { negotiated: NEGOTIATED } });
  return { session, written, calls };
}

describe('serve', () => {
  it('answers what waits, then is idle', () => {
    const { session, written } = played([GETATTR, OPEN]);
    expect(session.serve(10)).toBe('idle');
    expect(written.length).toBe(2);
    expect(session.served).toBe(2);
    expect(session.countsByName()).toEqual({ GETATTR: 1, OPEN: 1 });
    expect(session.counts[Opcode.OPEN]).toBe(1);
  });

  it('reads no more while a thousand are carried out and not answered', () => {
    const answers: Deferred<void>[] = [];
    const flushFile = () => {
      const answer = new Deferred<void>();
      answers.push(answer);
      return answer;
    };
    const fsync = message(Opcode.FSYNC, NODE, new Uint8Array(16));
    const { session } = played(new Array<Uint8Array>(1_100).fill(fsync), [], { flushFile });
    expect(session.serve(2_000)).toBe('idle');
    expect([session.served, session.isFull]).toEqual([1_000, true]);
    for (const answer of answers.splice(0)) answer.settle(undefined);
    expect(session.isFull).toBe(false);
    session.serve(2_000);
    expect(session.served).toBe(1_100);
  });

  it('stops at its budget', () => {
    const { session } = played([GETATTR, GETATTR, GETATTR]);
    expect(session.serve(2)).toBe('busy');
    expect(session.served).toBe(2);
    expect(session.serve(2)).toBe('idle');
  });

  it.each([E.ENODEV.number, 103])('is over for good after errno %i', (number) => {
    const { session } = played([GETATTR, -number, GETATTR]);
    expect(session.serve(10)).toBe('unmounted');
    expect(session.serve(10)).toBe('unmounted');
    expect(session.served).toBe(1);
  });

  it('goes on after an interruption, a request taken back, and a message without a header', () => {
    const { session, written } = played([
      -E.EINTR.number,
      -E.ENOENT.number,
      new Uint8Array(39),
      -E.EIO.number,
      GETATTR,
    ]);
    expect(session.serve(10)).toBe('idle');
    expect(written.length).toBe(1);
  });

  it('gives up on a device of which no read succeeds', () => {
    const { session } = played(new Array(100).fill(-E.EINVAL.number));
    expect(() => session.serve(100)).toThrow('errno 22');
  });

  it('bears with failures that have successes between them', () => {
    const failures: number[] = new Array(63).fill(-E.EINVAL.number);
    const { session } = played([...failures, GETATTR, ...failures, GETATTR]);
    expect(session.serve(200)).toBe('idle');
    expect(session.served).toBe(2);
  });

  it('counts unknown opcodes together', () => {
    const { session } = played([message(99, NODE), message(4096, NODE)]);
    session.serve(10);
    expect(session.countsByName()).toEqual({ UNKNOWN: 2 });
  });
});

describe('a reply that is not taken', () => {
  it('releases the open that it was about', () => {
    const { session, calls } = played([OPEN, message(Opcode.OPENDIR, NODE, words(0, 0))], [-2, -2]);
    expect(session.serve(10)).toBe('idle');
    expect(calls).toContainEqual(['release', NODE, HANDLE]);
    expect(calls).toContainEqual(['releaseDirectory', NODE, HANDLE]);
  });

  it('releases the file that CREATE made', () => {
    const { session, calls } = played([message(Opcode.CREATE, NODE, words(1, 0o644, 0, 0), 'name\0')], [-2]);
    session.serve(10);
    expect(calls.at(-1)).toEqual(['release', 0x123456789ab, HANDLE]);
  });

  it('releases nothing after another request', () => {
    const { session, calls } = played([OPEN, GETATTR], [24, -2]);
    session.serve(10);
    expect(calls.some(([operation]) => operation === 'release')).toBe(false);
  });

  it('is followed by an error where the kernel finds it wrong', () => {
    const { session, written } = played([GETATTR], [-E.EINVAL.number]);
    session.serve(10);
    expect(written[1]).toEqual(Buffer.from(words(16, -5, 77, 0)));
  });

  it('is written again after an interruption', () => {
    const { session, written } = played([GETATTR], [-E.EINTR.number]);
    session.serve(10);
    expect(written.length).toBe(2);
    expect(written[0]).toEqual(written[1]);
  });

  it('ends the session when the mount is gone', () => {
    const { session } = played([GETATTR, GETATTR], [-E.ENODEV.number]);
    expect(session.serve(10)).toBe('unmounted');
    expect(session.served).toBe(1);
  });
});

describe('notifications', () => {
  it('drop the attributes of an inode', () => {
    const { session, written } = played([], [-E.ENOENT.number]);
    session.invalidateAttributes(NODE as Ino);
    expect(written).toEqual([Buffer.from(words(40, 2, 0, 0, NODE, 0, 0xffff_ffff, 0xffff_ffff, 0, 0))]);
  });

  it('ask for unanswered requests again', () => {
    const { session, written } = played([]);
    session.resendRequests();
    expect(written).toEqual([Buffer.from(words(16, 7, 0, 0))]);
  });
});

it('bytes of READ and WRITE lie at page borders', () => {
  const addresses: number[] = [];
  const note = (bytes: Uint8Array): number => {
    addresses.push(addressOf(bytes) % 4096);
    return bytes.length;
  };
  const read = message(Opcode.READ, NODE, words(1, 0, 0, 0, 16, 0, 0, 0, 0, 0));
  const write = message(Opcode.WRITE, NODE, words(1, 0, 0, 0, 4, 0, 0, 0, 0, 0), 'data');
  const { session } = played([read, write], [], {
    read: (_request, into) => note(into),
    write: (_request, from) => note(from),
  });
  session.serve(10);
  expect(addresses).toEqual([0, 0]);
});
