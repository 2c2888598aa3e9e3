/** Replaces one section of a document, the one between its two marker comments, and leaves the rest as it is. */

function markersOf(name: string): { readonly begin: string; readonly end: string } {
  return { begin: `<!-- bench:begin ${name} -->`, end: `<!-- bench:end ${name} -->` };
}

/** A document without the markers gets the section at its end. Throws when only one of the two is there. */
export function replaceSection(document: string, name: string, section: string): string {
  const { begin, end } = markersOf(name);
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  const body = `${begin}\n\n${section.trim()}\n\n${end}`;
  if (from < 0 && to < 0) return `${document.trimEnd()}\n\n${body}\n`;
  if (from < 0 || to < from)
    throw new Error(`Cannot replace section ${name}: expected '${begin}' and '${end}' behind it`);
  return document.slice(0, from) + body + document.slice(to + end.length);
}
