// Web addresses in lines, which become links.

/** The addresses in one line that become links. */
const LINKS_MAX = 50;
/** Longer addresses stay text. */
const CHARS_MAX = 2_000;

/** Control characters, spaces, quotes and angle brackets end an address. */
const ADDRESS =
  /\bhttps?:\/\/[^\s\u0000-\u001f\u007f-\u009f"'`<>\\^{}|\u200b-\u200f\u2028-\u202e\u2066-\u2069]+/gi;
/** Punctuation at the end of an address belongs to the sentence around it. */
const SENTENCE_END = /[.,;:!?*_~…。，、；：！？]$/;
const BRACKETS: Record<string, string> = { ")": "(", "]": "[", "）": "（", "」": "「" };

export interface LinkRange {
  from: number;
  to: number;
  url: string;
}

/** Returns the addresses in a text, without the punctuation after them. */
export function findLinks(text: string): LinkRange[] {
  const links: LinkRange[] = [];
  // Most lines have none, and the expression is slower.
  if (!text.includes("://")) return links;
  for (const match of text.matchAll(ADDRESS)) {
    const shown = trimmed(match[0]);
    const url = shown.length <= CHARS_MAX ? parsed(shown) : null;
    if (url === null) continue;
    links.push({ from: match.index, to: match.index + shown.length, url });
    if (links.length >= LINKS_MAX) break;
  }
  return links;
}

function trimmed(address: string): string {
  let end = address.length;
  for (;;) {
    const last = address[end - 1] ?? "";
    const opening = BRACKETS[last];
    const rest = address.slice(0, end);
    // A closing bracket belongs to the address if it was opened within it.
    const isSurplus = opening !== undefined && rest.split(last).length > rest.split(opening).length;
    if (!isSurplus && !SENTENCE_END.test(rest)) return rest;
    end -= 1;
  }
}

/** Returns the address as the browser understands it if it is one of the web, else null. */
function parsed(address: string): string | null {
  try {
    const url = new URL(address);
    const isWeb = url.protocol === "http:" || url.protocol === "https:";
    // A name before the host can imitate another host.
    return isWeb && url.hostname !== "" && url.username === "" && url.password === ""
      ? url.href
      : null;
  } catch {
    return null;
  }
}
