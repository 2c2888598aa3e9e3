/** One run of the workload with one fault in it, and everything that must hold after it, whatever the fault was. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { E, type Errno, isErrno } from '../../base/errno.ts';
import type { CallFault, FaultKind } from '../support/fault_backing.ts';
import { LooseFilesystem, type LooseOptions } from '../support/loose_filesystem.ts';
import { LooseUser, ROOT_USER } from '../support/loose_user.ts';
import { differences, isMixture, isSameNode, type Node, type State, stateOf } from './faults_model.ts';
import { isPossible, PACK_BELOW, STEPS, type Stage, type Step } from './faults_steps.ts';

/** Memory, where there is some: nothing here tests a disk. */
export const SCRATCH = process.env['CRASH_FOLDER'] ?? tmpdir();
const DEATHS_MAX = 6;
const OPTIONS: LooseOptions = {
  filesystem: { packBelow: PACK_BELOW, fsyncMode: 'copy' },
  data: { ownAhead: 4 },
  namespace: { shardTxnRows: 20 },
};

type Outcome = 'done' | 'died' | Errno;

export interface Report {
  /** What the fault met; undefined when the run made fewer calls. */
  readonly met: { readonly kind: FaultKind; readonly path: string } | undefined;
  readonly violations: readonly string[];
  readonly isBroken: boolean;
  readonly deaths: number;
  readonly calls: number;
}

/** A store that every run starts from a copy of. */
export class Template {
  readonly folder = mkdtempSync(join(SCRATCH, 'pacsfs-faults-'));

  constructor() {
    const loose = new LooseFilesystem({ ...OPTIONS, folder: this.folder });
    loose.stop();
  }

