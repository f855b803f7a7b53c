// A parser for the Markdown of summaries: headings, paragraphs, lists, code, tables, quotes,
// emphasis and links. It knows neither HTML nor images, so markup that an action writes stays text.

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong" | "emphasis" | "strike"; inner: Inline[] }
  | { kind: "link"; href: string; inner: Inline[] }
  | { kind: "break" };

export interface ListItem {
  checked: boolean | null;
  inner: Inline[];
  nested: Block[];
}

export type Block =
  | { kind: "heading"; level: number; inner: Inline[] }
  | { kind: "paragraph"; inner: Inline[] }
  | { kind: "code"; text: string; language: string }
  | { kind: "list"; ordered: boolean; start: number; items: ListItem[] }
  | { kind: "quote"; inner: Block[] }
  | {
      kind: "table";
      head: Inline[][];
      rows: Inline[][][];
      align: ("left" | "right" | "center" | null)[];
    }
  | { kind: "rule" };

/** The characters that are parsed; a note replaces the rest. */
const TEXT_MAX = 200_000;
const DEPTH_MAX = 6;

/** Parses the Markdown of a summary. */
export function parseMarkdown(text: string): Block[] {
  const cut = text.length > TEXT_MAX;
  const lines = (cut ? text.slice(0, TEXT_MAX) : text).replace(/\r\n?/g, "\n").split("\n");
  const blocks = blocksOf(lines, 0);
  if (cut)
    blocks.push({
      kind: "paragraph",
      inner: [{ kind: "text", text: `… ${text.length - TEXT_MAX} more characters` }],
    });
  return blocks;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const DELIMITER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

function blocksOf(lines: string[], depth: number): Block[] {
  const blocks: Block[] = [];
  let at = 0;
  const line = () => lines[at] ?? "";
  while (at < lines.length) {
    const fence = FENCE.exec(line());
    const heading = HEADING.exec(line());
    if (line().trim() === "") {
      at += 1;
    } else if (fence !== null) {
      const mark = fence[1] ?? "```";
      const from = ++at;
      while (at < lines.length && !closes(line(), mark)) at += 1;
      blocks.push({
        kind: "code",
        text: lines.slice(from, at).join("\n"),
        language: fence[2] ?? "",
      });
      at += 1;
    } else if (heading !== null) {
      blocks.push({
        kind: "heading",
        level: (heading[1] ?? "#").length,
        inner: inlineOf(heading[2] ?? ""),
      });
      at += 1;
    } else if (RULE.test(line())) {
      blocks.push({ kind: "rule" });
      at += 1;
    } else if (QUOTE.test(line()) && depth < DEPTH_MAX) {
      const from = at;
      while (at < lines.length && QUOTE.test(line())) at += 1;
      const inner = lines.slice(from, at).map((quoted) => QUOTE.exec(quoted)?.[1] ?? "");
      blocks.push({ kind: "quote", inner: blocksOf(inner, depth + 1) });
    } else if (ITEM.test(line()) && depth < DEPTH_MAX) {
      const [list, next] = listOf(lines, at, depth);
      blocks.push(list);
      at = next;
    } else if (line().includes("|") && DELIMITER.test(lines[at + 1] ?? "")) {
      const [table, next] = tableOf(lines, at);
      blocks.push(table);
      at = next;
    } else {
      const from = at;
      at += 1;
      while (at < lines.length && line().trim() !== "" && !begins(line())) at += 1;
      blocks.push({ kind: "paragraph", inner: inlineOf(lines.slice(from, at).join("\n")) });
    }
  }
  return blocks;
}

function closes(line: string, mark: string): boolean {
  const trimmed = line.trim();
  return trimmed.length >= mark.length && trimmed === (mark[0] ?? "`").repeat(trimmed.length);
}

function begins(line: string): boolean {
  return (
    FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line)
  );
}

function listOf(lines: string[], from: number, depth: number): [Block, number] {
  const first = ITEM.exec(lines[from] ?? "");
  const indent = (first?.[1] ?? "").length;
  const ordered = first?.[3] !== undefined;
  const items: ListItem[] = [];
  let at = from;
  while (at < lines.length) {
    const match = ITEM.exec(lines[at] ?? "");
    if (
      match === null ||
      (match[1] ?? "").length !== indent ||
      (match[3] !== undefined) !== ordered
    )
      break;
    at += 1;
    const body: string[] = [];
    while (at < lines.length) {
      const next = lines[at] ?? "";
      const indented = next.length - next.trimStart().length > indent;
      const blankWithin =
        next.trim() === "" &&
        /^\s/.test(lines[at + 1] ?? "") &&
        (lines[at + 1] ?? "").trim() !== "";
      if (!indented && !blankWithin) break;
      body.push(next);
      at += 1;
    }
    const shift = Math.min(
      ...body
        .filter((text) => text.trim() !== "")
        .map((text) => text.length - text.trimStart().length),
      99,
    );
    const task = /^\[([ xX])\]\s+(.*)$/.exec(match[4] ?? "");
    items.push({
      checked: task === null ? null : task[1] !== " ",
      inner: inlineOf(task?.[2] ?? match[4] ?? ""),
      nested:
        body.length > 0
          ? blocksOf(
              body.map((text) => text.slice(shift)),
              depth + 1,
            )
          : [],
    });
  }
  return [{ kind: "list", ordered, start: Number(first?.[3] ?? 1), items }, at];
}

