/**
 * READs that other threads answer. This thread decides: it knows rows, sizes and access times; it says where the bytes lie
 * and what their checksums are, and goes on with the next request. Reader threads fetch, check and reply (read_server.ts).
 * What is in memory already, and small, is answered here: nobody has to be woken for it.
 *
 * - Files of a series lie one behind the other. Whoever reads on where the last read of the directory ended gets the rest of
 *   the segment fetched with it, into the segment cache; for all others just what they want is read.
 * - What cannot be answered (a checksum that differs, a disk's error, a file that was cut meanwhile) comes back here, and is
 *   served again from the rows as they are then, by `read` of operations/files.ts: it decides about EIO.
 * - What is read was named by the row when the request came. Ranges that are let go meanwhile are punched behind a barrier at
 *   the earliest: then checksums differ, and it comes back. Pages that are being read are locked in the kernel: whoever
 *   writes, cuts or empties them there waits for the answer first.
 * - A daemon that dies leaves requests unanswered, which come again to the next one.
 * - The readers of one volume are never all of them, and what is in memory never waits for a reader that waits for a disk: a
 *   slow disk must not hold up others.
 */
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import { type CachedSegment, Segments } from '../../aggregate/segments.ts';
import { Streams } from '../../aggregate/streams.ts';
import { isErrno } from '../../base/errno.ts';
import type { OwnName } from '../../base/layout.ts';
import { addressOf } from '../../base/libc.ts';
import type { Inode } from '../../shard/rows.ts';
import type { Core } from '../core.ts';
import { ANSWERED_ELSEWHERE, type ReadRequest, type ReadTicket } from '../types.ts';
import { Answer, isIntact, PIECES_MAX } from './answer.ts';
import { type Look, planRead, segmentOf } from './plan.ts';
import { DONE_WELL, type ReadPiece, ReadRing } from './ring.ts';
import type { ReadThreads } from './threads.ts';

const O_NOATIME = 0o1000000;
/** Answers of this size and more are worth another thread that has nothing to do, though all is in memory. */
const INLINE_BYTES = 256 * 1024;
const NONE = new Uint32Array();

/** What is under way, and what has to be let go after it. */
interface Pending {
  readonly ticket: ReadTicket | undefined;
  readonly letGo: LetGo;
}

/** Whether what was posted was done as it was wanted. */
type LetGo = (isDone: boolean) => void;

export interface ReadsStatus {
  /** Threads that are up. */
  readonly readers: number;
  /** READs answered by reader threads, by this thread from the segment cache, and again by this thread. */
  readonly byReaders: number;
  readonly fromCache: number;
  readonly again: number;
  /** Segments fetched ahead. */
  readonly segmentFills: number;
  readonly segmentCacheBytes: number;
}

export class Reads {
  readonly #core: Core;
  readonly #threads: ReadThreads;
  readonly #rings: readonly ReadRing[];
  /** Of each ring, what was posted and not collected, in its order. */
  readonly #pending: Pending[][];
  readonly #segments: Segments;
  readonly #streams = new Streams();
  readonly #answer = new Answer();
  readonly #arenaAddress: number;
  /** To be served here, between requests. */
  #again: ReadTicket[] = [];
  #byReaders = 0;
  #fromCache = 0;
  #servedAgain = 0;

  constructor(core: Core, threads: ReadThreads) {
    this.#core = core;
    this.#threads = threads;
    this.#rings = threads.rings.map((memory) => new ReadRing(memory));
    this.#pending = this.#rings.map(() => []);
    this.#segments = new Segments(threads.segments, (file) => core.data.lent.giveBack(file));
    this.#arenaAddress = addressOf(threads.segments.arena);
  }

  get status(): ReadsStatus {
    return {
      readers: this.#rings.filter((ring) => ring.isUp).length,
      byReaders: this.#byReaders,
      fromCache: this.#fromCache,
      again: this.#servedAgain,
      segmentFills: this.#segments.fills,
      segmentCacheBytes: this.#segments.bytes,
    };
  }

  get isIdle(): boolean {
    return this.#again.length === 0 && this.#pending.every((pending) => pending.length === 0);
  }

  /** The count in `into`, or ANSWERED_ELSEWHERE; undefined: it is to be read by whoever asks. */
  begin(request: ReadRequest, into: Uint8Array, ticket: ReadTicket): number | undefined {
    const core = this.#core;
    const inode = core.inode(request.ino);
    if (isErrno(inode)) return undefined;
    const live = core.unsettled(inode);
    const length = Math.min(into.length, (live?.size ?? inode.size) - request.offset);
    if (length <= 0) return undefined;
    const { offset } = request;
    const outcome =
      inode.own === undefined
        ? this.#readPacked(inode, { offset, length }, ticket)
        : this.#readOwn(inode, { offset, into: into.subarray(0, length) }, ticket);
    if (outcome !== undefined && (request.handle & O_NOATIME) === 0) core.noteAccess(inode, live ?? inode);
    return outcome;
  }

