/** Operations on names: create, rename, link, unlink, listing. */
import {
  closeSync,
  constants,
  linkSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import * as calls from '../test_calls.ts';
import { attempt, DIRECTORIES, type World } from './world.ts';

/** Linux's number, which Node does not name. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

export function create(world: World): void {
  const place = world.place();
  const data = world.bytes(world.length());
  world.note('create', `${world.path(place)} with ${data.length} bytes`);
  const before = world.tree.get(place);
  const found = attempt(() => {
    const fd = openSync(world.path(place), constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
    world.same('bytes written', writeSync(fd, data), data.length);
    closeSync(fd);
  });
  world.same('create', found, before === undefined ? 'ok' : 'EEXIST');
  if (before !== undefined) return;
  const file = world.tree.newFile();
  file.write(0, data);
  world.tree.put(place, file);
}

/** A file built without a name that gets one when it is whole. */
export function publish(world: World): void {
  const place = world.place();
  const data = world.bytes(world.length());
  world.note('publish', `${world.path(place)} with ${data.length} bytes`);
  const fd = openSync(`${world.root}/${place.directory}`, O_TMPFILE | constants.O_WRONLY, 0o600);
  writeSync(fd, data);
  const taken = world.tree.get(place) !== undefined;
  world.same('linkat of a temporary file', calls.nameHandle(fd, world.path(place)), taken ? -17 : 0);
  closeSync(fd);
  if (taken) return;
  const file = world.tree.newFile();
  file.write(0, data);
  world.tree.put(place, file);
}

export function rename(world: World): void {
  const from = world.place();
  const to = world.place();
  const noReplace = world.chance(0.2);
  world.note('rename', `${world.path(from)} to ${world.path(to)}${noReplace ? ' NOREPLACE' : ''}`);
  const file = world.tree.get(from);
  const target = world.tree.get(to);
  if (noReplace) {
    const found = calls.renameat2(world.path(from), world.path(to), calls.RENAME_NOREPLACE);
    world.same('rename NOREPLACE', found, file === undefined ? -2 : target !== undefined ? -17 : 0);
    if (found !== 0) return;
  } else {
    const found = attempt(() => renameSync(world.path(from), world.path(to)));
    world.same('rename', found, file === undefined ? 'ENOENT' : 'ok');
  }
  if (file === undefined || file === target) return;
  world.tree.put(to, file);
  world.tree.remove(from);
}

export function exchange(world: World): void {
  const from = world.place();
  const to = world.place();
  world.note('exchange', `${world.path(from)} and ${world.path(to)}`);
  const first = world.tree.get(from);
  const second = world.tree.get(to);
  const found = calls.renameat2(world.path(from), world.path(to), calls.RENAME_EXCHANGE);
  world.same('exchange', found, first === undefined || second === undefined ? -2 : 0);
  if (first === undefined || second === undefined) return;
  world.tree.names(from.directory).set(from.name, second);
  world.tree.names(to.directory).set(to.name, first);
}

/** Two whole directories change places. */
export function exchangeDirectories(world: World): void {
  const [from, to] = [world.one(DIRECTORIES), world.one(DIRECTORIES)];
  if (from === to) return;
  world.note('exchange', `directories ${from} and ${to}`);
  const found = calls.renameat2(`${world.root}/${from}`, `${world.root}/${to}`, calls.RENAME_EXCHANGE);
  world.same('exchange of directories', found, 0);
  const names = world.tree.names(from);
  world.tree.directories.set(from, world.tree.names(to));
  world.tree.directories.set(to, names);
}

export function link(world: World): void {
  const from = world.place();
  const to = world.place();
  world.note('link', `${world.path(from)} as ${world.path(to)}`);
  const file = world.tree.get(from);
  const taken = world.tree.get(to) !== undefined;
  const found = attempt(() => linkSync(world.path(from), world.path(to)));
  world.same('link', found, file === undefined ? 'ENOENT' : taken ? 'EEXIST' : 'ok');
  if (file !== undefined && !taken) world.tree.put(to, file);
}

export function unlink(world: World): void {
  const place = world.place();
  world.note('unlink', world.path(place));
  const found = attempt(() => unlinkSync(world.path(place)));
  world.same('unlink', found, world.tree.get(place) === undefined ? 'ENOENT' : 'ok');
  world.tree.remove(place);
}

export function stat(world: World): void {
  const place = world.place();
  world.note('stat', world.path(place));
  const file = world.tree.get(place);
  const found = statSync(world.path(place), { throwIfNoEntry: false });
  world.same('existence', found !== undefined, file !== undefined);
  world.same('size', found?.size, file?.size);
  world.same('links', found?.nlink, file?.links);
}

export function list(world: World): void {
  const directory = world.one(DIRECTORIES);
  world.note('list', directory);
  const found = readdirSync(`${world.root}/${directory}`).sort().join(' ');
  world.same(`names in ${directory}`, found, [...world.tree.names(directory).keys()].sort().join(' '));
}
