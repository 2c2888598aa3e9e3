/**
 * `make bench` and `make bench-full WORKLOAD=NAME`: pacsfs against the filesystem below it and other FUSE filesystems, in
 * turn, on an image of its own. See USAGE.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canMake } from './disk/disk.ts';
import { LoadProgram } from './load/load_program.ts';
import { PEER_NAMES } from './mount/peers.ts';
import { judge, type Round, tableOf } from './report/judge.ts';
import { circumstances, kernel, loadAverage } from './report/machine.ts';
import { replaceSection } from './report/markers.ts';
import { runRounds } from './run/rounds.ts';
import { RunState } from './run/state.ts';
import type { Workload } from './run/workload.ts';
import { FULL_WORKLOADS } from './workloads/index.ts';
import { mustShow } from './workloads/must_show.ts';

const CHECKOUT = join(import.meta.dirname, '..', '..');
const KINDS = ['ext4', 'xfs'] as const;
type Kind = (typeof KINDS)[number];

const USAGE = `Usage: main.js [full [WORKLOAD]]

Without arguments: what the data path has to show, on one ext4 image, in under 15 minutes on 2 quiet cores. With 'full' and
a workload: that one on ext4 and XFS images; one that was interrupted goes on where it was. As root. Prints a table and
puts it into docs/benchmarks.md.

${FULL_WORKLOADS.map(({ name, what }) => `  ${name.padEnd(12)} ${what}`).join('\n')}

PACSFS_BENCH_DIR             where images are made and unfinished runs are noted (default /var/tmp)
PACSFS_BENCH_OPTIONS         mount options of pacsfs, as for -o
PACSFS_BENCH_PEERS           which of ${PEER_NAMES.join(', ')} take part (default all that run)
PACSFS_BENCH_PASSTHROUGH_HP  path of libfuse's example passthrough_hp, built
PACSFS_BENCH_ROUNDS          rounds (default 3)
PACSFS_BENCH_SCALE           what numbers of files and sizes are multiplied by (default 1)
PACSFS_BENCH_KINDS           of 'full': ext4, xfs or both (default ext4,xfs)
PACSFS_BENCH_DOCUMENT        the document that gets the table (default docs/benchmarks.md)
`;

class Settings {
  readonly parent = process.env['PACSFS_BENCH_DIR'] ?? '/var/tmp';
  readonly options = process.env['PACSFS_BENCH_OPTIONS'] ?? '';
  readonly peers = listOf('PACSFS_BENCH_PEERS', PEER_NAMES);
  readonly rounds = numberOf('PACSFS_BENCH_ROUNDS', 3);
  readonly scale = numberOf('PACSFS_BENCH_SCALE', 1);
  readonly kinds = listOf('PACSFS_BENCH_KINDS', KINDS);
  readonly document = process.env['PACSFS_BENCH_DOCUMENT'] ?? join(CHECKOUT, 'docs', 'benchmarks.md');
}

function listOf(name: string, all: readonly string[]): readonly string[] {
  const value = process.env[name];
  if (value === undefined) return all;
  const wanted = value.split(',').filter((part) => part !== '');
  const unknown = wanted.find((part) => !all.includes(part));
  if (unknown !== undefined) throw new Error(`${name} names ${unknown}, expected some of ${all.join(', ')}`);
  return wanted;
}

function numberOf(name: string, initial: number): number {
  const value = Number(process.env[name] ?? initial);
  if (!(value > 0)) throw new Error(`${name} is ${process.env[name]}, expected a number above 0`);
  return value;
}

/** One workload on one kind of filesystem: the rounds that are missing, then the table, printed and written. */
class Report {
  readonly #settings: Settings;
  readonly #workload: Workload;
  readonly #command: string;
  readonly #notes = new Set<string>();
  readonly #loads: number[] = [];
  readonly #isInterrupted: () => boolean;

  constructor(settings: Settings, of: { workload: Workload; command: string; isInterrupted: () => boolean }) {
    this.#settings = settings;
    this.#workload = of.workload;
    this.#command = of.command;
    this.#isInterrupted = of.isInterrupted;
  }

