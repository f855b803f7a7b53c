import { expect, test } from "vitest";
import type { Stats } from "../api/types";
import { buckets, clock, durationAxis, niceTop } from "./chart-scale";

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
  // A server may count by longer intervals.
  const hours = buckets({ ...stats, minute_seconds: 3600 }, 1440, 60, now);
  expect(hours.length).toBe(24);
  expect(hours[23]).toMatchObject({ seconds: 3600, succeeded: 2 });
  expect([0, 0.3, 7, 20, 21, 101].map(niceTop)).toEqual([1, 0.4, 10, 20, 40, 200]);
});

test.each([
  [0, "1 ms", "0.5 ms"],
  [0.0004, "0.4 ms", "0.2 ms"],
  [0.03, "40 ms", "20 ms"],
  [0.7, "1 s", "0.5 s"],
  [1, "1 s", "0.5 s"],
  [45, "1 min", "0.5 min"],
  [150, "4 min", "2 min"],
  [90_000, "2 d", "1 d"],
])("the axis of durations up to %d s is labelled %s and %s", (seconds, top, middle) => {
  expect(durationAxis(seconds).labels).toEqual([top, middle]);
  expect(durationAxis(seconds).top).toBeGreaterThanOrEqual(seconds);
});

test("times of charts have 24 hours, and a day where two days are shown", () => {
  const at = Date.parse("2026-01-31T22:05:00Z");
  expect(clock(at, false)).toBe("23:05");
  expect(clock(at, true)).toMatch(/Jan.* 31.*23:05|31.*Jan.*23:05/);
});
