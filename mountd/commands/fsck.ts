/** `pacsfs fsck`: checks a store that is not mounted. */
import { resolve } from 'node:path';
import { sqliteCode } from '../../shard/failure.ts';
import { StoreError } from '../../shard/store.ts';
import { readConfig, volumeRows } from '../config.ts';
import { Failure } from '../failure.ts';
import { CLEAN, DAMAGE_LEFT, OPERATIONAL, REPAIRED, USAGE } from '../fsck/exit_codes.ts';
import type { Finding } from '../fsck/findings.ts';
import type { Severity } from '../fsck/kinds.ts';
import { Progress } from '../fsck/progress.ts';
import { countsOf, findingJson, renderCounts, renderFinding } from '../fsck/report.ts';
import { type FsckOutcome, runFsck } from '../fsck/rounds.ts';
import { type LockRecord, StoreLock } from '../lock.ts';
import { print, printJson } from '../output.ts';
import { resolveTarget } from '../target.ts';
import { type RebuildOptions, runRebuild } from './rebuild.ts';

/** `dryRun` and `volume` with `rebuild` only. */
export interface FsckOptions extends RebuildOptions {
  readonly repair?: boolean;
  readonly rebuild?: boolean;
  /** With `repair` only: of a shard that is lost. */
  readonly backup?: string;
}

/** Notes of a kind that are printed; the rest is only counted. */
const NOTES_SHOWN = 10;
/** Findings of a kind that are kept for --json. */
const JSON_FINDINGS = 10_000;

/** Resolves to the exit code of fsck(8): 0 clean, 1 repaired, 4 damage left, 8 operational error, 16 usage. */
export async function fsck(target: string, options: FsckOptions): Promise<number> {
  if (options.rebuild === true) {
    if (options.repair === true) throw new Failure('Cannot use --rebuild and --repair together: choose one', USAGE);
    return runRebuild(target, options);
  }
  const other = (['dryRun', 'volume'] as const).find((name) => options[name] !== undefined);
  if (other !== undefined)
    throw new Failure(`Cannot use --${other === 'dryRun' ? 'dry-run' : other} without --rebuild`, USAGE);
  if (options.backup !== undefined && options.repair !== true)
    throw new Failure('Cannot use --backup without --repair', USAGE);
  const { store } = resolveTarget(target);
  const config = readConfig(store);
  const lock = StoreLock.acquire(store, { purpose: 'fsck', force: options.force === true });
  const progress = new Progress();
  const report = new Report(options, progress);
  try {
    const outcome = runFsck({
      store,
      storeId: config.storeId,
      volumes: volumeRows(config, store),
      wasClean: endedWell(lock.found),
      repair: options.repair === true,
      contents: options.metadataOnly !== true,
      backup: options.backup === undefined ? undefined : resolve(options.backup),
      journals: config.journals.map((path) => resolve(store, path)),
      progress,
      onRefilled: (text) => report.refilled(text),
      onFound: (finding, severity) => report.found(finding, severity),
      onLeft: (finding, severity) => report.left(finding, severity),
    });
    return report.end(store, outcome);
  } catch (thrown) {
    progress.end();
    throw explain(store, thrown);
  } finally {
    // The record tells the next mount how the last one ended; a check changes nothing about that.
    lock.releaseUnchanged();
  }
}

/** What kept the check from its end: damage of the databases themselves, or something else. */
function explain(store: string, thrown: unknown): unknown {
  const code = sqliteCode(thrown instanceof StoreError ? thrown.cause : thrown);
  const isDamage = code === '' || /^SQLITE_(CORRUPT|NOTADB|IOERR|FORMAT|ERROR)/.test(code);
  if (thrown instanceof StoreError) {
    const isOurs = thrown.code === 'damaged' || thrown.code === 'missing-shard';
    return new Failure(thrown.message, isOurs && isDamage ? DAMAGE_LEFT : OPERATIONAL);
  }
  if (code === '' || !isDamage) return thrown;
  return new Failure(`Cannot check ${store} to the end: system.db is damaged (${code})`, DAMAGE_LEFT);
}

