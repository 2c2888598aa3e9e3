/** One check of a whole store: which checks there are and in what order they learn from each other. */
import { checkAggregates } from './check_aggregates.ts';
import { checkAttached } from './check_attached.ts';
import { checkContents } from './check_contents.ts';
import { checkDentries } from './check_dentries.ts';
import { checkIndexes } from './check_indexes.ts';
import { checkInodes } from './check_inodes.ts';
import { checkLinks } from './check_links.ts';
import { checkMoves } from './check_moves.ts';
import { checkOwnFiles } from './check_own_files.ts';
import { checkMissingPartitions } from './check_partitions.ts';
import { checkRanges } from './check_ranges.ts';
import { checkSystem } from './check_system.ts';
import { checkTree } from './check_tree.ts';
import type { CheckContext } from './context.ts';

export function check(ctx: CheckContext, options: { readonly contents: boolean }): void {
  checkSystem(ctx);
  checkMoves(ctx);
  // Fills the tables of inodes, ranges and own files; the names are held against it, then it against the names.
  checkInodes(ctx);
  checkDentries(ctx);
  checkMissingPartitions(ctx);
  checkAttached(ctx);
  checkLinks(ctx);
  checkTree(ctx);
  checkIndexes(ctx);
  checkOwnFiles(ctx);
  checkAggregates(ctx);
  // Sorts the ranges, by which the contents are read in the order in which they lie.
  checkRanges(ctx);
  if (options.contents) checkContents(ctx);
  ctx.progress.end();
}
