// @vitest-environment node
import { gunzipSync } from "node:zlib";
import { sha256 } from "@noble/hashes/sha2.js";
import { expect, test } from "vitest";
import { compareBytes, contentDigest, digestOf, pack } from "./pack";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const none = (): void => undefined;

function file(path: string, text: string, executable = false) {
  return { path, file: new Blob([text]), executable };
}

/** The identity that the tests of `tinpot-bundle` pin, too. */
test("the content of files is that of the manifest", () => {
  const of = (path: string, text: string, executable = false) => ({
    path,
    digest: sha256(bytes(text)),
    bytes: bytes(text).length,
    executable,
  });
  const content = contentDigest([
    of("main.sh", "echo hello\n", true),
    of("Towerfile", '[app]\nname = "hello"\nscript = "./main.sh"\n'),
    of("lib/a.txt", "a"),
    { path: "link", link: "lib/a.txt" },
  ]);
  expect(content).toBe("147da795fee9ace687513468a2b04a21545d5c4191c67299fb02cd261379de7c");
});

test("paths are in the order of their bytes", () => {
  // The code units of the first come before those of the second.
  const names = ["\u{1F600}", "\uFF5E", "b", "B", "a/b", "a-b", "a"];
  expect([...names].sort(compareBytes)).toEqual([
    "B",
    "a",
    "a-b",
    "a/b",
    "b",
    "\uFF5E",
    "\u{1F600}",
  ]);
});

test("an archive has its files with their modes, and its digest", async () => {
  const long = `${"d".repeat(90)}/é${"e".repeat(30)}`;
  let read = 0;
  const files = [file("Towerfile", "x"), file("bin/tool", "y".repeat(513), true), file(long, "")];
  const packed = await pack(files, 1_000_000, (more) => {
    read += more;
  });
  expect(read).toBe(514);
  expect(packed.digest).toBe(await digestOf(packed.archive, none));
  const tar = gunzipSync(Buffer.from(await packed.archive.arrayBuffer()));
  expect(tar.length % 512).toBe(0);
  const at = (block: number, start: number, end: number): string =>
    tar
      .subarray(block * 512 + start, block * 512 + end)
      .toString()
      .replace(/\0.*$/s, "");
  expect([at(0, 0, 100), at(0, 100, 108), at(0, 124, 136)]).toEqual([
    "Towerfile",
    "0000644",
    "00000000001",
  ]);
  expect([at(2, 0, 100), at(2, 100, 108), at(2, 257, 263)]).toEqual([
    "bin/tool",
    "0000755",
    "ustar",
  ]);
  // Two blocks of content, then the path in a header of its own.
  expect(at(5, 156, 157)).toBe("x");
  expect(at(6, 0, 512)).toBe(`${bytes(long).length + 10} path=${long}\n`);
});

test("an archive that is too large, and a file that changes, are refused", async () => {
  const noise = Array.from({ length: 5_000 }, (_, at) =>
    String.fromCharCode(33 + ((at * at) % 90)),
  );
  await expect(pack([file("a", noise.join(""))], 100, none)).rejects.toThrow("at most 100 bytes");
  const changing = new Blob(["abc"]);
  Object.defineProperty(changing, "size", { value: 4 });
  await expect(
    pack([{ path: "a", file: changing, executable: false }], 1_000, none),
  ).rejects.toThrow("a changed while it was packed");
});