/** Whether the last mount released the store in good order; true for a store that was never mounted. */
function endedWell(record: LockRecord | undefined): boolean {
  if (record === undefined) return true;
  // A check or dump that was killed left a record too, which carries on the mount's outcome.
  return (record.state === 'free' || record.purpose !== 'mount') && record.outcome?.code === 0;
}

class Report {
  readonly #options: FsckOptions;
  readonly #progress: Progress;
  readonly #names: boolean;
  readonly #shown = new Map<string, number>();
  readonly #found: object[] = [];
  readonly #left: object[] = [];
  readonly #refilled: string[] = [];
  #hasLeft = false;

  constructor(options: FsckOptions, progress: Progress) {
    this.#options = options;
    this.#progress = progress;
    this.#names = options.names === true;
  }

  found(finding: Finding, severity: Severity): void {
    this.#take(finding, severity, this.#found);
  }

  refilled(text: string): void {
    this.#refilled.push(text);
    if (this.#options.json === true) return;
    this.#progress.end();
    print(text);
  }

  /** What the repair left, when there was one. */
  left(finding: Finding, severity: Severity): void {
    if (!this.#hasLeft) this.#shown.clear();
    if (!this.#hasLeft && this.#options.json !== true) print('After the repair:');
    this.#hasLeft = true;
    this.#take(finding, severity, this.#left);
  }

  end(store: string, outcome: FsckOutcome): number {
    this.#progress.end();
    const { damageFound, damageLeft } = outcome;
    const code = damageFound === 0 ? CLEAN : damageLeft > 0 ? DAMAGE_LEFT : REPAIRED;
    if (this.#options.json === true) this.#json(store, outcome, code);
    else this.#text(store, outcome, code);
    return code;
  }

  #take(finding: Finding, severity: Severity, list: object[]): void {
    const shown = (this.#shown.get(finding.kind) ?? 0) + 1;
    this.#shown.set(finding.kind, shown);
    if (this.#options.json === true) {
      if (shown <= JSON_FINDINGS) list.push(findingJson(finding, { names: this.#names }));
      return;
    }
    if (severity === 'note' && shown > NOTES_SHOWN) return;
    this.#progress.end();
    print(renderFinding(finding, { names: this.#names }));
  }

  #json(store: string, outcome: FsckOutcome, exitCode: number): void {
    const { found, left, checked } = outcome;
    printJson({
      store,
      exitCode,
      clean: exitCode === CLEAN,
      repaired: this.#options.repair === true && outcome.damageFound > outcome.damageLeft,
      contentsChecked: this.#options.metadataOnly !== true,
      checked,
      damage: countsOf(found, 'damage'),
      notes: countsOf(found, 'note'),
      damageLeft: countsOf(left, 'damage'),
      ...(this.#refilled.length > 0 ? { refilled: this.#refilled } : {}),
      findings: this.#found,
      left: this.#options.repair === true ? this.#left : this.#found,
    });
  }

  #text(store: string, outcome: FsckOutcome, code: number): void {
    const { found, left, checked } = outcome;
    const notes = renderCounts(found, 'note');
    if (notes !== '') print(`Notes, which the next mount settles: ${notes}`);
    const { inodes, aggregates, ownFiles } = checked;
    const size = `${inodes} inodes, ${aggregates} aggregates, ${ownFiles} own files`;
    if (code === CLEAN) {
      print(`${store}: clean (${size})`);
      return;
    }
    print(`Damage: ${renderCounts(found, 'damage')}`);
    if (code === REPAIRED) print(`${store}: repaired (${size})`);
    else if (this.#options.repair === true) print(`${store}: damage left: ${renderCounts(left, 'damage')} (${size})`);
    else print(`${store}: damage (${size}); \`pacsfs fsck ${store} --repair\` puts right what can be`);
  }
}
