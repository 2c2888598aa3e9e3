/** Asking a daemon over its admin socket. */
import { request } from 'node:http';
import { Failure } from './failure.ts';

export interface AdminCall {
  readonly method: 'GET' | 'POST';
  /** As in admin_server.ts. */
  readonly path: string;
  readonly body?: object;
  /** 0 = wait for ever. */
  readonly timeoutMs: number;
}

const GONE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE']);

/** Nobody listens there, or whoever did is gone. */
export class Unreachable extends Failure {}

/** The answer's JSON. Throws a Failure that says why there is none. */
export function askDaemon(socketPath: string, call: AdminCall): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, method: call.method, path: call.path, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (error) => reject(unreachable(socketPath, error)));
      response.on('end', () => {
        try {
          const value: unknown = JSON.parse(Buffer.concat(chunks).toString());
          if (response.statusCode === 200) resolve(value);
          else reject(new Failure(`The daemon refused ${call.path}: ${errorOf(value)}`));
        } catch (error) {
          reject(unreachable(socketPath, error));
        }
      });
    });
    if (call.timeoutMs > 0) {
      asking.setTimeout(call.timeoutMs, () => {
        asking.destroy(new Error(`no answer within ${call.timeoutMs} ms`));
      });
    }
    asking.on('error', (error) => reject(unreachable(socketPath, error)));
    asking.end(call.body === undefined ? undefined : JSON.stringify(call.body));
  });
}

function errorOf(value: unknown): string {
  return typeof value === 'object' && value !== null && 'error' in value ? String(value.error) : 'without a reason';
}

function unreachable(socketPath: string, error: unknown): Failure {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EACCES')
    return new Failure(`Cannot ask the daemon at ${socketPath}: no permission; run it as root (sudo)`);
  const reason = error instanceof Error ? error.message : String(error);
  const line = `Cannot ask the daemon at ${socketPath}: ${reason}; is it still mounted? See the store's meta/pacsfs.log`;
  return typeof code === 'string' && GONE.has(code) ? new Unreachable(line) : new Failure(line);
}