  /** Lets go of what has been answered, and serves what has not; between requests. */
  turn(): void {
    this.#collect();
    if (this.#again.length === 0) return;
    const again = this.#again;
    this.#again = [];
    for (const ticket of again) ticket.answerHere();
    this.#servedAgain += again.length;
  }

  #readPacked(
    inode: Inode,
    range: { readonly offset: number; readonly length: number },
    ticket: ReadTicket,
  ): number | undefined {
    const looks = planRead(inode.extents, range, PIECES_MAX);
    const first = looks?.find(({ extent }) => extent !== undefined);
    if (looks === undefined || first?.extent === undefined) return undefined;
    const last = looks.findLast(({ extent }) => extent !== undefined) ?? first;
    const goesOn = this.#streams.note(inode.parent, {
      file: inode.ino,
      aggregate: first.extent.aggregate,
      start: first.offset,
      end: last.extent?.aggregate === first.extent.aggregate ? last.offset + last.bytes : first.offset + first.bytes,
    });
    let found = looks.map((look) => this.#find(look));
    const isWhole = found.every((segment, index) =>
      segment === undefined ? looks[index]?.extent === undefined : this.#segments.isWhole(segment),
    );
    let reader = this.#chooseReader(first.extent.volume, found);
    if (isWhole && this.#isBetterHere(range.length, reader)) {
      if (this.#answerNow(looks, found, ticket)) return ANSWERED_ELSEWHERE;
      found = looks.map((look) => this.#find(look));
      reader = this.#chooseReader(first.extent.volume, found);
    }
    const isPosted = reader !== undefined && this.#post(looks, found, { reader, goesOn, ticket });
    return isPosted ? ANSWERED_ELSEWHERE : undefined;
  }

  /** From the segment cache, here. */
  #answerNow(looks: readonly Look[], found: readonly (CachedSegment | undefined)[], ticket: ReadTicket): boolean {
    const answer = this.#answer;
    const { arena } = this.#threads.segments;
    answer.begin();
    for (const [index, look] of looks.entries()) {
      const segment = found[index];
      if (segment === undefined) {
        answer.addZeros(look.length);
        continue;
      }
      const at = segment.place * SEGMENT_BYTES + (look.offset % SEGMENT_BYTES);
      if (!isIntact(arena.subarray(at, at + look.bytes), look.checksums)) {
        this.#segments.drop(segment);
        return false;
      }
      answer.add(this.#arenaAddress + at + look.skip, look.length);
    }
    if (!answer.send({ device: this.#threads.device(), ...ticket })) return false;
    this.#fromCache += 1;
    return true;
  }

  #find(look: Look): CachedSegment | undefined {
    const segment = look.extent === undefined ? undefined : segmentOf(look);
    if (look.extent === undefined || segment === undefined) return undefined;
    const from = look.offset - segment * SEGMENT_BYTES;
    return this.#segments.find(look.extent.aggregate, segment, { from, to: from + look.bytes });
  }

  /** Whoever is filling what is wanted, else the one with the least to do; undefined when nobody is there, or has room. */
  #chooseReader(volume: number, found: readonly (CachedSegment | undefined)[]): number | undefined {
    const filling = found.find((segment) => segment !== undefined && !this.#segments.isWhole(segment));
    if (filling !== undefined) return this.#mayPost(filling.filler) ? filling.filler : undefined;
    const left = this.#rings.length > 1 && this.#core.volumes.size > 1 ? volume % this.#rings.length : -1;
    let best: number | undefined;
    for (const index of this.#rings.keys()) {
      if (index === left || !this.#mayPost(index)) continue;
      if (best === undefined || this.#burden(index) < this.#burden(best)) best = index;
    }
    return best;
  }

  #burden(reader: number): number {
    return (this.#rings[reader]?.pending ?? 0) + this.#segments.filling(reader);
  }

  /** Whether what is in memory is answered here. */
  #isBetterHere(length: number, reader: number | undefined): boolean {
    return length < INLINE_BYTES || reader === undefined || this.#burden(reader) > 0;
  }

  /** A segment's filling and the READ itself. */
  #mayPost(reader: number): boolean {
    const ring = this.#rings[reader];
    if (ring?.isUp !== true) return false;
    const jobs = 1 + PIECES_MAX;
    if (!ring.hasRoom(jobs)) this.#collect();
    return ring.hasRoom(jobs);
  }

  #post(
    looks: readonly Look[],
    found: readonly (CachedSegment | undefined)[],
    how: { readonly reader: number; readonly goesOn: boolean; readonly ticket: ReadTicket },
  ): boolean {
    const { reader, goesOn, ticket } = how;
    const letGo: LetGo[] = [];
    const pieces: ReadPiece[] = [];
    let isDone = false;
    for (const [index, look] of looks.entries()) {
      const piece = this.#piece(look, found[index], { reader, goesOn, letGo });
      if (piece === undefined) break;
      pieces.push(piece);
      isDone = pieces.length === looks.length;
    }
    const letAllGo = (wasAnswered: boolean) => {
      for (const each of letGo) each(wasAnswered);
    };
    if (isDone && this.#postPieces(reader, pieces, ticket, letAllGo)) return true;
    letAllGo(true);
    return false;
  }

  #postPieces(reader: number, pieces: readonly ReadPiece[], ticket: ReadTicket, letGo: LetGo): boolean {
    const { uniqueLow, uniqueHigh } = ticket;
    const job = { kind: 'read', uniqueLow, uniqueHigh, device: this.#threads.device(), pieces } as const;
    if (this.#rings[reader]?.postRead(job) !== true) return false;
    this.#pending[reader]?.push({ ticket, letGo });
    this.#byReaders += 1;
    return true;
  }

  #piece(
    look: Look,
    found: CachedSegment | undefined,
    how: { readonly reader: number; readonly goesOn: boolean; readonly letGo: LetGo[] },
  ): ReadPiece | undefined {
    const { extent, bytes, skip, length, checksums } = look;
    const what = { descriptor: -1, offset: 0, bytes, skip, length, place: 0, checksums };
    if (extent === undefined) return { ...what, source: 'zeros' };
    const isUseful = found !== undefined && (found.filler === how.reader || this.#segments.isWhole(found));
    const segment = isUseful ? found : how.goesOn ? this.#beginFill(look, how.reader) : undefined;
    if (segment !== undefined) {
      segment.users += 1;
      how.letGo.push((wasAnswered) => {
        segment.users -= 1;
        if (!wasAnswered) this.#segments.drop(segment);
      });
      return { ...what, source: 'segment', place: segment.place, offset: look.offset % SEGMENT_BYTES };
    }
    const { lent } = this.#core.data;
    const file = lent.lend(extent.volume, extent.aggregate);
    if (file === undefined) return undefined;
    how.letGo.push(() => lent.giveBack(file));
    return { ...what, source: 'file', descriptor: file.descriptor, offset: look.offset };
  }

  /** From what is wanted now to the end of the segment, or of what has been written of it. */
  #beginFill(look: Look, filler: number): CachedSegment | undefined {
    const { extent } = look;
    const segment = segmentOf(look);
    if (extent === undefined || segment === undefined) return undefined;
    const { ledger, lent } = this.#core.data;
    const start = segment * SEGMENT_BYTES;
    const to = Math.min(SEGMENT_BYTES, (ledger.row(extent.aggregate)?.written ?? 0) - start);
    const from = look.offset - start;
    if (from + look.bytes > to) return undefined;
    const file = lent.lend(extent.volume, extent.aggregate);
    if (file === undefined) return undefined;
    const { aggregate } = extent;
    const cached = this.#segments.begin({ aggregate, segment }, { from, to, filler, file });
    if (cached === undefined) {
      lent.giveBack(file);
      return undefined;
    }
    this.#rings[filler]?.postFill({ kind: 'fill', descriptor: file.descriptor, place: cached.place, start, from, to });
    this.#pending[filler]?.push({ ticket: undefined, letGo: () => {} });
    return cached;
  }

  /** What the host has in memory may be read here. An own file has no checksums. */
  #readOwn(
    inode: Inode,
    { offset, into }: { readonly offset: number; readonly into: Uint8Array },
    ticket: ReadTicket,
  ): number | undefined {
    const { own } = inode;
    const reader = own === undefined ? undefined : this.#chooseReader(own.volume, []);
    if (own === undefined || reader === undefined) return undefined;
    if (this.#isBetterHere(into.length, reader)) {
      const file = this.#core.data.openOwn(own);
      if (isErrno(file)) return undefined;
      if (file.readNow?.(into, offset) === into.length) return into.length;
    }
    const isPosted = this.#postOwn(own, { offset, length: into.length }, { reader, ticket });
    return isPosted ? ANSWERED_ELSEWHERE : undefined;
  }

  #postOwn(
    own: OwnName,
    { offset, length }: { readonly offset: number; readonly length: number },
    { reader, ticket }: { readonly reader: number; readonly ticket: ReadTicket },
  ): boolean {
    const file = this.#core.data.lendOwn(own);
    if (isErrno(file)) return false;
    const { descriptor } = file;
    const piece = { source: 'file', offset, bytes: length, skip: 0, length, place: 0, checksums: NONE } as const;
    const close = () => file.close();
    if (descriptor !== undefined && this.#postPieces(reader, [{ ...piece, descriptor }], ticket, close)) return true;
    close();
    return false;
  }

  #collect(): void {
    for (const [index, ring] of this.#rings.entries()) {
      const pending = this.#pending[index] ?? [];
      ring.collect((outcome) => {
        const done = pending.shift();
        done?.letGo(outcome === DONE_WELL);
        if (outcome !== DONE_WELL && done?.ticket !== undefined) this.#again.push(done.ticket);
      });
    }
    if (this.#segments.filling() > 0) this.#segments.settle();
  }
}
