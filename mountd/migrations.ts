/** The daemon's side of `pacsfs tier`: what is asked and shown of migrations, and why one cannot begin, in words. */
import { E, isErrno, type Result } from '../base/errno.ts';
import { type Ino, ino } from '../base/units.ts';
import type { Filesystem } from '../fs/filesystem.ts';
import { isOver, type MigrationJob, type MigrationState, ROOTS_MAX, type Stay } from '../fs/migration_job.ts';
import { type ControlClient, QueryError } from './control_client.ts';
import { Failure } from './failure.ts';

const TIMEOUT_MS = 30_000;

/** Body of `POST /tier/move`. */
export interface MoveRequest {
  readonly request: string;
  readonly roots: readonly number[];
  readonly to: string;
}

export type MigrationQuery =
  | { readonly kind: 'move'; readonly move: MoveRequest }
  | { readonly kind: 'status' }
  | { readonly kind: 'history' };

/** One as commands show it; times in ISO 8601. */
export interface ShownMigration {
  readonly id: number;
  readonly state: MigrationState;
  readonly to: string;
  readonly filesMoved: number;
  readonly filesToDo: number;
  readonly bytesMoved: number;
  readonly bytesToDo: number;
  /** Files that stay where they are, by the reason. */
  readonly stay: Stay;
  readonly began: string;
  readonly ended: string | null;
  readonly reason: string | null;
  readonly retries: number;
  /** When it is tried again; null when it is not, or is under way. */
  readonly nextTry: string | null;
  /** Nothing is done about it any more. */
  readonly isOver: boolean;
}

/** Status also tells why nothing goes on. */
export interface MigrationsStatus {
  readonly migrations: readonly ShownMigration[];
  readonly broken: string | null;
}

/** On the control thread. */
export function answerMigrations(filesystem: Filesystem, query: MigrationQuery): Result<unknown> {
  const { migrator } = filesystem;
  const broken = filesystem.status().broken ?? null;
  if (query.kind === 'history') return { migrations: migrator.list.history.map(shown), broken };
  if (query.kind === 'status')
    return { migrations: migrator.list.pending.map((job) => shown(migrator.shown(job))), broken };
  const { roots, request, to } = query.move;
  const job = migrator.list.ask({ request, to, roots: roots.map((root): Ino => ino(root)) });
  if (isErrno(job)) return job;
  return broken === null ? { migrations: [shown(migrator.shown(job))], broken } : E.EROFS;
}

function shown(job: MigrationJob): ShownMigration {
  const { id, state, to, toDo, moved, stay, reason, retries } = job;
  const over = isOver(job);
  return {
    ...{ id, state, to, filesMoved: moved.files, filesToDo: Math.max(toDo.files, moved.files) },
    ...{ bytesMoved: moved.bytes, bytesToDo: Math.max(toDo.bytes, moved.bytes), stay, began: isoTime(job.beganSec) },
    ended: over ? isoTime(job.endedSec) : null,
    reason: reason === '' ? null : reason,
    retries,
    nextTry: state === 'failed' && !over ? isoTime(job.nextTrySec) : null,
    isOver: over,
  };
}

function isoTime(sec: number): string {
  return new Date(sec * 1_000).toISOString();
}

/** On the main thread. */
export async function askMigrations(
  store: string,
  { query, control }: { readonly query: MigrationQuery; readonly control: ControlClient },
): Promise<MigrationsStatus> {
  try {
    return (await control.ask({ kind: 'migrations', query }, TIMEOUT_MS)) as MigrationsStatus;
  } catch (thrown) {
    if (!(thrown instanceof QueryError)) throw thrown;
    const to = query.kind === 'move' ? query.move.to : '';
    const reasons: Readonly<Record<string, string>> = {
      EROFS: 'it takes no changes; see `pacsfs status`',
      ENOSPC: 'the metadata disk is short of room; free some space there first',
      ENOENT: `it has no tier or volume '${to}'; \`pacsfs status\` shows which it has`,
      EOPNOTSUPP: `'${to}' is erasure-coded, where nothing moves to yet; name a volume of kind 'dir'`,
      EAGAIN: 'too many migrations wait already; see `pacsfs tier status`',
    };
    throw new Failure(`Cannot move files in ${store}: ${reasons[thrown.errno] ?? thrown.errno}`);
  }
}

/** Undefined for what is no such body. */
export function moveRequestOf(value: unknown): MoveRequest | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { request, roots, to } = value as Readonly<Record<string, unknown>>;
  if (typeof request !== 'string' || !/^[0-9a-f-]{1,64}$/.test(request)) return undefined;
  if (typeof to !== 'string' || to.length === 0 || to.length > 255) return undefined;
  const isInode = (root: unknown) => typeof root === 'number' && Number.isSafeInteger(root) && root >= 1;
  if (!Array.isArray(roots) || roots.length === 0 || roots.length > ROOTS_MAX || !roots.every(isInode))
    return undefined;
  return { request, roots: roots as number[], to };
}
