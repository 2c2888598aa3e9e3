/**
 * The daemon's admin interface: HTTP over a Unix socket that only its owner may open.
 *
 *     GET  /status            what `pacsfs status` shows
 *     GET  /inode/INO         where an inode and its bytes lie
 *     POST /sync {"packed"}   answers when all that was written before is durable
 *     POST /backup {"lsn"}    a backup is complete that has everything below this LSN
 *     GET  /shards            shards, their slots, and moves of slots
 *     POST /shards {"count"}  adds so many shards, to which slots then move
 *     GET  /compact           what compaction has done, and is doing
 *     POST /compact           a pass over everything is wanted
 *     GET  /tier              migrations that are not over
 *     GET  /tier/history      the last thousand that are
 *     POST /tier/move {...}   files are to move: see MoveRequest; asked again with the same `request` it tells how far it is
 *     POST /stop              unmounts, detaching what is busy
 *     POST /crash {"thread"}  only where tests want it: a thread of the daemon crashes
 *
 * Answers are JSON; an error is {"error": reason} with 4xx for the caller's and 5xx for the daemon's fault.
 */
import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { MAX_INTEGER } from '../base/units.ts';
import { QueryError } from './control_client.ts';
import { failureOf } from './failure.ts';
import { TEST_THREADS, type TestThread } from './messages.ts';
import { type MigrationQuery, type MoveRequest, moveRequestOf } from './migrations.ts';

export interface AdminHandlers {
  status(): Promise<unknown>;
  /** Rejects with a QueryError ENOENT or ESTALE when there is no such inode. */
  inode(ino: number): Promise<unknown>;
  sync(packed: boolean): Promise<unknown>;
  noteBackup(lsn: number): Promise<unknown>;
  shards(): Promise<unknown>;
  /** Rejects with a Failure that says why not. */
  addShards(count: number): Promise<unknown>;
  /** Rejects with a Failure that says why a pass cannot begin. */
  compaction(begin: boolean): Promise<unknown>;
  /** Rejects with a Failure that says why files cannot move. */
  migrations(query: MigrationQuery): Promise<unknown>;
  stop(): void;
  /** Only in tests. */
  crash?(thread: TestThread): void;
}

const MAX_BODY_BYTES = 4096;

/** An answer that is the caller's fault. */
class BadRequest extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export class AdminServer {
  readonly #server: Server;
  readonly #path: string;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** A socket file that a dead daemon left is replaced: the store's lock says that there is no other. */
  static listen(path: string, handlers: AdminHandlers): Promise<AdminServer> {
    prepare(path);
    const server = createServer((request, response) => void serve(request, response, handlers));
    // A sync may take as long as the disks need.
    server.requestTimeout = 0;
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(failureOf(`listen on ${path}`, error)));
      const mask = process.umask(0o177);
      server.listen(path, () => {
        chmodSync(path, 0o600);
        resolve(new AdminServer(server, path));
      });
      process.umask(mask);
    });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    tryUnlink(this.#path);
  }
}

function prepare(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    chmodSync(dirname(path), 0o700);
  } catch (error) {
    throw failureOf(`make the folder of ${path}`, error);
  }
  tryUnlink(path);
}

function tryUnlink(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // There is none.
  }
}

async function serve(request: IncomingMessage, response: ServerResponse, handlers: AdminHandlers): Promise<void> {
  try {
    answer(response, 200, (await route(request, handlers)) ?? {});
  } catch (error) {
    if (error instanceof BadRequest) answer(response, error.status, { error: error.message });
    else if (error instanceof QueryError && (error.errno === 'ENOENT' || error.errno === 'ESTALE'))
      answer(response, 404, { error: 'no such inode' });
    else answer(response, 500, { error: error instanceof Error ? error.message : String(error) });
  }
}

