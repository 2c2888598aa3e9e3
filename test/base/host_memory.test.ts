import { describe, expect, test } from 'vitest';
import { hostDirtyLimit } from '../../base/host_memory.ts';
import { GIB, MIB } from '../../base/units.ts';

describe('the limit that comes from the host', () => {
  const of = (files: { readonly [path: string]: string }) => hostDirtyLimit((path) => files[path]);
  const ratio = '/proc/sys/vm/dirty_background_ratio';
  const memory = (gib: number) => `MemTotal: 99 kB\nMemAvailable:   ${gib * 1024 * 1024} kB\nBuffers: 1 kB\n`;

  test('is half of its background threshold', () => {
    expect(of({ [ratio]: '10\n', '/proc/meminfo': memory(20) })).toBe(GIB);
    expect(of({ '/proc/sys/vm/dirty_background_bytes': `${512 * MIB}\n`, '/proc/meminfo': memory(20) })).toBe(
      256 * MIB,
    );
  });

  test('is a part of what a control group has', () => {
    const files = { [ratio]: '10', '/proc/meminfo': memory(20), '/proc/self/cgroup': '1:cpu:/x\n0::/a/b\n' };
    expect(of({ ...files, '/sys/fs/cgroup/a/b/memory.max': `${4 * GIB}\n` })).toBe(Math.round(0.2 * GIB));
    expect(of({ ...files, '/sys/fs/cgroup/a/b/memory.max': 'max\n' })).toBe(GIB);
  });

  test('has bounds, and stands where nothing can be read', () => {
    expect(of({ [ratio]: '10', '/proc/meminfo': memory(1000) })).toBe(4 * GIB);
    expect(of({})).toBe(64 * MIB);
  });
});
