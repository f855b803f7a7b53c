import { expect, test } from "vitest";
import { includesWords, score, search } from "./fuzzy-search";

test("search ranks the beginning of a text over words inside it over scattered letters", () => {
  const names = ["nightly_backup", "backup", "restore_backups_now", "big_attic_kup", "hello"];
  expect(search("backup", names, (name) => name, 10)).toEqual([
    "backup",
    "nightly_backup",
    "restore_backups_now",
    "big_attic_kup",
  ]);
  expect(search("night back", names, (name) => name, 10)).toEqual(["nightly_backup"]);
  expect(score("zz", "backup")).toBeNull();
  expect(includesWords("back NOW", "restore_backups_now")).toBe(true);
  expect(includesWords("bcp", "backup")).toBe(false);
});