async function route(request: IncomingMessage, handlers: AdminHandlers): Promise<unknown> {
  const path = request.url?.split('?', 1)[0] ?? '';
  const inode = /^\/inode\/(.*)$/.exec(path);
  if (path === '/status') return method(request, 'GET', () => handlers.status());
  if (inode !== null) return method(request, 'GET', () => handlers.inode(inodeNumber(inode[1] ?? '')));
  if (path === '/sync') return method(request, 'POST', async () => handlers.sync(packedOf(await body(request))));
  if (path === '/backup') return method(request, 'POST', async () => handlers.noteBackup(lsnOf(await body(request))));
  if (path === '/shards' && request.method === 'GET') return handlers.shards();
  if (path === '/shards') return method(request, 'POST', async () => handlers.addShards(countOf(await body(request))));
  if (path === '/compact' && request.method === 'GET') return handlers.compaction(false);
  if (path === '/compact') return method(request, 'POST', () => handlers.compaction(true));
  if (path === '/tier') return method(request, 'GET', () => handlers.migrations({ kind: 'status' }));
  if (path === '/tier/history') return method(request, 'GET', () => handlers.migrations({ kind: 'history' }));
  if (path === '/tier/move')
    return method(request, 'POST', async () =>
      handlers.migrations({ kind: 'move', move: moveOf(await body(request)) }),
    );
  if (path === '/stop') return method(request, 'POST', () => handlers.stop());
  const { crash } = handlers;
  if (path === '/crash' && crash !== undefined)
    return method(request, 'POST', async () => crash(threadOf(await body(request))));
  throw new BadRequest(404, `no such address: ${path.slice(0, 100)}, expected /status, /inode/INO, /sync or /stop`);
}

function method(request: IncomingMessage, wanted: string, act: () => unknown): unknown {
  if (request.method !== wanted) throw new BadRequest(405, `${request.method} found, expected ${wanted}`);
  return act();
}

function inodeNumber(text: string): number {
  const number = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && number >= 1 && number <= MAX_INTEGER) return number;
  throw new BadRequest(400, `inode '${text.slice(0, 40)}' found, expected a number from 1 to 2^53 - 1`);
}

function packedOf(value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const packed = 'packed' in value ? value.packed : false;
    if (typeof packed === 'boolean') return packed;
  }
  throw new BadRequest(400, 'expected a body like {"packed": true}');
}

function lsnOf(value: unknown): number {
  const lsn = typeof value === 'object' && value !== null && 'lsn' in value ? value.lsn : undefined;
  if (typeof lsn === 'number' && Number.isInteger(lsn) && lsn > 0 && lsn < 2 ** 48) return lsn;
  throw new BadRequest(400, 'expected a body like {"lsn": 4711}');
}

function countOf(value: unknown): number {
  const count = typeof value === 'object' && value !== null && 'count' in value ? value.count : undefined;
  if (typeof count === 'number' && Number.isInteger(count) && count > 0 && count < 256) return count;
  throw new BadRequest(400, 'expected a body like {"count": 1}');
}

function moveOf(value: unknown): MoveRequest {
  const move = moveRequestOf(value);
  if (move !== undefined) return move;
  throw new BadRequest(400, 'expected a body like {"request": "uuid", "roots": [1], "to": "warm"}');
}

function threadOf(value: unknown): TestThread {
  const wanted = typeof value === 'object' && value !== null && 'thread' in value ? value.thread : undefined;
  const thread = TEST_THREADS.find((name) => name === wanted);
  if (thread === undefined) throw new BadRequest(400, `expected {"thread"}: one of ${TEST_THREADS.join(', ')}`);
  return thread;
}

async function body(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new BadRequest(413, `a body of over ${MAX_BODY_BYTES} bytes found`);
    chunks.push(chunk);
  }
  if (length === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new BadRequest(400, 'the body is no JSON');
  }
}

function answer(response: ServerResponse, status: number, value: unknown): void {
  const text = `${JSON.stringify(value)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
