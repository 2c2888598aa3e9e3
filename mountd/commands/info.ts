/** `pacsfs info PATH`: where a file, its name and its bytes lie. */
import { askLive, daemonOf } from '../live_daemon.ts';
import { print, printJson, renderFields } from '../output.ts';
import { patientStat } from '../patient_stat.ts';

export interface InfoOptions {
  readonly json?: boolean;
}

const TIMEOUT_MS = 30_000;

export async function info(path: string, options: InfoOptions): Promise<void> {
  const daemon = daemonOf(path, { withinMount: true });
  const { ino } = await patientStat(path);
  const answer = await askLive(daemon, { method: 'GET', path: `/inode/${ino}`, timeoutMs: TIMEOUT_MS });
  const found = { path, ...(answer as object) };
  if (options.json === true) printJson(found);
  else print(renderFields(found));
}
