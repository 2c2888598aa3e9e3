/** From one received message to its reply: checks what every message needs, then asks the opcode table. */
import { E } from '../../base/errno.ts';
import { type Exchange, fail, NO_REPLY } from './exchange.ts';
import { type AgainHandler, type Handler, OPCODE_TABLE, type Row } from './opcode_table.ts';
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
  if (row.again === undefined) return exchange.finish(row.handle(exchange));
  return exchange.finish(handleOnce(exchange, row.handle, row.again));
}

/** What was executed before the daemon ended is only answered. */
function handleOnce(exchange: Exchange, handle: Handler, again: AgainHandler): number {
  const { operations, opcode, node } = exchange;
  if (operations.serve === undefined) return handle(exchange);
  const { unique } = exchange;
  if (exchange.isResent) {
    const executed = operations.executed?.(unique);
    if (executed !== undefined) {
      if (executed.opcode === opcode && executed.node === node) return again(exchange, executed);
      const fields = { unique: String(unique), opcode, node, executed: executed.opcode, of: executed.node };
      exchange.log.error(fields, 'A request that was sent again is not the one that was executed');
      return fail(E.EIO);
    }
  }
  operations.serve({ unique, opcode, node });
  try {
    return handle(exchange);
  } finally {
    operations.serve(undefined);
  }
}

function isWellFormed(exchange: Exchange, row: Row): boolean {
  return exchange.end - BODY >= row.bodyBytes && (row.anyNode || exchange.node >= 1);
}
