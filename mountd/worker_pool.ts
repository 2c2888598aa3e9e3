/**
 * The control thread's side of the workers. Each takes its jobs in turn, so what matters is behind what a job has to wait:
 * nothing for which a program waits (a barrier's flush, a copy at fsync) goes behind what may take seconds (punches,
 * write-back, a flush of much data). The first worker never gets such, whatever else there is to do.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import type { AwaitedKind, WorkerDone, WorkerJob, WorkerJobs } from '../fs/types.ts';

/** What a job costs those behind it, roughly: milliseconds. */
const URGENT = 1;
const PACK = 10;
const LONG = 1_000;
/** Never on the first worker, but before another place behind what takes long. */
const WRITE = 20;

/** What a worker rings when it has posted an answer. */
export interface PoolBell {
  /** Sleeps until it rings, or a while; silences it. */
  wait(): void;
  ring(): void;
}

export class WorkerPool implements WorkerJobs {
  readonly #ports: readonly MessagePort[];
  readonly #bell: PoolBell;
  /** Answers that came while another one was waited for, in their order. */
  #kept: WorkerDone[] = [];
  /** Costs of the jobs that each worker has and has not answered, in their order; the core bounds them. */
  readonly #pending: readonly number[][];
  readonly #costs: number[];

  constructor(ports: readonly MessagePort[], bell: PoolBell) {
    assert(ports.length > 0, 'No workers, expected at least 1');
    this.#bell = bell;
    this.#ports = ports;
    this.#pending = ports.map(() => []);
    this.#costs = ports.map(() => 0);
  }

  post(job: WorkerJob): void {
    const cost = costOf(job);
    const index = leastBurdened(this.#costs, cost);
    this.#pending[index]?.push(cost);
    this.#costs[index] = (this.#costs[index] ?? 0) + cost;
    this.#ports[index]?.postMessage(job);
  }

  /** Hands over everything that is done by now, without waiting. */
  collect(take: (done: WorkerDone) => void): void {
    this.#receive();
    // Whoever takes one may wait for another: then that one is none of these any more.
    for (let next = this.#kept.shift(); next !== undefined; next = this.#kept.shift()) take(next);
  }

  await<K extends AwaitedKind>(kind: K, id: number): Extract<WorkerDone, { readonly kind: K }> {
    for (;;) {
      this.#receive();
      const index = this.#kept.findIndex((done) => done.kind === kind && idOf(done) === id);
      if (index < 0) {
        this.#bell.wait();
        continue;
      }
      const [done] = this.#kept.splice(index, 1);
      // The others, and what the main thread may have said meanwhile, are heard in their turn.
      this.#bell.ring();
      return done as Extract<WorkerDone, { readonly kind: K }>;
    }
  }

  #receive(): void {
    for (const [index, port] of this.#ports.entries()) {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        const cost = this.#pending[index]?.shift() ?? 0;
        this.#costs[index] = (this.#costs[index] ?? 0) - cost;
        this.#kept.push(next.message as WorkerDone);
      }
    }
  }
}

function idOf(done: WorkerDone): number | undefined {
  if (done.kind === 'pack') return done.result.id;
  return 'id' in done ? done.id : undefined;
}

function costOf(job: WorkerJob): number {
  if (job.kind === 'flush') return job.isLong ? LONG : URGENT;
  if (job.kind === 'pack' && (job.job.ahead !== undefined || job.job.moves !== undefined)) return LONG;
  if (job.kind === 'pack') return job.isUrgent ? URGENT : PACK;
  if (job.kind === 'write' || job.kind === 'checkpoint' || job.kind === 'own') return WRITE;
  if (job.kind === 'compare') return PACK;
  return LONG;
}

/** The worker to which a job of this cost goes; the first is kept for short ones. */
export function leastBurdened(costs: readonly number[], cost: number): number {
  let best = costs.length > 1 && cost >= WRITE ? 1 : 0;
  // A segment takes the first worker only when it would have to wait elsewhere.
  const handicap = cost === PACK ? PACK - 1 : 0;
  const burden = (index: number) => (costs[index] ?? 0) + (index === 0 ? handicap : 0);
  for (let index = best + 1; index < costs.length; index++) if (burden(index) < burden(best)) best = index;
  return best;
}
