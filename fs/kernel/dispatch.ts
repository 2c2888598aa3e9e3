/** From one received message to its reply: checks what every message needs, then asks the opcode table. */
import { E } from '../../base/errno.ts';
import { type Exchange, fail, NO_REPLY } from './exchange.ts';
import { OPCODE_TABLE, type Row } from './opcode_table.ts';
import { BODY } from './protocol.ts';

/**
 * Serves the message of `received` bytes (at least a header's) in the exchange's request buffer. Returns the length of
 * the reply in its reply buffer; 0 when there is none. A malformed message is answered EINVAL, an unknown one ENOSYS;
 * what an operation throws goes through.
 */
export function dispatch(exchange: Exchange, received: number): number {
  const isWhole = exchange.begin(received);
  const row = OPCODE_TABLE[exchange.opcode];
  if (row === undefined) return exchange.finish(fail(E.ENOSYS));
  if (!isWhole || !isWellFormed(exchange, row)) return exchange.finish(row.silent ? NO_REPLY : fail(E.EINVAL));
  if (row.changes && exchange.options.readOnly === true) return exchange.finish(fail(E.EROFS));
  return exchange.finish(row.handle(exchange));
}

function isWellFormed(exchange: Exchange, row: Row): boolean {
  return exchange.end - BODY >= row.bodyBytes && (row.anyNode || exchange.node >= 1);
}
