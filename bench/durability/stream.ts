/** A child process that writes without end: `node stream.js FILE MIB`. Begins anew at so many MiB; ends with its parent. */
import fs from 'node:fs';

const CHUNK_BYTES = 1_048_576;

function main(path: string, chunks: number): void {
  const chunk = Buffer.alloc(CHUNK_BYTES, 0x5a);
  process.once('disconnect', () => process.exit());
  let written = 0;
  let fd = fs.openSync(path, 'w', 0o644);
  process.send?.('ready');
  const go = (): void => {
    for (let i = 0; i < 16; i++, written++) {
      if (written > 0 && written % chunks === 0) {
        fs.closeSync(fd);
        fs.unlinkSync(path);
        fd = fs.openSync(path, 'w', 0o644);
      }
      chunk.writeUInt32LE(written, 0);
      fs.writeSync(fd, chunk);
    }
    process.send?.(written);
    setImmediate(go);
  };
  go();
}

main(process.argv[2] ?? '', Number(process.argv[3]));
