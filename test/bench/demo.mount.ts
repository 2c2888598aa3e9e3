/** The demo itself on a real mount, small: it ends well, and when it does not it says why and leaves nothing behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHECKOUT } from '../support/mount_harness.ts';
import { guardFolder, guardProcess } from '../support/reaper.ts';

interface Ending {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

describe('the demo', { timeout: 120_000 }, () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-demo-'));
    guardFolder(folder);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const start = (options: { uid?: number } = {}): ChildProcess => {
    const demo = spawn(process.execPath, [join(CHECKOUT, 'dist', 'bench', 'demo.js'), '--files', '40'], {
      env: { ...process.env, PACSFS_DEMO_DIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    });
    guardProcess(demo);
    return demo;
  };

  /** To its end; `onOutput` sees all output so far whenever there is more. */
  const follow = (demo: ChildProcess, onOutput?: (output: string) => void): Promise<Ending> => {
    let output = '';
    let errors = '';
    demo.stdout?.on('data', (chunk) => {
      output += chunk;
      onOutput?.(output);
    });
    demo.stderr?.on('data', (chunk) => {
      errors += chunk;
    });
    return new Promise((resolve, reject) => {
      demo.on('error', reject).on('close', (code) => resolve({ code, output, errors }));
    });
  };

  const expectNothingLeft = (): void => {
    expect(readdirSync(folder)).toEqual([]);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(folder);
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      expect(commandLine(pid)).not.toContain(folder);
    }
  };

  it('goes through every step and ends with a table', async () => {
    const { code, output, errors } = await follow(start());
    expect(errors).toBe('');
    expect(code).toBe(0);
    expect(output).toContain('user.pacsfs.layout="packed"');
    expect(output).toMatch(/after remount +\d+ files, \d+ MB equal by SHA-256/);
    expect(output).toMatch(/fsck +clean/);
    expectNothingLeft();
  });

  it.each(['pacsfs mount', 'main.js write', 'pacsfs unmount'])(
    'ends with 130 and cleans up when interrupted in `%s`',
    async (command) => {
      const demo = start();
      const { code, errors } = await follow(demo, (output) => {
        if (output.includes(command)) demo.kill('SIGINT');
      });
      expect(errors).toContain('interrupted');
      expect(code).toBe(130);
      expectNothingLeft();
    },
  );

  it('says who may run it', async () => {
    const { code, errors } = await follow(start({ uid: 65_534 }));
    expect(code).toBe(1);
    expect(errors).toBe('demo: mounting needs root; run `sudo make demo`\n');
  });
});

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
