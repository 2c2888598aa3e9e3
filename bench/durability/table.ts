/** What the rows of the durability benchmark are printed with. */

export function row(cells: readonly string[]): string {
  return cells.map((cell, at) => (at === 0 ? cell.padEnd(12) : cell.padStart(15))).join('');
}
