/** The executions that are shown side by side. */
export const WATCHED_MAX = 8;

/** The longest id that is taken, which is far longer than those of the server. */
const ID_CHARS = 80;

/** Returns the ids in a text, which may be addresses of executions, each once. */
export function idsOf(text: string): string[] {
  const ids = text
    .split(/[\s,;]+/)
    .map((part) => part.replace(/[?#].*$/, "").replace(/\/+$/, ""))
    .map((part) => part.slice(part.lastIndexOf("/") + 1))
    .filter((id) => id !== "" && id.length <= ID_CHARS);
  return [...new Set(ids)];
}
