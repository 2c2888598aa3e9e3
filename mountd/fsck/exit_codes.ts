/** Exit codes of fsck(8), also for a rebuild. */
export const CLEAN = 0;
/** Or rebuilt. */
export const REPAIRED = 1;
export const DAMAGE_LEFT = 4;
/** Not done. */
export const OPERATIONAL = 8;
export const USAGE = 16;
