/** A mount of memory_mount.ts for a test: a child process that serves it, and a way out whatever state it is in. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MNT_DETACH, umount2 } from '../../base/libc.ts';
import { abortMount, mountsBelow } from './leavings.ts';
import { CHECKOUT } from './mount_harness.ts';
import { waitUntil } from './processes.ts';
import { guardFolder, guardProcess, releaseFolder } from './reaper.ts';

const PROGRAM = join(CHECKOUT, 'dist', 'test', 'support', 'memory_mount.js');

export class MemoryServer {
  readonly mountPoint: string;
  readonly #child: ChildProcess;
  #output = '';

  private constructor(mountPoint: string) {
    this.mountPoint = mountPoint;
    guardFolder(mountPoint);
    this.#child = spawn(process.execPath, [PROGRAM, mountPoint], { stdio: ['ignore', 'pipe', 'inherit'] });
    guardProcess(this.#child);
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
    });
  }

  static async start(): Promise<MemoryServer> {
    if (!existsSync(PROGRAM)) throw new Error(`Cannot mount: ${PROGRAM} is missing, run make build`);
    const server = new MemoryServer(mkdtempSync(join(tmpdir(), 'pacsfs-memory-')));
    try {
      await waitUntil(() => server.#output.includes('ready\n'), { what: 'the filesystem in memory is mounted' });
      return server;
    } catch (error) {
      await server.destroy();
      throw error;
    }
  }

  /** Unmounts, waits for the server's end, and returns the requests that it counted, by opcode. */
  async stop(): Promise<Record<string, number>> {
    const failure = umount2(this.mountPoint, 0);
    if (failure < 0) throw new Error(`Cannot unmount ${this.mountPoint}: errno ${-failure}, expected 0`);
    await waitUntil(() => this.#hasEnded(), { what: 'the server has ended after the unmount' });
    if (this.#child.exitCode !== 0) throw new Error(`The server ended with ${this.#child.exitCode}, expected 0`);
    return JSON.parse(this.#output.split('\n')[1] ?? '{}') as Record<string, number>;
  }

  /** Ends what hangs on the mount, the mount, the server and the folder; nothing is left, nothing is waited for long. */
  async destroy(): Promise<void> {
    this.abort();
    while (umount2(this.mountPoint, MNT_DETACH) === 0);
    if (!this.#hasEnded()) this.#child.kill('SIGKILL');
    await waitUntil(() => this.#hasEnded(), { what: 'the server is gone' });
    rmdirSync(this.mountPoint);
    releaseFolder(this.mountPoint);
  }

  /** Every request on this mount ends with an error; does nothing once it is unmounted. */
  abort(): void {
    for (const entry of mountsBelow(this.mountPoint)) abortMount(entry);
  }

  #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}
