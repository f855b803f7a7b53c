import { expect, test } from "vitest";
import { findLinks } from "./links";

const shown = (text: string): string[] =>
  findLinks(text).map(({ from, to }) => text.slice(from, to));

test("addresses end before the punctuation of the sentence around them", () => {
  const cases: [string, string[]][] = [
    ["see https://example.org/a.", ["https://example.org/a"]],
    ["(see https://example.org/a)", ["https://example.org/a"]],
    ["https://en.wikipedia.org/wiki/Pot_(tin)", ["https://en.wikipedia.org/wiki/Pot_(tin)"]],
    ["(https://en.wikipedia.org/wiki/Pot_(tin)).", ["https://en.wikipedia.org/wiki/Pot_(tin)"]],
    ["[doc](https://example.org/x)", ["https://example.org/x"]],
    ["<https://example.org/x>", ["https://example.org/x"]],
    ['"https://example.org/x", next', ["https://example.org/x"]],
    [
      "a=https://a.org/?q=1&b=[2], https://b.org/#top!",
      ["https://a.org/?q=1&b=[2]", "https://b.org/#top"],
    ],
    ["HTTP://EXAMPLE.ORG:8080/", ["HTTP://EXAMPLE.ORG:8080/"]],
    ["http://[::1]:8000/x.", ["http://[::1]:8000/x"]],
    ["https://bücher.example/ä", ["https://bücher.example/ä"]],
    ["wait… https://example.org…", ["https://example.org"]],
    ["https://example.org/a?next=https://b.org/", ["https://example.org/a?next=https://b.org/"]],
  ];
  for (const [text, links] of cases) expect([text, shown(text)]).toEqual([text, links]);
});

test("only addresses of the web become links", () => {
  for (const text of [
    "javascript:alert(1)",
    "javascript://example.org/%0aalert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ftp://example.org/",
    "xhttps://example.org",
    "https://",
    "https:///",
    "http://user:password@example.org/",
    "https://example.org@evil.example/",
    `https://example.org/${"x".repeat(3_000)}`,
  ])
    expect([text, findLinks(text)]).toEqual([text, []]);
  expect(findLinks(`${"https://example.org ".repeat(200)}`).length).toBe(50);
});
