/** DCMTK, the tools of PACS: what a modality sends lands on the mount, and is read back whole. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHECKOUT, TestStore } from '../support/mount_harness.ts';
import { guardProcess } from '../support/reaper.ts';
import { unmountedFaults } from '../support/scripts.ts';

const FILES = 60;

describe('DCMTK', () => {
  let store: TestStore;
  let study: string;
  beforeEach(async () => {
    store = await TestStore.create();
    study = join(store.folder, 'study');
    // Generated objects only: real ones come in transfer syntaxes that storescu cannot convert for this receiver.
    const make = `PACSFS_REAL_DICOM=${store.folder}/none ${process.execPath} ${CHECKOUT}/dist/bench/studies/main.js write ${study} --manifest ${store.folder}/manifest`;
    await store.shell(`mkdir ${study}; ${make} --studies 1 --files ${FILES}`);
  });
  afterEach(async () => {
    await store.destroy();
  });

  it('dcmdump reads every object from the mount', { timeout: 90_000 }, async () => {
    await store.shell(`cp -r ${study} study`);
    await store.sync();
    const dump = "find . -name '*.dcm' | sort | xargs dcmdump +P SOPInstanceUID +P Rows";
    const found = await store.shell(`cd study; ${dump}`);
    expect(found.match(/SOPInstanceUID/g)).toHaveLength(FILES);
    expect(found).toBe(await store.shell(`cd ${study}; ${dump}`));
    expect(await unmountedFaults(store)).toBe('');
  });

  it('storescp receives onto the mount what storescu sends', { timeout: 120_000 }, async () => {
    const port = await freePort();
    await store.shell('mkdir incoming');
    // Without --fork one process serves one sender after another, and ends with this test.
    const receiver = spawn(
      'storescp',
      ['--output-directory', 'incoming', '--filename-extension', '.dcm', String(port)],
      {
        cwd: store.mountPoint,
        stdio: 'ignore',
      },
    );
    guardProcess(receiver);
    try {
      await store.shell(
        `for i in $(seq 1 100); do echoscu localhost ${port} 2> /dev/null && break; sleep 0.1; done
         find ${study} -name '*.dcm' > ${store.folder}/list
         xargs -a ${store.folder}/list storescu --propose-lossless --required localhost ${port} ||
         xargs -a ${store.folder}/list storescu --required localhost ${port}`,
        { timeoutMs: 60_000 },
      );
    } finally {
      receiver.kill('SIGKILL');
      await new Promise((resolve) => receiver.once('close', resolve));
    }
    await store.sync();
    const identify = (folder: string) =>
      store.shell(
        `find ${folder} -name '*.dcm' -print0 | xargs -0 dcmdump +P SOPInstanceUID | awk '{ print $3 }' | sort`,
      );
    expect(await identify('incoming')).toBe(await identify(study));
    expect(await unmountedFaults(store)).toBe('');
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
