/**
 * `make bench-messages`: how many messages the kernel sends for each file of what programs do, with ACLs and without.
 * PACSFS_BENCH_DIR says where (default /var/tmp).
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { MAKE_SOURCE, perFile, WORKLOADS } from './messages/workloads.ts';
import { Places } from './mount/places.ts';

const TIMEOUT_MS = 120_000;

function shell(script: string, cwd: string, source: string): void {
  execFileSync('bash', ['-euo', 'pipefail', '-c', script], {
    cwd,
    env: { ...process.env, SOURCE: source },
    timeout: TIMEOUT_MS,
  });
}

function count(options: string): void {
  process.env['PACSFS_BENCH_OPTIONS'] = options;
  const places = new Places(process.env['PACSFS_BENCH_DIR'] ?? '/var/tmp');
  try {
    shell(MAKE_SOURCE, places.folder, '');
    for (const { name, isCold, script } of WORKLOADS) {
      if (isCold) {
        places.settle('mounted');
        places.forget();
      }
      const before = places.messages();
      shell(script, places.mounted, join(places.folder, 'source'));
      const { byKind, all } = perFile(before, places.messages());
      const kinds = [...byKind].map(([kind, share]) => `${kind} ${share.toFixed(2)}`).join(', ');
      console.log(`${name.padEnd(22)}${options.padEnd(10)}${all.toFixed(2).padStart(6)}   ${kinds}`);
    }
  } finally {
    places.remove();
  }
}

console.log(`${'messages per file'.padEnd(22)}${'-o'.padEnd(10)}${'all'.padStart(6)}`);
for (const options of ['acl', 'noacl']) count(options);
