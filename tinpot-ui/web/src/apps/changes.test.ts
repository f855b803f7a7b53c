import { expect, test } from "vitest";
import { changesOf, diffLines, noLines } from "./changes";

const file = (path: string, digest: string, bytes = 1, executable = false) => ({
  path,
  digest,
  bytes,
  executable,
});

test("files of two versions differ by content, mode and target", () => {
  const link = (target: string) => ({ path: "link", link: target, executable: false });
  const before = [file("a", "1"), file("gone", "1"), file("mode", "1"), file("z", "1"), link("a")];
  const after = [
    file("a", "2"),
    file("mode", "1", 1, true),
    file("new", "1"),
    file("z", "1"),
    link("z"),
  ];
  const changes = changesOf(before, after);
  expect(changes.map(({ path, kind }) => `${path} ${kind}`)).toEqual([
    "a changed",
    "gone removed",
    "link changed",
    "mode mode",
    "new added",
  ]);
  expect(changes.map(noLines)).toEqual([
    null,
    null,
    "Link: a → z",
    "Only the right to execute it differs",
    null,
  ]);
  expect(changesOf(before, before)).toEqual([]);
  const [large] = changesOf([file("a", "1", 300_000)], [file("a", "2")]);
  expect(large && noLines(large)).toBe("Files of more than 256 KiB are not shown");
});

test("lines that differ have their numbers and their surroundings", () => {
  const lines = Array.from({ length: 20 }, (_, at) => `line ${at + 1}\n`);
  const before = lines.join("");
  const after = before.replace("line 10\n", "line ten\n");
  const shown = diffLines(before, after) ?? [];
  expect(shown.map(({ kind, text }) => `${kind} ${text}`.trim())).toEqual([
    "gap",
    "same line 7",
    "same line 8",
    "same line 9",
    "removed line 10",
    "added line ten",
    "same line 11",
    "same line 12",
    "same line 13",
  ]);
  expect(shown[4]).toMatchObject({ before: 10, after: null });
  expect(shown[5]).toMatchObject({ before: null, after: 10 });
  expect(diffLines("", "new")?.map(({ kind }) => kind)).toContain("added");
  const other = (word: string): string =>
    `${word}\n`
      .repeat(1)
      .concat(Array.from({ length: 6_000 }, (_, at) => `${word} ${at}\n`).join(""));
  expect(diffLines(other("a"), other("b"))).toBeNull();
});