  copy(): string {
    const folder = mkdtempSync(join(SCRATCH, 'pacsfs-faults-'));
    cpSync(this.folder, folder, { recursive: true });
    return folder;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class FaultRun {
  readonly #loose: LooseFilesystem;
  readonly #user: LooseUser;
  readonly #stage: Stage;
  readonly #fault: CallFault | undefined;
  readonly #violations: string[] = [];
  #state: State = new Map();
  /** What must be there after a reboot, and what was changed since. */
  #durable: State = new Map();
  readonly #touched = new Set<string>();
  #deaths = 0;
  #wasBroken = false;

  /** Opens a copy of the template, whose first open is a part of the run: faults may meet it. */
  constructor(
    template: Template,
    options: { fault?: CallFault; onCall?: (kind: FaultKind, path: string) => void } = {},
  ) {
    this.#fault = options.fault;
    this.#loose = new LooseFilesystem({ ...OPTIONS, folder: template.copy(), isFormatted: true });
    const loose = this.#loose;
    loose.kill();
    loose.backing.total = 0;
    loose.backing.onCall = options.onCall;
    if (options.fault !== undefined) loose.backing.armCall(options.fault);
    const pump = (round: number) => {
      if (round > 0) loose.work();
      loose.tick();
    };
    this.#user = new LooseUser(() => loose.filesystem, ROOT_USER, pump);
    this.#stage = { loose, user: this.#user, handles: new Map() };
  }

  run(): Report {
    const loose = this.#loose;
    try {
      this.#open(false);
      for (const step of STEPS) this.#take(step);
      const calls = loose.backing.total;
      const { met } = loose.backing;
      loose.backing.onCall = undefined;
      if (this.#violations.length === 0) this.#checkEnd();
      return { met, violations: this.#violations, isBroken: this.#wasBroken, deaths: this.#deaths, calls };
    } catch (thrown) {
      const { met, total } = loose.backing;
      const text = thrown instanceof Error ? traceOf(thrown) : String(thrown);
      const violations = [...this.#violations, `threw ${text}`];
      return { met, violations, isBroken: this.#wasBroken, deaths: this.#deaths, calls: total };
    } finally {
      loose.remove();
    }
  }

  get #isBroken(): boolean {
    return this.#loose.namespace.broken !== undefined;
  }

  // The workload

  #take(step: Step): void {
    if (typeof step.act === 'string') {
      this.#turn(step.act);
      return;
    }
    if (!isPossible(step, this.#state, this.#stage.handles)) return;
    const before = this.#state;
    const after = new Map(before);
    step.effect?.(after);
    for (const path of step.touches ?? []) this.#touched.add(path);
    const outcome = this.#attempt(() => (step.act as (stage: Stage) => unknown)(this.#stage));
    if (outcome === 'done') {
      this.#state = after;
      this.#noteDurable(step);
      return;
    }
    this.#agree(step, { outcome, before, after });
  }

  #attempt(act: () => unknown): Outcome {
    try {
      const result = act();
      return isErrno(result) ? result : 'done';
    } catch (thrown) {
      if (!isDeath(thrown)) throw thrown;
      this.#reopen(true);
      return 'died';
    }
  }

  /** What failed has changed nothing; what was not answered has been done or not; a write may have left any bytes. */
  #agree(step: Step, change: { outcome: Outcome; before: State; after: State }): void {
    const { outcome, before, after } = change;
    const found = this.#look();
    this.#state = found;
    if (differences(found, before).length === 0) return;
    const touched = step.touches ?? [];
    // A create with O_SYNC is made before its barrier, whose failure is what it answers.
    const isOpen = outcome === 'died' || (step.name === 'create d/sync' && this.#isBroken);
    const mayBeDone = isOpen && differences(found, after).length === 0;
    const isMixed = step.isWrite === true && touched.every((path) => isPartly(path, found, before, after));
    const others = differences(found, before).filter((line) => !touched.some((path) => line.startsWith(`${path}: `)));
    if (mayBeDone || (isMixed && others.length === 0)) return;
    const what = outcome === 'died' ? 'was not answered' : outcome === 'done' ? 'succeeded' : `got ${outcome.name}`;
    this.#violations.push(`'${step.name}' ${what}, and left ${differences(found, before).join(', ')}`);
  }

  #noteDurable(step: Step): void {
    if (step.durable === undefined) return;
    const kept = new Map<string, Node>();
    for (const [path, node] of this.#state) {
      const isSure = step.durable === 'all' || step.durable === path || isSameNode(this.#durable.get(path), node);
      if (isSure || node === 'folder') kept.set(path, node);
    }
    this.#durable = kept;
    this.#touched.clear();
  }

  // Starts

  #turn(kind: 'restart' | 'mount' | 'end'): void {
    const loose = this.#loose;
    if (kind === 'end' && !this.#isBroken) {
      const ended = this.#attempt(() => this.#stop());
      // A daemon that could not end in order, or died of it: what follows is a mount after a kill.
      if (ended === 'died' || this.#isBroken) loose.kill();
    } else loose.kill();
    this.#reopenAfter(kind === 'restart');
    this.#expectState(`after '${kind}'`);
  }

  #stop(): void {
    try {
      this.#loose.stop();
    } catch (thrown) {
      // One that breaks at its end says so.
      if (isDeath(thrown) || !this.#isBroken) throw thrown;
    }
  }

  #reopen(isTakeover: boolean): void {
    this.#deaths += 1;
    if (this.#deaths > DEATHS_MAX) throw new Error(`The daemon died ${this.#deaths} times`);
    try {
      this.#loose.kill();
    } catch (thrown) {
      if (!isDeath(thrown)) throw thrown;
    }
    this.#reopenAfter(isTakeover);
  }

  #reopenAfter(isTakeover: boolean): void {
    if (!isTakeover) this.#stage.handles.clear();
    this.#open(isTakeover);
  }

  /** A start that meets the fault is tried again, as the supervisor or an operator would. */
  #open(isTakeover: boolean): void {
    const loose = this.#loose;
    for (let attempt = 1; ; attempt++) {
      try {
        loose.open({ takeover: isTakeover });
        // A volume that did not answer is missing until the next mount.
        if (loose.data.missing.length === 0) return;
        loose.kill();
      } catch (thrown) {
        if (!isDeath(thrown)) throw thrown;
        this.#deaths += 1;
        if (attempt === 3) throw thrown;
        // The disk has room again, or another one has been put in.
        if (attempt === 2) loose.backing.disarm();
      }
    }
  }

  /** What there is; looking meets no fault. */
  #look(): State {
    const { backing } = this.#loose;
    backing.isPaused = true;
    try {
      return stateOf(this.#user);
    } finally {
      backing.isPaused = false;
    }
  }

  #expectState(when: string, expected = this.#state): void {
    const wrong = differences(this.#look(), expected);
    if (wrong.length > 0) this.#violations.push(`${when}: ${wrong.join('; ')}`);
  }

  // The end

  #checkEnd(): void {
    const loose = this.#loose;
    this.#expectState('at the end');
    this.#wasBroken = this.#isBroken;
    this.#checkMark();
    loose.backing.disarm();
    const handles = new Map(this.#stage.handles);
    loose.kill();
    const copy = mkdtempSync(join(SCRATCH, 'pacsfs-faults-'));
    cpSync(loose.folder, copy, { recursive: true });
    try {
      this.#checkReboot(copy);
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
    loose.open();
    this.#expectState('after a restart');
    if (handles.size > 0) this.#stage.handles.clear();
    if (this.#isBroken) this.#checkBroken();
    this.#checkFsck(loose, 'after a restart');
    loose.open();
    this.#expectState('after fsck');
  }

  /** The mark is there for what lost something, and for nothing else. */
  #checkMark(): void {
    const fault = this.#fault;
    const { met } = this.#loose.backing;
    if (fault === undefined || met === undefined) return;
    const must = mustBreak(met, fault);
    if (must === 'yes' && !this.#isBroken) this.#violations.push(`${met.kind} ${met.path} failed, and no mark says so`);
    if (must === 'no' && this.#isBroken)
      this.#violations.push(`broken for nothing: ${this.#loose.namespace.broken ?? ''}`);
  }

  #checkBroken(): void {
    const user = this.#user;
    const made = user.tryCreate('after');
    if (made !== E.EIO) this.#violations.push(`a broken store answers ${isErrno(made) ? made.name : 'success'}`);
    const synced = this.#loose.sync();
    if (synced !== E.EIO) this.#violations.push('a broken store says that everything is durable');
  }

  #checkReboot(folder: string): void {
    const loose = new LooseFilesystem({ ...OPTIONS, folder, isFormatted: true, bootId: 'boot-2' });
    try {
      const user = new LooseUser(() => loose.filesystem);
      const found = stateOf(user);
      for (const [path, node] of this.#durable) {
        const isSame = isSameNode(found.get(path), node);
        if (!isSame && !this.#touched.has(path)) this.#violations.push(`after a reboot ${path} is not what was synced`);
      }
      this.#checkFsck(loose, 'after a reboot');
    } finally {
      loose.remove();
    }
  }

  /** Leaves it closed. A mark is damage, and goes with the repair. */
  #checkFsck(loose: LooseFilesystem, when: string): void {
    const isBroken = loose.namespace.broken !== undefined;
    if (isBroken) loose.kill();
    else loose.stop();
    const damage = loose.damage().filter((line) => !(isBroken && line.startsWith('broken ')));
    if (damage.length > 0) this.#violations.push(`${when} fsck finds ${damage.join('; ')}`);
    if (!isBroken) return;
    const left = loose.damage({ repair: true });
    if (left.length > 0) this.#violations.push(`${when} fsck --repair leaves ${left.join('; ')}`);
    loose.open();
    const { broken } = loose.namespace;
    if (broken !== undefined) this.#violations.push(`${when} the mark outlives fsck --repair: ${broken}`);
    loose.kill();
  }
}

function traceOf(thrown: Error): string {
  const lines = (thrown.stack ?? thrown.message).split('\n').filter((line) => !line.includes('node_modules'));
  return lines.slice(0, 12).join('\n');
}

function isPartly(path: string, found: State, before: State, after: State): boolean {
  const node = found.get(path);
  return isSameNode(node, before.get(path)) || isMixture(node, before.get(path), after.get(path));
}

/** Whether it is a death of the daemon that the design knows of: everything else is a bug. */
function isDeath(thrown: unknown): boolean {
  return thrown instanceof Error && (thrown.name === 'ShardFailure' || thrown.name === 'StoreError');
}

/** What lost something that was acknowledged: writes and flushes of the journal, flushes of what its records name. */
export function mustBreak(met: { kind: FaultKind; path: string }, fault: CallFault): 'yes' | 'no' | 'maybe' {
  const { kind, path } = met;
  const isFlush = kind === 'flush' || kind === 'flushFolder' || kind === 'writeBack';
  // No room for a write loses nothing; no room at a flush has lost what was written before.
  if (fault.error === E.ENOSPC) return isFlush ? 'maybe' : 'no';
  if (path.includes('/meta/journal')) return kind === 'write' || isFlush ? 'yes' : 'maybe';
  if (path.includes('/meta')) return 'maybe';
  return isFlush ? 'yes' : 'maybe';
}
