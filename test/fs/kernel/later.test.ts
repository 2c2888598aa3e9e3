/** Replies that come later are those that would have come at once, whatever the buffers hold by then. */
import { describe, expect, it } from 'vitest';
import { E, type Result } from '../../../base/errno.ts';
import { Opcode } from '../../../fs/kernel/protocol.ts';
import { Deferred, type Operations } from '../../../fs/types.ts';
import { bench, errnoOfReply, message, serve, words } from './messages.ts';
import { type Call, HANDLE, recordingOperations } from './recording_operations.ts';

const NODE = 4097;
const OPEN = message(Opcode.OPEN, NODE, words(0, 0));
const CREATE = message(Opcode.CREATE, NODE, words(1, 0o644, 0, 0), 'name\0');
const TMPFILE = message(Opcode.TMPFILE, NODE, words(1, 0o644, 0, 0), '#1\0');
const WRITE = message(Opcode.WRITE, NODE, words(1, 0, 0, 0, 4, 0, 0, 0, 0, 0), 'data');
const RENAME = message(Opcode.RENAME2, NODE, words(NODE, 0, 0, 0), 'old\0new\0');
const NOISE = message(Opcode.GETATTR, 9, new Uint8Array(16));

type Name = 'open' | 'create' | 'createUnnamed' | 'write' | 'rename';

const CASES: [Name, Uint8Array][] = [
  ['open', OPEN],
  ['create', CREATE],
  ['createUnnamed', TMPFILE],
  ['write', WRITE],
  ['rename', RENAME],
];

/** The operation of that name answers as it would, but later. */
function putOff(
  name: Name,
  calls: Call[],
): { replaced: Partial<Operations>; settle: (result?: Result<never>) => void } {
  const deferred = new Deferred<unknown>();
  const answers = recordingOperations(calls) as unknown as Record<string, (...given: unknown[]) => Result<unknown>>;
  let answer: Result<unknown>;
  const replaced = {
    [name]: (...given: unknown[]) => {
      answer = answers[name]?.(...given);
      return deferred;
    },
  } as Partial<Operations>;
  return { replaced, settle: (result) => deferred.settle(result ?? answer) };
}

describe.each(CASES)('a %s that is put off', (name, request) => {
  it('is answered as it would have been at once', () => {
    const atOnce = Buffer.from(serve(bench().exchange, request)).toString('hex');
    const { replaced, settle } = putOff(name, []);
    const { exchange, later } = bench({}, replaced);
    expect(serve(exchange, request)).toHaveLength(0);
    expect(exchange.deferredReplies).toBe(1);
    serve(exchange, NOISE);
    settle();
    expect(later).toEqual([atOnce]);
    expect(exchange.deferredReplies).toBe(0);
  });

  it('may fail', () => {
    const { replaced, settle } = putOff(name, []);
    const { exchange, later } = bench({}, replaced);
    serve(exchange, request);
    settle(E.EIO as Result<never>);
    expect(later.map((reply) => errnoOfReply(Buffer.from(reply, 'hex')))).toEqual([E.EIO.number]);
  });
});

it('a write may keep its bytes: those of later requests lie elsewhere, until too many are kept', () => {
  const deferred: Deferred<number>[] = [];
  const kept: { bytes: Uint8Array; release: (() => void) | undefined }[] = [];
  const { exchange, later } = bench(
    {},
    {
      write: (_request, bytes, loan) => {
        const answer = new Deferred<number>();
        deferred.push(answer);
        kept.push({ bytes, release: loan?.keep() });
        return answer;
      },
    },
  );
  const say = (text: string) => serve(exchange, message(Opcode.WRITE, NODE, words(1, 0, 0, 0, 4, 0, 0, 0, 0, 0), text));
  for (const text of ['one!', 'two!', 'thre', 'four']) say(text);
  serve(exchange, NOISE);
  expect(kept.map(({ release }) => release !== undefined)).toEqual([true, true, true, false]);
  const texts = () => kept.slice(0, 3).map(({ bytes }) => Buffer.from(bytes).toString());
  expect(texts()).toEqual(['one!', 'two!', 'thre']);
  kept[1]?.release?.();
  say('five');
  expect([kept[4]?.release !== undefined, kept[4]?.bytes.buffer === kept[3]?.bytes.buffer]).toEqual([true, true]);
  say('six!');
  expect([kept[5]?.release, Buffer.from(kept[5]?.bytes ?? []).toString()]).toEqual([undefined, 'six!']);
  expect(kept[5]?.bytes.buffer).toBe(kept[1]?.bytes.buffer);
  expect([kept[0], kept[2]].map((each) => Buffer.from(each?.bytes ?? []).toString())).toEqual(['one!', 'thre']);
  deferred[0]?.settle(4);
  expect(later).toEqual([Buffer.from(serve(bench().exchange, WRITE)).toString('hex')]);
});

it.each([
  ['open', OPEN, NODE],
  ['create', CREATE, 0x123456789ab],
] as const)('what a late %s opened is released when its reply is not taken', (name, request, node) => {
  const calls: Call[] = [];
  const { replaced, settle } = putOff(name, calls);
  const { exchange, calls: released } = bench({}, replaced, { outcome: -E.ENOENT.number });
  serve(exchange, request);
  serve(exchange, NOISE);
  settle();
  expect(released).toContainEqual(['release', node, HANDLE]);
});
