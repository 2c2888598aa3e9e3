import { describe, expect, it } from 'vitest';
import { MS_NOATIME, MS_NOSUID, MS_RDONLY } from '../../base/libc.ts';
import { approximateSize, formatSize, parseSize } from '../../base/sizes.ts';
import { GIB, MIB } from '../../base/units.ts';
import { parseMountOptions } from '../../mountd/mount_options.ts';
import { parseVolumeArgument } from '../../mountd/volume_argument.ts';
import { checkDevices } from '../../mountd/volume_devices.ts';

describe('sizes', () => {
  it('reads what people write', () => {
    expect(parseSize('8 MiB')).toBe(8 * MIB);
    expect(parseSize('8M')).toBe(8 * MIB);
    expect(parseSize('1.5GiB')).toBe(1.5 * GIB);
    expect(parseSize('2kb')).toBe(2000);
    expect(parseSize(' 4096 ')).toBe(4096);
    expect(parseSize('0')).toBe(0);
  });

  it.each(['', 'MiB', '-1', '1 XiB', '1.3', '9999999 TiB', '1e3', '0x10', 'constructor'])("refuses '%s'", (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it('writes what it reads back', () => {
    for (const bytes of [0, 1, 1023, 1024, 4 * MIB, 4 * MIB + 1, 3 * GIB])
      expect(parseSize(formatSize(bytes))).toBe(bytes);
    expect(approximateSize(1.44 * GIB)).toBe('1.4 GiB');
    expect(approximateSize(12)).toBe('12 B');
  });
});

describe('-o', () => {
  it('adds up names to bits and settings, the later one wins', () => {
    const options = parseMountOptions([
      'ro,nosuid',
      'noatime,noacl,layoutxattrs,commit=0.5,allow_other,default_permissions',
    ]);
    expect(options).toEqual({
      flags: MS_RDONLY | MS_NOSUID | MS_NOATIME,
      readOnly: true,
      noAtime: true,
      acl: false,
      layoutXattrs: true,
      commitIntervalMs: 500,
      passthrough: true,
      resend: true,
      restarts: 5,
    });
    expect(parseMountOptions(['ro', 'rw'])).toMatchObject({ flags: 0, readOnly: false });
    expect(parseMountOptions([])).toMatchObject({ flags: 0, acl: true, passthrough: true });
  });

  it('names the known ones when one is unknown', () => {
    expect(parseMountOptions(['noresend,restarts=0'])).toMatchObject({ resend: false, restarts: 0 });
    expect(parseMountOptions(['passthrough'])).toMatchObject({ passthrough: true });
    expect(parseMountOptions(['passthrough,nopassthrough'])).toMatchObject({ passthrough: false });
    expect(parseMountOptions(['nopassthrough,passthrough=on'])).toMatchObject({ passthrough: true });
    expect(parseMountOptions(['passthrough,passthrough=off'])).toMatchObject({ passthrough: false });
    expect(() => parseMountOptions(['passthrough=maybe'])).toThrow(/unknown option/);
    for (const bad of ['restarts=', 'restarts=-1', 'restarts=1.5', 'restarts=9999999']) {
      expect(() => parseMountOptions([bad])).toThrow(/restarts within a minute, 0 to/);
    }
    expect(() => parseMountOptions(['ro,bogus'])).toThrow(/'bogus': unknown option, expected .*nosuid.*commit=SECONDS/);
    expect(() => parseMountOptions(['toString'])).toThrow(/unknown option/);
    for (const bad of ['commit=', 'commit=x', 'commit=0', 'commit=1e9']) {
      expect(() => parseMountOptions([bad])).toThrow(/seconds between commits/);
    }
  });
});

describe('--volume', () => {
  it('reads the three kinds', () => {
    expect(parseVolumeArgument('hot=hot:dir:/a')).toEqual({ name: 'hot', tier: 'hot', kind: 'dir', paths: ['/a'] });
    expect(parseVolumeArgument('m=warm:mirror:/a,/b')).toMatchObject({ kind: 'mirror', paths: ['/a', '/b'] });
    expect(parseVolumeArgument('c=cold:ec:2+1:/a,/b,/c,/d')).toMatchObject({
      kind: 'ec',
      dataCells: 2,
      parityCells: 1,
      paths: ['/a', '/b', '/c', '/d'],
    });
  });

  it.each([
    ['', /expected NAME=TIER:KIND:ARGS/],
    ['hot=hot:dir', /expected NAME=TIER:KIND:ARGS/],
    ['Hot=hot:dir:/a', /name 'Hot' found/],
    ['hot=tepid:dir:/a', /tier 'tepid' found, expected hot, warm, cold/],
    ['hot=hot:tape:/a', /kind 'tape' found/],
    ['hot=hot:dir:', /empty path/],
    ['hot=hot:dir:/a,/b', /2 paths found, a 'dir' volume has exactly 1/],
    ['hot=hot:dir:/a:b', /':' found in a path/],
    ['m=hot:mirror:/a', /at least 2/],
    ['m=hot:mirror:/a,/a', /the same path/],
    ['m=hot:mirror:/a,/b/../a', /the same path/],
    ['c=cold:ec:/a', /expected ec:K\+M/],
    ['c=cold:ec:0+1:/a', /0\+1 found/],
    ['c=cold:ec:8+2:/a,/b', /2 paths found, expected at least 10/],
  ])("refuses '%s'", (text, message) => {
    expect(() => parseVolumeArgument(text)).toThrow(message);
  });
});

describe('the directories of a volume', () => {
  it('lie on devices of their own', () => {
    const devices: Record<string, number> = { '/a': 1, '/b': 2, '/c': 1 };
    const deviceOf = (path: string) => devices[path] ?? 0;
    checkDevices([{ name: 'm', paths: ['/a', '/b'] }], deviceOf);
    checkDevices(
      [
        { name: 'one', paths: ['/a'] },
        { name: 'two', paths: ['/c'] },
      ],
      deviceOf,
    );
    expect(() => checkDevices([{ name: 'm', paths: ['/a', '/b', '/c'] }], deviceOf)).toThrow(
      "Cannot format volume 'm': /a and /c lie on one device and would be lost together; use --same-device if that is meant",
    );
    expect(() => checkDevices([{ name: 'm', paths: ['/etc/none/a', '/etc/none/b'] }])).toThrow(/one device/);
  });
});
