/** One phase of a random run: check what an earlier phase left, then so many operations, then check everything again. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import * as calls from '../test_calls.ts';
import * as bytes from './byte_operations.ts';
import * as handles from './handle_operations.ts';
import * as names from './name_operations.ts';
import { Tree } from './tree.ts';
import { DIRECTORIES, Difference, World } from './world.ts';

export interface PhaseOptions {
  readonly root: string;
  readonly seed: string;
  readonly operations: number;
  /** Where the model is kept between phases; absent in the first. */
  readonly state: string;
  readonly first: boolean;
  /** Program and arguments that wait until closed files are packed. */
  readonly pack: readonly string[];
  /** Operations between two such waits. */
  readonly packEvery: number;
}

export interface PhaseResult {
  readonly operations: number;
  readonly difference: string | null;
  readonly history: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

/** Each operation as often as its weight says. */
const WEIGHTS: readonly (readonly [(world: World) => void, number])[] = [
  [names.create, 8],
  [names.publish, 2],
  [names.rename, 5],
  [names.exchange, 3],
  [names.exchangeDirectories, 0.3],
  [names.link, 3],
  [names.unlink, 4],
  [names.stat, 6],
  [names.list, 1],
  [handles.open, 9],
  [handles.close, 7],
  [handles.flush, 1],
  [handles.statHandle, 3],
  [handles.forgetPages, 1],
  [handles.map, 9],
  [handles.unmap, 1],
  [bytes.write, 8],
  [bytes.writeOnly, 8],
  [bytes.read, 14],
  [bytes.truncate, 3],
  [bytes.punch, 2],
  [bytes.zero, 2],
  [bytes.allocate, 1],
  [bytes.copy, 4],
  [bytes.seek, 2],
];

export function runPhase(options: PhaseOptions): PhaseResult {
  const tree = options.first ? new Tree() : Tree.load(options.state);
  const world = new World(options.root, tree, options.seed);
  let done = 0;
  try {
    if (options.first) makeDirectories(world);
    else verify(world);
    const total = WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0);
    for (; done < options.operations; done++) {
      if (done % options.packEvery === options.packEvery - 1) waitUntilPacked(world, options.pack);
      operation(world, total)(world);
    }
    world.closeAll();
    verify(world);
    tree.save(options.state);
  } catch (error) {
    const code = error instanceof Error && 'code' in error;
    if (!(error instanceof Difference) && !code) throw error;
    const difference = error instanceof Difference ? error.message : String(error);
    return { operations: done, difference, history: world.history(), counts: Object.fromEntries(world.counts) };
  }
  return { operations: done, difference: null, history: [], counts: Object.fromEntries(world.counts) };
}

function operation(world: World, total: number): (world: World) => void {
  let at = world.below(total * 1000) / 1000;
  for (const [candidate, weight] of WEIGHTS) {
    at -= weight;
    if (at < 0) return candidate;
  }
  return names.stat;
}

function makeDirectories(world: World): void {
  for (const directory of DIRECTORIES) {
    mkdirSync(`${world.root}/${directory}`);
    world.tree.directories.set(directory, new Map());
  }
}

/** Closes most handles, so that there is something to pack, and waits for it. */
function waitUntilPacked(world: World, command: readonly string[]): void {
  while (world.handles.length > 2) world.close(world.one(world.handles));
  world.note('pack', command.join(' '));
  const [program, ...args] = command;
  if (program !== undefined) execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: 60_000 });
  for (const [place] of world.tree.places()) {
    world.count(`file in layout ${calls.textAttribute(world.path(place), 'user.pacsfs.layout')}`);
  }
}

/** Every name, size, link count and byte. */
function verify(world: World): void {
  world.note('verify', 'everything');
  for (const directory of DIRECTORIES) {
    const found = readdirSync(`${world.root}/${directory}`).sort().join(' ');
    world.same(`names in ${directory}`, found, [...world.tree.names(directory).keys()].sort().join(' '));
  }
  for (const [place, file] of world.tree.places()) {
    const found = statSync(world.path(place));
    world.same(`size of ${world.path(place)} (file ${file.id})`, found.size, file.size);
    world.same(`links of ${world.path(place)} (file ${file.id})`, found.nlink, file.links);
    const what = `content of ${world.path(place)} (file ${file.id})`;
    world.sameBytes(what, readFileSync(world.path(place)), file.content());
  }
}
