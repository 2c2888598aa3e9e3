/**
 * A crew: a few child processes that do one part each of the same work, started together once all of them are ready.
 * Whoever uses a mount does so from processes like these, never from the one that serves or stops it.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';

/** What a member's work returns. */
export interface Amount {
  readonly files: number;
  readonly bytes: number;
}

/** What a member reports when its part is done. Times are `Date.now()`. */
export interface MemberReport extends Amount {
  readonly startedAt: number;
  readonly endedAt: number;
  /** Processor milliseconds of this process since it started its part: input, SHA-256 and its own system calls. */
  readonly cpuMs: number;
}

export interface CrewReport extends Amount {
  /** From the first member's start to the last one's end. */
  readonly seconds: number;
  /** Summed over all members. */
  readonly cpuSeconds: number;
}

export interface Crew<Task> {
  /** The compiled module that the children run; it calls `serveMember`. */
  readonly module: string;
  readonly tasks: readonly Task[];
  /** Tasks that each member does at a time: the threads it gets for them. */
  readonly concurrency: number;
  /** Until every member has reported; then all are killed. */
  readonly timeoutMs: number;
}

type Message =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly report: MemberReport }
  | { readonly kind: 'failed'; readonly reason: string };

/** Runs all tasks at once, one process each. Rejects with the first member's failure after killing the others. */
export async function runCrew<Task extends object>(crew: Crew<Task>): Promise<CrewReport> {
  const env = { ...process.env, UV_THREADPOOL_SIZE: String(crew.concurrency) };
  const members = crew.tasks.map((task) => {
    const child = fork(crew.module, [JSON.stringify(task)], { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    return { child, ...followMember(child) };
  });
  const reports = Promise.all(members.map((member) => member.report));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const seconds = crew.timeoutMs / 1000;
    timer = setTimeout(() => reject(new Error(`not done after ${seconds} s, the time allowed`)), crew.timeoutMs);
  });
  try {
    await Promise.race([Promise.all(members.map((member) => member.ready)), reports, late]);
    for (const { child } of members) child.send('go');
    return summed(await Promise.race([reports, late]));
  } finally {
    clearTimeout(timer);
    for (const { child } of members) if (child.exitCode === null) child.kill('SIGKILL');
  }
}

function followMember(child: ChildProcess): { ready: Promise<void>; report: Promise<MemberReport> } {
  let markReady = (): void => undefined;
  const ready = new Promise<void>((resolve) => {
    markReady = resolve;
  });
  const report = new Promise<MemberReport>((resolve, reject) => {
    child.on('message', (message: Message) => {
      if (message.kind === 'ready') markReady();
      else if (message.kind === 'done') resolve(message.report);
      else reject(new Error(message.reason));
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => reject(new Error(`a child process ended early (${signal ?? `exit ${code}`})`)));
  });
  return { ready, report };
}

function summed(reports: readonly MemberReport[]): CrewReport {
  const sum = (of: (report: MemberReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const start = Math.min(...reports.map((report) => report.startedAt));
  const end = Math.max(...reports.map((report) => report.endedAt));
  return {
    files: sum((report) => report.files),
    bytes: sum((report) => report.bytes),
    seconds: Math.max(end - start, 1) / 1000,
    cpuSeconds: sum((report) => report.cpuMs) / 1000,
  };
}

/**
 * The child's side: `prepare` gets the task and returns the work, which starts when all members are ready. The process
 * ends with its parent.
 */
export function serveMember<Task>(prepare: (task: Task) => () => Promise<Amount>): void {
  const send = (message: Message): void => {
    process.send?.(message);
  };
  const fail = (thrown: unknown): void => {
    send({ kind: 'failed', reason: thrown instanceof Error ? thrown.message : String(thrown) });
    process.disconnect();
  };
  process.once('disconnect', () => process.exit());
  try {
    const work = prepare(JSON.parse(process.argv[2] ?? 'null'));
    process.once('message', () => {
      timed(work)
        .then((report) => {
          send({ kind: 'done', report });
          process.disconnect();
        })
        .catch(fail);
    });
    send({ kind: 'ready' });
  } catch (thrown) {
    fail(thrown);
  }
}

async function timed(work: () => Promise<Amount>): Promise<MemberReport> {
  const startedAt = Date.now();
  const before = process.cpuUsage();
  const amount = await work();
  const { user, system } = process.cpuUsage(before);
  return { ...amount, startedAt, endedAt: Date.now(), cpuMs: (user + system) / 1000 };
}

/** `count` workers, each taking the next item when it is done with one. Ends with the first failure. */
export async function inParallel<Item>(
  items: readonly Item[],
  { count, each }: { count: number; each: (item: Item, worker: number) => Promise<void> },
): Promise<void> {
  let next = 0;
  const work = async (worker: number): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await each(item, worker);
  };
  await Promise.all(Array.from({ length: count }, (_, worker) => work(worker)));
}

/** The compiled form of a module beside this one: children run JavaScript also where the tests run the sources. */
export function compiledModule(name: string): string {
  const here = import.meta.dirname;
  return import.meta.filename.endsWith('.ts')
    ? join(here, '..', '..', 'dist', 'bench', 'studies', `${name}.js`)
    : join(here, `${name}.js`);
}
