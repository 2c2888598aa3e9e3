import { defineConfig } from 'vitest/config';

// `*.test.ts` are unit tests, `*.sim.ts` seeded simulations, `*.mount.ts` need FUSE. Native modules (SQLite, koffi) and
// mounts want a process of their own, and two cores want few of them at a time.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'test/**/*.sim.ts', 'test/**/*.mount.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000,
    reporters: ['default'],
  },
});