  async run(kind: Kind, of: { load: LoadProgram; before: readonly Round[]; done(round: Round): void }): Promise<void> {
    const { parent, peers, scale, rounds } = this.#settings;
    const found = [...of.before];
    const note = (sentence: string) => this.#notes.add(sentence);
    if (scale !== 1) note(`Numbers and sizes multiplied by ${scale}: a trial of the benchmark, no measurement.`);
    const done = (round: Round) => {
      this.#loads.push(loadAverage());
      found.push(round);
      of.done(round);
    };
    this.#loads.push(loadAverage());
    const { load } = of;
    const tell = (line: string) => console.error(line);
    const isInterrupted = this.#isInterrupted;
    await runRounds(
      { workload: this.#workload, kind, parent, peers, scale, load, note, tell, isInterrupted },
      { first: found.length, end: rounds, done },
    );
    this.#write(kind, found);
  }

  #write(kind: Kind, rounds: readonly Round[]): void {
    const { document } = this.#settings;
    const { name, rows } = this.#workload;
    const ran = this.#settings.peers.filter((peer) => rounds.some((round) => round[peer] !== undefined));
    const about = circumstances({
      date: new Date().toISOString().slice(0, 10),
      command: this.#command,
      kind,
      rounds: rounds.length,
      loads: this.#loads,
    });
    const appendix = this.#workload.appendix?.(rounds, { kind, folder: dirname(document) }) ?? '';
    const parts = [about, tableOf(judge(rows, rounds, ran)), [...this.#notes].join('\n'), appendix];
    const section = parts.filter((part) => part !== '').join('\n\n');
    console.log(`\n${section}`);
    const title = `### ${name}, ${kind}`;
    const text = replaceSection(readFileSync(document, 'utf8'), `${name} ${kind}`, `${title}\n\n${section}`);
    writeFileSync(document, text);
  }
}

interface Tools {
  readonly load: LoadProgram;
  readonly isInterrupted: () => boolean;
}

async function short(settings: Settings, { load, isInterrupted }: Tools): Promise<void> {
  const command = commandOf(settings, 'make bench');
  const report = new Report(settings, { workload: mustShow, command, isInterrupted });
  await report.run('ext4', { load, before: [], done: () => {} });
}

async function full(settings: Settings, of: Tools & { workload: Workload }): Promise<void> {
  const { workload, load, isInterrupted } = of;
  const { options, scale } = settings;
  const key = { workload: workload.name, options, scale, kernel: kernel(), program: programVersion() };
  const state = new RunState(settings.parent, key);
  const command = commandOf(settings, `make bench-full WORKLOAD=${workload.name}`);
  for (const kind of KINDS.filter((one) => settings.kinds.includes(one))) {
    if (!canMake(kind)) {
      console.log(`Skipped: ${kind}: this machine cannot make or mount it.`);
      continue;
    }
    const before = state.rounds(kind);
    if (before.length > 0) console.error(`${kind}: ${before.length} rounds are in ${state.path}`);
    const report = new Report(settings, { workload, command, isInterrupted });
    await report.run(kind, { load, before, done: (round) => state.add(kind, round) });
  }
  state.remove();
}

/** Figures of two builds are not for one table. */
function programVersion(): string {
  const git = (args: readonly string[]) => execFileSync('git', args, { cwd: CHECKOUT, encoding: 'utf8' }).trim();
  try {
    return `${git(['rev-parse', 'HEAD'])} ${git(['status', '--porcelain', '--', 'base', 'fs', 'shard', 'aggregate', 'mountd'])}`;
  } catch {
    return 'unknown';
  }
}

function commandOf({ options }: Settings, command: string): string {
  return options === '' ? command : `PACSFS_BENCH_OPTIONS=${options} ${command}`;
}

async function main(): Promise<number> {
  const [mode, name, ...rest] = process.argv.slice(2);
  const workload = FULL_WORKLOADS.find((one) => one.name === name);
  const isKnown = mode === undefined || (mode === 'full' && rest.length === 0);
  if (!isKnown || (mode === 'full' && workload === undefined)) {
    const isQuestion = mode === '--help' || (mode === 'full' && (name ?? '') === '');
    (isQuestion ? process.stdout : process.stderr).write(USAGE);
    return isQuestion ? 0 : 2;
  }
  const settings = new Settings();
  let isStopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (isStopping = true));
  const isInterrupted = () => isStopping;
  const load = new LoadProgram();
  try {
    if (workload === undefined) await short(settings, { load, isInterrupted });
    else await full(settings, { workload, load, isInterrupted });
    return 0;
  } finally {
    load.remove();
  }
}

try {
  process.exitCode = await main();
} catch (thrown) {
  console.error(`Cannot finish: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  process.exitCode = 1;
}
