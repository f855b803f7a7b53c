// A parser for terminal output: turns a line into spans of styled text, never into markup. Each
// line is parsed on its own. A colour that is left on ends with its line, so that any line can be
// shown without those before it.

/** A palette entry (0–255) or `#rrggbb`. */
export type Colour = number | string;

export interface Style {
  fg?: Colour;
  bg?: Colour;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
  strike?: boolean;
  inverse?: boolean;
}

export interface Span {
  text: string;
  /** The style, or null for plain text. */
  style: Style | null;
}

/** Control sequences: CSI, strings such as OSC, two-character escapes, and cursor movements. */
const CONTROL =
  /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\r\b]/g;
/** Unprintable characters, which are shown as symbols so that nothing is hidden in a line. */
const UNPRINTABLE = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]/g;
const SPECIAL = /[\x00-\x08\x0a-\x1f\x7f]/;

/** The longest line that is laid out in cells; progress bars are far shorter. */
const CELLS_MAX = 20_000;

/** Returns the text of a line without escapes, after its carriage returns. */
export function plainText(text: string): string {
  if (!SPECIAL.test(text)) return text;
  return parseAnsi(text)
    .map((span) => span.text)
    .join("");
}

/** Parses a line into spans. */
export function parseAnsi(text: string): Span[] {
  if (!SPECIAL.test(text)) return text === "" ? [] : [{ text, style: null }];
  const overwrites = /[\r\b]/.test(text.replace(/\r+$/, ""));
  return overwrites && text.length <= CELLS_MAX * 8 ? cells(text) : sequential(text);
}

function sequential(text: string): Span[] {
  const spans: Span[] = [];
  let style: Style | null = null;
  const push = (part: string) => {
    if (part === "") return;
    const shown = part.replace(UNPRINTABLE, picture);
    const last = spans[spans.length - 1];
    if (last !== undefined && sameStyle(last.style, style)) last.text += shown;
    else spans.push({ text: shown, style });
  };
  let from = 0;
  for (const match of text.matchAll(CONTROL)) {
    push(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m") style = sgr(style, match[1] ?? "");
  }
  push(text.slice(from));
  return spans;
}

interface Cell {
  char: string;
  style: Style | null;
}

/**
 * Parses a line with `\r` or `\b`, whose later text overwrites earlier text, as progress bars do.
 */
function cells(text: string): Span[] {
  let row: Cell[] = [];
  let at = 0;
  let style: Style | null = null;
  const write = (part: string) => {
    for (const char of part.replace(UNPRINTABLE, picture)) {
      if (at >= CELLS_MAX) return;
      while (row.length < at) row.push({ char: " ", style: null });
      row[at] = { char, style };
      at += 1;
    }
  };
  let from = 0;
  for (const match of text.matchAll(CONTROL)) {
    write(text.slice(from, match.index));
    from = match.index + match[0].length;
    const code = match[2];
    if (match[0] === "\r") at = 0;
    else if (match[0] === "\b") at = Math.max(0, at - 1);
    else if (code === "m") style = sgr(style, match[1] ?? "");
    else if (code === "K") row = erased(row, at, match[1] ?? "");
    else if (code === "G") at = Math.min(CELLS_MAX, Math.max(1, Number(match[1]) || 1) - 1);
    else if (code === "C") at = Math.min(CELLS_MAX, at + Math.max(1, Number(match[1]) || 1));
    else if (code === "D") at = Math.max(0, at - Math.max(1, Number(match[1]) || 1));
  }
  write(text.slice(from));
  const spans: Span[] = [];
  for (const { char, style } of row) {
    const last = spans[spans.length - 1];
    if (last !== undefined && sameStyle(last.style, style)) last.text += char;
    else spans.push({ text: char, style });
  }
  return spans;
}

function erased(row: Cell[], at: number, mode: string): Cell[] {
  if (mode === "2") return [];
  if (mode === "1")
    return row.map((cell, index) => (index <= at ? { char: " ", style: null } : cell));
  return row.slice(0, at);
}

function picture(char: string): string {
  const code = char.charCodeAt(0);
  return code === 0x7f ? "␡" : String.fromCharCode(0x2400 + code);
}

function sgr(before: Style | null, parameters: string): Style | null {
  let style: Style = before === null ? {} : { ...before };
  // `38:2::r:g:b` is the standard form of the more common `38;2;r;g;b`.
  const groups = parameters.split(";");
  for (let index = 0; index < groups.length; index += 1) {
    const group = groups[index] ?? "";
    const parts = group.split(":");
    const code = Number(parts[0] === "" ? 0 : parts[0]);
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = parts[1] !== "0";
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.strike = true;
    else if (code === 21) style.underline = true;
    else if (code === 22) {
      delete style.bold;
      delete style.dim;
    } else if (code === 23) delete style.italic;
    else if (code === 24) delete style.underline;
    else if (code === 27) delete style.inverse;
    else if (code === 29) delete style.strike;
    else if (code === 39) delete style.fg;
    else if (code === 49) delete style.bg;
    else if (code === 38 || code === 48) {
      const isOwnGroup = parts.length > 1;
      const rest = isOwnGroup ? parts.slice(1) : groups.slice(index + 1);
      const [colour, used] = extended(rest, isOwnGroup);
      if (!isOwnGroup) index += used;
      if (colour !== null) style[code === 38 ? "fg" : "bg"] = colour;
    } else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 90 && code <= 97) style.fg = code - 90 + 8;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 100 && code <= 107) style.bg = code - 100 + 8;
  }
  return Object.keys(style).length === 0 ? null : style;
}

/** Parses a colour, `5;n` or `2;r;g;b`. Returns it and the number of its parameters. */
function extended(rest: string[], colons: boolean): [Colour | null, number] {
  const byte = (text: string | undefined) => {
    const value = Number(text === undefined || text === "" ? NaN : text);
    return Number.isInteger(value) && value >= 0 && value <= 255 ? value : null;
  };
  if (rest[0] === "5") return [byte(rest[1]), 2];
  if (rest[0] !== "2") return [null, rest.length > 0 ? 1 : 0];
  // With colons, a colour space may precede the three numbers.
  const at = colons && rest.length > 4 ? 2 : 1;
  const rgb = rest.slice(at, at + 3).map(byte);
  if (rgb.length < 3 || rgb.includes(null)) return [null, 4];
  return [`#${rgb.map((value) => (value ?? 0).toString(16).padStart(2, "0")).join("")}`, 4];
}

function sameStyle(a: Style | null, b: Style | null): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  return (
    a.fg === b.fg &&
    a.bg === b.bg &&
    !a.bold === !b.bold &&
    !a.dim === !b.dim &&
    !a.italic === !b.italic &&
    !a.underline === !b.underline &&
    !a.strike === !b.strike &&
    !a.inverse === !b.inverse
  );
}

const CUBE = [0, 95, 135, 175, 215, 255];

/** Returns the colour of a palette entry from 16 on; the theme defines those below. */
export function paletteColour(entry: number): string {
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  if (entry >= 232) return `#${hex(8 + (entry - 232) * 10).repeat(3)}`;
  const index = entry - 16;
  const channel = (value: number) => hex(CUBE[value % 6] ?? 0);
  return `#${channel(Math.floor(index / 36))}${channel(Math.floor(index / 6))}${channel(index)}`;
}
