/** A tour of titled steps: each shows the command that it runs, then what the command said. */
import { type ChildProcess, spawn } from 'node:child_process';

export interface TourOptions {
  /** Where the commands run. */
  readonly folder: string;
  /** Folder put in front of PATH, so that `pacsfs` is this checkout's. */
  readonly bin: string;
  /** Called when a command overruns its time, before it is killed: who waits for a dead mount cannot be killed first. */
  readonly onTimeout: () => void;
}

export interface CommandOptions {
  /** Default 60. */
  readonly seconds?: number;
}

const TITLE = ['\u001b[1m', '\u001b[0m'] as const;
const COMMAND = ['\u001b[36m', '\u001b[0m'] as const;

export class Tour {
  readonly #options: TourOptions;
  readonly #variables: Record<string, string> = {};
  readonly #colours = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
  #steps = 0;
  #stopped = false;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: TourOptions) {
    this.#options = options;
  }

  step(title: string): void {
    this.#steps++;
    this.say(`\n${this.#paint(`${this.#steps}. ${title}`, TITLE)}`);
  }

  say(line: string): void {
    process.stdout.write(`${line}\n`);
  }

  /** What a line of bash prints becomes a shell variable of all later commands. */
  async assign(name: string, line: string): Promise<void> {
    const value = (await this.#run(line, { shown: `${name}=$(${line})` })).trim();
    this.#variables[name] = value;
  }

  /** Runs one line of bash and returns its standard output. Throws with the line and its last words when it fails. */
  command(line: string, options: CommandOptions = {}): Promise<string> {
    return this.#run(line, { shown: line, ...options });
  }

  async #run(line: string, options: CommandOptions & { shown: string }): Promise<string> {
    if (this.#stopped) throw new Error('the tour was stopped');
    this.say(`   ${this.#paint(`$ ${options.shown}`, COMMAND)}`);
    const seconds = options.seconds ?? 60;
    // A group of its own: on a Ctrl-C the demo decides in which order things end.
    const child = spawn('bash', ['-o', 'pipefail', '-c', line], {
      cwd: this.#options.folder,
      detached: true,
      env: {
        ...process.env,
        ...this.#variables,
        LC_ALL: 'C.UTF-8',
        PATH: `${this.#options.bin}:${process.env['PATH']}`,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#options.onTimeout();
      this.#kill();
    }, seconds * 1000);
    const said = { output: '', errors: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said.output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said.errors += text;
    });
    const code = new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
    this.#ended = code.then(
      () => undefined,
      () => undefined,
    );
    try {
      const status = await code;
      this.#show(said.output);
      if (late) throw new Error(`'${line}' was not done after ${seconds} s`);
      if (status !== 0) throw new Error(`'${line}' ended with ${status ?? 'a signal'}: ${lastWords(said)}`);
      return said.output;
    } finally {
      clearTimeout(timer);
      this.#child = undefined;
    }
  }

  /** Kills the command that runs, with all its children; no other one starts. */
  stop(): void {
    this.#stopped = true;
    this.#kill();
  }

  #kill(): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended by itself in the meantime.
    }
  }

  /** Settles when no command runs any more. */
  async quiet(): Promise<void> {
    await this.#ended;
  }

  #show(output: string): void {
    for (const line of output.trimEnd().split('\n')) if (line !== '') this.say(`   ${line}`);
  }

  #paint(text: string, [before, after]: readonly [string, string]): string {
    return this.#colours ? before + text + after : text;
  }
}

function lastWords({ output, errors }: { output: string; errors: string }): string {
  const words = errors.trim() || output.trim();
  return words.split('\n').slice(-3).join(' | ') || 'it said nothing';
}
