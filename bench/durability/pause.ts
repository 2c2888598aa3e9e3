/** How long clients wait when the daemon of a large store is killed: supervisor, replacement, recovery, resend. */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { quantile } from '../quantile.ts';
import type { LightReport, LightTask } from './light_member.ts';
import { row } from './table.ts';

const HERE = import.meta.dirname;
const PACSFS = join(HERE, '..', '..', '..', 'bin', 'pacsfs');
const KILLS = 10;
const CLIENTS = 6;
/** Between two kills: long enough that one has nothing to do with the other. */
const BETWEEN_MS = 4_000;
/** After a mount a spare daemon is started 10 s later, and ready after some more. */
const SPARE_MS = 13_000;
const FOLDERS = 40;
const COMMAND_MS = 3_600_000;

/** `store`: a populated one; without it one is made in `folder`, which takes minutes. */
export async function pause(folder: string, of: { files: number; store?: string; targetMs: number }): Promise<void> {
  const store = of.store ?? populate(join(folder, `store${of.files}`), of.files);
  const mountPoint = join(folder, 'mnt');
  mkdirSync(mountPoint, { recursive: true });
  pacsfs(['mount', store, mountPoint, '-o', 'restarts=1000000']);
  try {
    const clients = Array.from({ length: CLIENTS }, (_, seed) => startClient(mountPoint, seed));
    await Promise.all(clients.map(({ ready }) => ready));
    const kills: number[] = [];
    await sleep(SPARE_MS);
    for (let kill = 0; kill < KILLS; kill++) {
      kills.push(killDaemon(store));
      await sleep(BETWEEN_MS + ((kill * 137) % 1_000));
    }
    const reports = await Promise.all(clients.map(({ report }) => report()));
    show(reports, kills, of);
  } finally {
    pacsfs(['unmount', mountPoint]);
  }
}

function show(
  reports: readonly LightReport[],
  kills: readonly number[],
  of: { files: number; targetMs: number },
): void {
  const perKill = kills.map((killed) =>
    reports.map(({ slow }) =>
      Math.max(
        0,
        ...slow
          .filter(([start, length]) => start < killed + BETWEEN_MS * 1e6 && start + length > killed)
          .map(([start, length]) => (start + length - Math.max(start, killed)) / 1e6),
      ),
    ),
  );
  const longest = perKill.map((waits) => Math.max(...waits));
  const errors = reports.flatMap((report) => report.errors);
  const calls = reports.reduce((sum, report) => sum + report.calls, 0);
  console.log(
    `\nkill -9 of the daemon, ${of.files.toLocaleString('en-US')} files, ${CLIENTS} clients, ${calls} calls\n`,
  );
  console.log(row(['pause, ms', 'longest', 'median of longest', 'median client', 'client errors']));
  const medians = quantile(perKill.flat(), 0.5);
  console.log(
    row([
      '',
      ...[Math.max(...longest), quantile(longest, 0.5), medians].map((ms) => ms.toFixed(0)),
      `${errors.length}`,
    ]),
  );
  console.log(`longest of each kill: ${longest.map((ms) => ms.toFixed(0)).join(', ')} (target under ${of.targetMs})`);
  for (const error of errors.slice(0, 3)) console.log(`client error: ${error}`);
}

function startClient(mountPoint: string, seed: number): { ready: Promise<void>; report: () => Promise<LightReport> } {
  const top = readdirSync(mountPoint).filter((name) => name.startsWith('study-'));
  const folders = top.slice(0, FOLDERS).map((name) => join(mountPoint, name));
  const task: LightTask = { folders, folder: join(mountPoint, `client${seed}`), seed: seed + 1 };
  const child: ChildProcess = fork(join(HERE, 'light_member.js'), [JSON.stringify(task)]);
  return {
    ready: new Promise((resolve) => child.once('message', () => resolve())),
    report: () =>
      new Promise((resolve, reject) => {
        child.once('message', (report) => resolve(report as LightReport));
        child.once('exit', () => reject(new Error('A client ended without a report')));
        child.send('stop');
      }),
  };
}

/** When it was, nanoseconds of CLOCK_MONOTONIC. */
function killDaemon(store: string): number {
  const record = JSON.parse(readFileSync(join(store, 'meta', 'lock'), 'utf8')) as { daemonPid: number };
  const now = Number(process.hrtime.bigint());
  process.kill(record.daemonPid, 'SIGKILL');
  return now;
}

function populate(store: string, files: number): string {
  const program = join(HERE, '..', 'populate.js');
  execFileSync(process.execPath, [program, store, '--files', String(files)], { timeout: COMMAND_MS, stdio: 'inherit' });
  return store;
}

function pacsfs(args: readonly string[]): void {
  execFileSync(PACSFS, args, { timeout: 120_000, stdio: ['ignore', 'ignore', 'inherit'] });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
