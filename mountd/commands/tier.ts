/** `pacsfs tier move`, `tier status`, `tier history`: files on their way between volumes of a mounted store. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { approximateSize } from '../../base/sizes.ts';
import { ROOTS_MAX, STAY_REASONS, type StayReason } from '../../fs/migration_job.ts';
import { Failure, usage } from '../failure.ts';
import { askLive, daemonOf, type LiveDaemon } from '../live_daemon.ts';
import type { MigrationsStatus, MoveRequest, ShownMigration } from '../migrations.ts';
import { print, printJson } from '../output.ts';
import { patientStat } from '../patient_stat.ts';
import { MoveBar } from './move_bar.ts';

export interface MoveOptions {
  readonly to: string;
  readonly wait?: boolean;
  readonly json?: boolean;
}

export interface ShowOptions {
  readonly json?: boolean;
}

const ASK_TIMEOUT_MS = 30_000;
const LOOK_MS = 250;

const WHY: Readonly<Record<StayReason, string>> = {
  dedicated: 'large, in a file of its own, which does not move yet',
  open: 'being written, or not packed',
  changed: 'changed while being copied',
  shared: 'sharing bytes with too many others, or with some that are busy',
  damaged: 'with a block that cannot be read, see the log',
  unreachable: 'on a volume that is missing, or in a directory that cannot be read',
};

export async function moveFiles(paths: readonly string[], options: MoveOptions): Promise<void> {
  const daemons = paths.map((path) => daemonOf(path, { withinMount: true }));
  const [daemon] = daemons;
  if (daemon === undefined) throw usage('Cannot move: no path given');
  const other = daemons.find(({ store }) => store !== daemon.store);
  if (other !== undefined)
    throw usage(`Cannot move within more than one store: paths in ${daemon.store} and ${other.store} given`);
  const requests = await requestsOf(paths, options.to);
  let migrations = await askAll(daemon, requests);
  if (options.wait === true) migrations = await waitFor(daemon, { requests, migrations });
  const { store } = daemon;
  if (options.json === true) printJson({ store, migrations });
  else for (const each of migrations) print(textOf(each));
  if (options.wait === true) throwIfNotThere(store, migrations);
}

/** What names a request says which one it is, should it be sent again to another daemon. */
async function requestsOf(paths: readonly string[], to: string): Promise<MoveRequest[]> {
  const roots: number[] = [];
  for (const path of paths) roots.push(Number((await patientStat(path)).ino));
  const requests: MoveRequest[] = [];
  for (let at = 0; at < roots.length; at += ROOTS_MAX)
    requests.push({ request: randomUUID(), roots: roots.slice(at, at + ROOTS_MAX), to });
  return requests;
}

async function askAll(daemon: LiveDaemon, requests: readonly MoveRequest[]): Promise<ShownMigration[]> {
  const migrations: ShownMigration[] = [];
  for (const body of requests) {
    const call = { method: 'POST', path: '/tier/move', timeoutMs: ASK_TIMEOUT_MS, body } as const;
    migrations.push(...((await askLive(daemon, call)) as MigrationsStatus).migrations);
  }
  return migrations;
}

/** To ask for the same again tells how far it is, and begins it anew where a power cut has taken it back. */
async function waitFor(
  daemon: LiveDaemon,
  begun: { readonly requests: readonly MoveRequest[]; readonly migrations: ShownMigration[] },
): Promise<ShownMigration[]> {
  const bar = new MoveBar();
  let { migrations } = begun;
  try {
    while (migrations.some(({ state }) => state === 'planned' || state === 'copying')) {
      bar.draw(migrations);
      await sleep(LOOK_MS);
      migrations = await askAll(daemon, begun.requests);
    }
  } finally {
    bar.end();
  }
  return migrations;
}

function throwIfNotThere(store: string, migrations: readonly ShownMigration[]): void {
  const failed = migrations.find(({ state }) => state === 'failed');
  if (failed !== undefined) {
    const next = failed.nextTry === null ? 'it is not tried again' : `tried again at ${failed.nextTry}`;
    throw new Failure(`Cannot move all to ${failed.to} in ${store}: ${failed.reason}; ${next}`);
  }
  const left = staying(migrations);
  if (left !== '') throw new Failure(`Not all is on ${migrations[0]?.to} in ${store}: ${left}`);
}

function staying(migrations: readonly ShownMigration[]): string {
  const counts = STAY_REASONS.map(
    (reason) => [reason, migrations.reduce((sum, { stay }) => sum + stay[reason], 0)] as const,
  );
  return counts
    .flatMap(([reason, files]) =>
      files > 0 ? [`${count(files)} ${files === 1 ? 'file' : 'files'} ${WHY[reason]}`] : [],
    )
    .join('; ');
}

export async function tierStatus(target: string, options: ShowOptions): Promise<void> {
  await show(target, { path: '/tier', none: 'no files are on their way', ...options });
}

export async function tierHistory(target: string, options: ShowOptions): Promise<void> {
  await show(target, { path: '/tier/history', none: 'no migration has ended yet', ...options });
}

async function show(target: string, of: ShowOptions & { readonly path: string; readonly none: string }): Promise<void> {
  const daemon = daemonOf(target);
  const call = { method: 'GET', path: of.path, timeoutMs: ASK_TIMEOUT_MS } as const;
  const { migrations, broken } = (await askLive(daemon, call)) as MigrationsStatus;
  const { store } = daemon;
  if (of.json === true) printJson({ store, migrations, broken });
  else if (migrations.length === 0) print(`${store}: ${of.none}`);
  else for (const each of migrations) print(textOf(each));
}

function textOf(migration: ShownMigration): string {
  const { id, state, to, filesMoved, filesToDo, bytesMoved, bytesToDo, reason, nextTry } = migration;
  const far = `${count(filesMoved)} of ${count(filesToDo)} files, ${approximateSize(bytesMoved)} of ${approximateSize(bytesToDo)}`;
  const why = reason === null ? '' : `: ${reason}${nextTry === null ? '' : `, tried again at ${nextTry}`}`;
  const left = staying([migration]);
  return `migration ${id} to ${to}, ${state}${why}: ${far}${left === '' ? '' : `; these stay: ${left}`}`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}
