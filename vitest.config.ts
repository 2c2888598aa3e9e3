import { defineConfig } from 'vitest/config';
import { FailuresReporter, RetriedReporter } from './test/support/failures_reporter.ts';

// `*.test.ts` are unit tests, `*.sim.ts` seeded simulations, `*.mount.ts` need FUSE. Native modules (SQLite, koffi) and
// mounts want a process of their own, and two cores want few of them at a time.
const CRASHES = 'test/crash/**';
const MOUNTS = 'test/**/*.mount.ts';

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // For what hangs. How fast something has to be a test says itself.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    reporters: [new RetriedReporter(), 'default', new FailuresReporter()],
    projects: [
      { extends: true, test: { name: 'all', include: ['test/**/*.test.ts', 'test/**/*.sim.ts'] } },
      { extends: true, test: { name: 'crashes', include: [`${CRASHES}/*.mount.ts`] } },
      {
        extends: true,
        // Real mounts on a machine that does other things as well: where nobody can look (.ci/run) what fails is run once
        // more, and named before the summary if it passes then, for that is a defect still. Crashes never are, nor
        // anything that is seeded.
        test: { name: 'mounts', include: [MOUNTS], exclude: [CRASHES], retry: process.env['CI'] === undefined ? 0 : 1 },
      },
    ],
  },
});
