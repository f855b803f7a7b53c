import { expect, test } from "vitest";
import { appNameOf, chosenFiles } from "./folder";

function chosen(...paths: string[]) {
  return chosenFiles(
    paths.map((path) => {
      const file = new File([""], path.split("/").at(-1) ?? "");
      Object.defineProperty(file, "webkitRelativePath", { value: path });
      return file;
    }),
  );
}

test("a folder has a Towerfile, or Python files where tinpot deploy looks for actions", () => {
  expect(chosen("hello/Towerfile", "hello/main.sh")).toMatchObject({
    kind: "folder",
    name: "hello",
    hasTowerfile: true,
  });
  expect(chosen("tools/tools.py")).toMatchObject({ name: "tools", hasTowerfile: false });
  expect(chosen("tools/more/tools.py")).toMatchObject({ hasTowerfile: false });
  const neither = "There is no Towerfile and no Python file in the folder";
  expect(() => chosen("tools/far/away/tools.py")).toThrow(neither);
  expect(() => chosen("notes/notes.txt", "notes/app/Towerfile")).toThrow(neither);
});

/** The names that the tests of `tinpot deploy` pin, too. */
test("an app without a Towerfile has the name of its folder", () => {
  const names = ["tools", "My Tools", "ops_tools.v2", "--a--", "Ünder"];
  expect(names.map(appNameOf)).toEqual(["tools", "my-tools", "ops-tools-v2", "a", "nder"]);
});
