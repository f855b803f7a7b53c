import { expect, test } from "vitest";
import type { Stats } from "../api/types";
import { buckets, niceTop } from "./charts";

test("minutes are grouped into the bars of a chart", () => {
  const minute = {
    accepted: 0,
    succeeded: 2,
    failed: 1,
    cancelled: 0,
    timed_out: 1,
    lost: 1,
    duration_p50: 1,
    duration_p95: 2,
  };
  const now = Date.parse("2026-01-31T14:30:30Z");
  const stats: Stats = {
    since: "2026-01-31T13:00:00Z",
    minute_seconds: 60,
    minutes: [
      { ...minute, at: "2026-01-31T14:29:00Z" },
      { ...minute, at: "2026-01-31T14:30:00Z", duration_p95: 5 },
    ],
  };
  const each = buckets(stats, 60, 60, now);
  expect(each.length).toBe(60);
  expect(each.slice(-3).map((one) => [one.succeeded, one.failed, one.p95])).toEqual([
    [0, 0, null],
    [2, 3, 2],
    [2, 3, 5],
  ]);
  const wide = buckets(stats, 360, 60, now);
  expect(wide.length).toBe(60);
  expect(wide[59]).toMatchObject({ seconds: 360, succeeded: 4, failed: 6, p95: 5 });
  expect([0, 0.3, 7, 20, 21, 101].map(niceTop)).toEqual([1, 0.4, 10, 20, 40, 200]);
});
