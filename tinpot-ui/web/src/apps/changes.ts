// The differences of two versions.
import { structuredPatch } from "diff";
import { type BundleFile, FILE_BYTES_MAX } from "./api";

export interface Change {
  path: string;
  kind: "added" | "removed" | "changed" | "mode";
  before: BundleFile | null;
  after: BundleFile | null;
}

/** Returns the files that differ, by path. */
export function changesOf(before: readonly BundleFile[], after: readonly BundleFile[]): Change[] {
  const olds = new Map(before.map((file) => [file.path, file]));
  const news = new Map(after.map((file) => [file.path, file]));
  const changes: Change[] = [];
  for (const path of new Set([...olds.keys(), ...news.keys()])) {
    const [old, now] = [olds.get(path) ?? null, news.get(path) ?? null];
    const kind = kindOf(old, now);
    if (kind !== null) changes.push({ path, kind, before: old, after: now });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function kindOf(old: BundleFile | null, now: BundleFile | null): Change["kind"] | null {
  if (old === null) return "added";
  if (now === null) return "removed";
  if (old.digest !== now.digest || old.link !== now.link) return "changed";
  return old.executable === now.executable ? null : "mode";
}

/** Returns the reason why the lines of a change cannot be shown, or null. */
export function noLines({ before, after, kind }: Change): string | null {
  if (kind === "mode") return "Only the right to execute it differs";
  if (before?.link !== undefined || after?.link !== undefined)
    return `Link: ${before?.link ?? "none"} → ${after?.link ?? "none"}`;
  const most = Math.max(before?.bytes ?? 0, after?.bytes ?? 0);
  return most > FILE_BYTES_MAX
    ? `Files of more than ${FILE_BYTES_MAX / 1024} KiB are not shown`
    : null;
}

export interface DiffLine {
  kind: "same" | "added" | "removed" | "gap";
  text: string;
  /** The number of the line before and after; null where there is none. */
  before: number | null;
  after: number | null;
}

/** The most edits that are looked for: two files of other content share nothing to show. */
const EDITS_MAX = 2_000;

/** Returns the lines of two texts that differ, with some around them; null if nearly all do. */
export function diffLines(before: string, after: string): DiffLine[] | null {
  const patch = structuredPatch("", "", before, after, "", "", {
    context: 3,
    maxEditLength: EDITS_MAX,
  });
  if (patch === undefined) return null;
  const lines: DiffLine[] = [];
  for (const hunk of patch.hunks) {
    let [old, now] = [hunk.oldStart, hunk.newStart];
    if (lines.length > 0 || old > 1 || now > 1)
      lines.push({ kind: "gap", text: "", before: null, after: null });
    for (const line of hunk.lines) {
      const text = line.slice(1);
      switch (line[0]) {
        case "+":
          lines.push({ kind: "added", text, before: null, after: now++ });
          break;
        case "-":
          lines.push({ kind: "removed", text, before: old++, after: null });
          break;
        case " ":
          lines.push({ kind: "same", text, before: old++, after: now++ });
          break;
        default:
          lines.push({
            kind: "gap",
            text: "No newline at the end of the file",
            before: null,
            after: null,
          });
      }
    }
  }
  return lines;
}
