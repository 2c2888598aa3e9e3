import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { askDaemon } from '../../mountd/admin_client.ts';
import { AdminServer } from '../../mountd/admin_server.ts';
import { QueryError } from '../../mountd/control_client.ts';

describe('the admin socket', () => {
  let folder: string;
  let socketPath: string;
  let server: AdminServer;
  let calls: unknown[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-'));
    socketPath = join(folder, 'admin', 'a.sock');
    calls = [];
    server = await AdminServer.listen(socketPath, {
      status: async () => ({ health: 'ok' }),
      inode: async (ino) => {
        if (ino === 404) throw new QueryError('ESTALE');
        if (ino === 500) throw new QueryError('EIO');
        return { inode: ino };
      },
      sync: async (packed) => calls.push({ packed }),
      noteBackup: async (lsn) => calls.push({ lsn }),
      shards: async () => ({ shards: [] }),
      addShards: async (count: number) => ({ count }),
      compaction: async (begin: boolean) => ({ begin }),
      migrations: async () => ({}),
      stop: () => calls.push('stop'),
    });
  });
  afterEach(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  const ask = (method: 'GET' | 'POST', path: string, body?: object) =>
    askDaemon(socketPath, { method, path, timeoutMs: 5_000, ...(body === undefined ? {} : { body }) });

  /** Status and text of a request that the client would never send. */
  const raw = (method: string, path: string, body = '') =>
    new Promise<[number, string]>((resolve, reject) => {
      const asking = request({ socketPath, method, path }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve([response.statusCode ?? 0, text]));
      });
      asking.on('error', reject);
      asking.end(body);
    });

  it('is its owner’s alone, and gone when closed', () => {
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'admin')).mode & 0o777).toBe(0o700);
    server.close();
    expect(existsSync(socketPath)).toBe(false);
  });

  it('replaces a socket that a dead daemon left', async () => {
    const second = await AdminServer.listen(socketPath, {
      status: async () => ({ second: true }),
      inode: async () => ({}),
      sync: async () => {},
      noteBackup: async () => {},
      shards: async () => ({ shards: [] }),
      addShards: async (count: number) => ({ count }),
      compaction: async (begin: boolean) => ({ begin }),
      migrations: async () => ({}),
      stop: () => {},
    });
    expect(await ask('GET', '/status')).toEqual({ second: true });
    second.close();
  });

  it('answers', async () => {
    expect(await ask('GET', '/status')).toEqual({ health: 'ok' });
    expect(await ask('GET', '/inode/9007199254740991')).toEqual({ inode: 2 ** 53 - 1 });
    await ask('POST', '/sync', { packed: true });
    await ask('POST', '/sync');
    await ask('POST', '/stop');
    expect(calls).toEqual([{ packed: true }, { packed: false }, 'stop']);
  });

  it.each([
    ['GET', '/nowhere', '', 404, 'no such address'],
    ['POST', '/status', '', 405, 'POST found, expected GET'],
    ['GET', '/sync', '', 405, 'GET found, expected POST'],
    ['GET', '/inode/', '', 400, 'expected a number'],
    ['GET', '/inode/0', '', 400, 'expected a number'],
    ['GET', '/inode/-1', '', 400, 'expected a number'],
    ['GET', '/inode/9007199254740992', '', 400, 'expected a number'],
    ['GET', '/inode/1%2f..', '', 400, 'expected a number'],
    ['GET', '/inode/404', '', 404, 'no such inode'],
    ['GET', '/inode/500', '', 500, 'EIO'],
    ['POST', '/sync', '{', 400, 'no JSON'],
    ['POST', '/sync', '[]', 400, 'expected a body like'],
    ['POST', '/sync', '{"packed":1}', 400, 'expected a body like'],
  ])('refuses %s %s %s with %i and a reason', async (method, path, body, status, reason) => {
    const [found, text] = await raw(method, path, body);
    expect(found).toBe(status);
    expect(JSON.parse(text).error).toContain(reason);
    expect(calls).toEqual([]);
  });

  it('refuses long bodies', async () => {
    const [status, text] = await raw('POST', '/sync', ' '.repeat(5000));
    expect([status, JSON.parse(text).error]).toEqual([413, 'a body of over 4096 bytes found']);
  });

  it('tells the client why', async () => {
    await expect(ask('GET', '/inode/404')).rejects.toThrow('The daemon refused /inode/404: no such inode');
    server.close();
    await expect(ask('GET', '/status')).rejects.toThrow(/^Cannot ask the daemon at .*ENOENT.*still mounted/);
  });
});
