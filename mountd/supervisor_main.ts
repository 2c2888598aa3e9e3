/** The supervisor as a process of its own, for mounts in the background. Standard error is the store's log. */
import { closeSync, writeSync } from 'node:fs';
import { FAILED, Failure } from './failure.ts';
import { type MountRequest, REPORT_FD, type SupervisorReport } from './messages.ts';
import { supervise } from './supervisor.ts';

let reported = false;

/** Tells whoever started this process, once; it may have gone. */
function report(what: SupervisorReport): void {
  if (reported) return;
  reported = true;
  try {
    writeSync(REPORT_FD, `${JSON.stringify(what)}\n`);
    closeSync(REPORT_FD);
  } catch {
    // Nobody listens any more.
  }
}

function say(line: string): void {
  const time = new Date().toISOString();
  process.stderr.write(`${JSON.stringify({ level: 'warn', time, name: 'supervisor', pid: process.pid, msg: line })}\n`);
}

async function main(): Promise<never> {
  try {
    const request = JSON.parse(process.argv[2] ?? '') as MountRequest;
    process.exitCode = await supervise(request, { ready: () => report({ kind: 'ready' }), say });
  } catch (error) {
    const exitCode = error instanceof Failure ? error.exitCode : FAILED;
    const message = error instanceof Error ? error.message : String(error);
    say(error instanceof Failure || !(error instanceof Error) ? message : (error.stack ?? message));
    report({ kind: 'failed', message, exitCode });
    process.exitCode = exitCode;
  }
  process.exit();
}

void main();
