/** A table that people read in a terminal and Markdown shows as one. */

/** The first line is the head. Cells of numbers are to be right-aligned by `isNumber` of their column. */
export function markdownTable(lines: readonly (readonly string[])[], isNumber: (column: number) => boolean): string {
  const [head = []] = lines;
  const escaped = lines.map((line) => head.map((_, column) => (line[column] ?? '').replaceAll('|', '\\|')));
  const widths = head.map((_, column) => Math.max(3, ...escaped.map((line) => line[column]?.length ?? 0)));
  const shown = escaped.map((line) => {
    const cells = line.map((cell, column) => {
      const width = widths[column] ?? 0;
      return isNumber(column) ? cell.padStart(width) : cell.padEnd(width);
    });
    return `| ${cells.join(' | ')} |`;
  });
  const rule = widths.map((width, column) => (isNumber(column) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  return [shown[0], `| ${rule.join(' | ')} |`, ...shown.slice(1)].join('\n');
}

/** Three significant digits or all before the point, thousands apart. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '—';
  const size = Math.abs(value);
  const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