function tableOf(lines: string[], from: number): [Block, number] {
  const align = cellsOf(lines[from + 1] ?? "").map((cell) => {
    const [left, right] = [cell.startsWith(":"), cell.endsWith(":")];
    return left && right ? "center" : right ? "right" : left ? "left" : null;
  });
  let at = from + 2;
  const rows: Inline[][][] = [];
  while (at < lines.length && (lines[at] ?? "").includes("|")) {
    rows.push(
      cellsOf(lines[at] ?? "")
        .slice(0, align.length)
        .map(inlineOf),
    );
    at += 1;
  }
  const head = cellsOf(lines[from] ?? "")
    .slice(0, align.length)
    .map(inlineOf);
  return [{ kind: "table", head, rows, align }, at];
}

function cellsOf(line: string): string[] {
  const inner = line
    .trim()
    .replace(/^\|/, "")
    .replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
}

// Each span is bounded: otherwise a text of opening marks is searched to its end for each of them.
const INLINE =
  /(?<!`)(`{1,32})(?!`)([\s\S]{0,1000}?[^`])\1(?!`)|\*\*([^\s*](?:[\s\S]{0,1000}?[^\s])?)\*\*(?!\*)|\*([^\s*](?:[^*]{0,1000}[^\s*])?)\*|(?<![\w])_([^\s_](?:[^_]{0,1000}[^\s_])?)_(?![\w])|~~([^~]{1,1000})~~|!?\[([^\]]{0,1000})\]\(([^)]{0,2000})\)|<?(https?:\/\/[^\s<>"'`]+)>?|\\([!-/:-@[-`{-~])| {2,10}\n|\\\n/;

/** The address in the parentheses of a link, before its title. */
const TARGET = /^\s*<?([^\s>]*)/;

/** Parses the text of a paragraph. */
export function inlineOf(text: string, depth = 0): Inline[] {
  const found: Inline[] = [];
  const say = (part: string) => {
    if (part === "") return;
    const last = found[found.length - 1];
    if (last?.kind === "text") last.text += part;
    else found.push({ kind: "text", text: part });
  };
  let rest = text;
  while (rest !== "") {
    const match = depth < DEPTH_MAX ? INLINE.exec(rest) : null;
    if (match === null) {
      say(rest);
      break;
    }
    say(rest.slice(0, match.index));
    rest = rest.slice(match.index + match[0].length);
    const [whole, , code, strong, emphasis, other, strike, label, target, bare, escaped] = match;
    const within = (part: string) => inlineOf(part, depth + 1);
    if (code !== undefined) found.push({ kind: "code", text: code.trim() });
    else if (strong !== undefined) found.push({ kind: "strong", inner: within(strong) });
    else if (emphasis !== undefined) found.push({ kind: "emphasis", inner: within(emphasis) });
    else if (other !== undefined) found.push({ kind: "emphasis", inner: within(other) });
    else if (strike !== undefined) found.push({ kind: "strike", inner: within(strike) });
    else if (label !== undefined) {
      const href = safeHref(TARGET.exec(target ?? "")?.[1] ?? "");
      // A link to an address that is not allowed is shown as it was written.
      if (href === null) say(whole);
      else found.push({ kind: "link", href, inner: within(label === "" ? href : label) });
    } else if (bare !== undefined) {
      const trailing = /[.,;:!?)\]]+$/.exec(bare)?.[0] ?? "";
      const href = safeHref(bare.slice(0, bare.length - trailing.length));
      if (href === null) say(whole);
      else {
        found.push({ kind: "link", href, inner: [{ kind: "text", text: href }] });
        say(trailing);
      }
    } else if (escaped !== undefined) say(escaped);
    else found.push({ kind: "break" });
  }
  return found;
}

/**
 * Returns the address of a link if it is absolute and of the web, else null.
 *
 * `javascript:` and `data:` would run code, and a relative address could look like a page of the
 * UI.
 */
export function safeHref(text: string): string | null {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
