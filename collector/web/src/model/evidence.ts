// Evidence is a stranger's text: it is shown as it is, but nothing in it may act. Pure.

const SHOWN_LINES = 18;

/** How an invisible character shows: C0 controls as their pictures, others by code point. */
function picture(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`;
}

// Controls but tab and line feed; C1 controls; zero-width and direction-changing characters.
// eslint-disable-next-line no-control-regex
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Makes visible what could hide or reorder text; line ends become plain ones. */
export function visible(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(INVISIBLE, picture);
}

/** The first lines of a long text, and how many there are. */
export function excerpt(text: string): { lines: number; shown: string; cut: boolean } {
  const lines = text.split('\n');
  // Two lines more are no reason for a button.
  const cut = lines.length > SHOWN_LINES + 2;
  return { lines: lines.length, shown: cut ? lines.slice(0, SHOWN_LINES).join('\n') : text, cut };
}
