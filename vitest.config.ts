import { defineConfig } from 'vitest/config';
import { FailuresReporter } from './test/support/failures_reporter.ts';

// `*.test.ts` are unit tests, `*.sim.ts` seeded simulations, `*.mount.ts` need FUSE. Native modules (SQLite, koffi) and
// mounts want a process of their own, and two cores want few of them at a time.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'test/**/*.sim.ts', 'test/**/*.mount.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // For what hangs. How fast something has to be a test says itself.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    reporters: ['default', new FailuresReporter()],
  },
});
