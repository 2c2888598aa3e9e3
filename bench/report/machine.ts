/** What a table was measured on. */
import { readFileSync } from 'node:fs';
import os from 'node:os';

export interface Circumstances {
  readonly date: string;
  readonly command: string;
  readonly kind: string;
  readonly rounds: number;
  /** Load averages of a minute, as sampled during the run. */
  readonly loads: readonly number[];
}

export function kernel(): string {
  return os.release();
}

export function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
}

/** One paragraph. */
export function circumstances({ date, command, kind, rounds, loads }: Circumstances): string {
  const memory = Math.round(os.totalmem() / 2 ** 30);
  const span = loads.length === 0 ? '' : ` Load average ${Math.min(...loads)} to ${Math.max(...loads)}.`;
  return (
    `${date}, ${os.cpus().length} cores (${os.cpus()[0]?.model.trim() ?? 'unknown'}), ${memory} GiB of memory, ` +
    `kernel ${os.release()}, Node ${process.versions.node}, ${kind} on a loop device. ` +
    `Medians of ${rounds} round${rounds === 1 ? '' : 's'} in turn, ratios that of each round.${span} \`${command}\``
  );
}
