/** Tests of pjdfstest that are held to be inapplicable, each with its reason. Aim: none. */
export interface Exclusion {
  /** File below tests/, e.g. 'chflags/00.t'. */
  readonly file: string;
  /** Numbers of its tests, or the whole file. */
  readonly tests: readonly number[] | 'all';
  readonly reason: string;
}

export const EXCLUSIONS: readonly Exclusion[] = [];
