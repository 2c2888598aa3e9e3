/** What a command could not do, in one line that says what to do about it; thrown by commands, printed by the program. */
import { E, type Errno, errnoFromThrown, errnoOf } from '../base/errno.ts';

/** 1 failed, 2 wrong usage; fsck has those of fsck(8). */
export type ExitCode = number;

export const FAILED: ExitCode = 1;
export const USAGE: ExitCode = 2;
/** The daemon's or supervisor's own bug: EX_SOFTWARE of sysexits.h. */
export const CRASHED: ExitCode = 70;

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = FAILED) {
    super(message);
    this.exitCode = exitCode;
  }
}

export function usage(message: string): Failure {
  return new Failure(message, USAGE);
}

/** Turns what a system call or a library threw into a Failure: `action` reads like 'create /srv/store/meta'. */
export function failureOf(action: string, thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  return new Failure(`Cannot ${action}: ${reasonOf(thrown)}`);
}

/** The reason in words, with what to do where that is known. */
export function reasonOf(thrown: unknown): string {
  if (isFullDisk(thrown)) return errnoReason(E.ENOSPC);
  if (isSystemError(thrown)) return errnoReason(errnoOf(errnoFromThrown(thrown)), firstLine(thrown.message));
  return thrown instanceof Error ? firstLine(thrown.message) : String(thrown);
}

/** The same for an error number; `otherwise` where there is nothing better to say than its name. */
export function errnoReason(errno: Errno, otherwise: string = `${errno.name} (errno ${errno.number})`): string {
  switch (errno) {
    case E.ENOSPC:
      return 'the disk is full (ENOSPC); free some space there and try again';
    case E.EACCES:
    case E.EPERM:
      return 'no permission; run it as root (sudo)';
    case E.EROFS:
      return 'the filesystem there is read-only';
    case E.ENOENT:
      return 'it does not exist';
    case E.ENOTDIR:
      return 'part of the path is not a directory';
    case E.EDQUOT:
      return 'the disk quota is used up; free some space there and try again';
    default:
      return otherwise;
  }
}

function isSystemError(thrown: unknown): thrown is NodeJS.ErrnoException {
  return thrown instanceof Error && 'errno' in thrown && typeof thrown.errno === 'number';
}

/** ENOSPC of the system, or SQLite's word for it. */
export function isFullDisk(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  const code = 'code' in thrown ? thrown.code : undefined;
  return code === 'ENOSPC' || code === 'SQLITE_FULL' || isFullDisk(thrown.cause);
}

/** Names may hold any character: a newline in one must not make two lines of a message. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}
