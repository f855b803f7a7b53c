import { expect, test } from "vitest";
import { idsOf } from "./ids";

test("ids are separated by commas or spaces, and taken out of addresses", () => {
  expect(idsOf("a,b, c\nd;a")).toEqual(["a", "b", "c", "d"]);
  expect(
    idsOf("https://host/base/executions/e1?tab=result#L3 http://h/embed/executions/e2/"),
  ).toEqual(["e1", "e2"]);
  expect(idsOf(" ,, ")).toEqual([]);
  expect(idsOf("x".repeat(500))).toEqual([]);
});
