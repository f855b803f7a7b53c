/** JSON as it was sent: numbers that this browser would round are kept as text. Faster than the form's parser, which also says where a mistake is. */
import { NumberText } from "../form/json";

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Parses JSON. The slower way is only taken where a long number may be. */
export function parseExact(text: string): unknown {
  if (!/\d{16}|\d[eE]\+?\d{2}/.test(text)) return JSON.parse(text) as unknown;
  // No text that an action wrote can guess it. (`randomUUID` is there on secure pages only, and many a server is reached by plain HTTP.)
  const mark = `exact ${crypto.getRandomValues(new Uint32Array(4)).join()} `;
  let found = false;
  const marked = text.replace(TOKEN, (token) => {
    if (token.startsWith('"') || isExact(token)) return token;
    found = true;
    return `"${mark}${token}"`;
  });
  if (!found) return JSON.parse(text) as unknown;
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === "string" && value.startsWith(mark)
      ? new NumberText(value.slice(mark.length))
      : value,
  ) as unknown;
}

function isExact(source: string): boolean {
  const value = Number(source);
  if (!Number.isFinite(value)) return false;
  if (/^-?\d+$/.test(source)) return Number.isSafeInteger(value) || String(value) === source;
  const digits = source
    .replace(/[eE].*$/, "")
    .replace(/[-.]/g, "")
    .replace(/^0+/, "");
  return digits.length <= 17;
}
