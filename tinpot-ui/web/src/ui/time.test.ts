import { expect, test } from "vitest";
import { formatDuration, formatRelative } from "./time";

test("times and durations are shown in words", () => {
  const now = Date.parse("2026-01-31T14:30:00Z");
  expect([0, 5, 65, 7200, 3 * 86400].map((ago) => formatRelative(now - ago * 1000, now))).toEqual([
    "just now",
    "5 s ago",
    "1 min ago",
    "2 h ago",
    "3 d ago",
  ]);
  expect(formatRelative(now + 90_000, now)).toBe("in 1 min");
  expect([0.0004, 0.05, 1.234, 42, 59.7, 184, 7500, 200_000].map(formatDuration)).toEqual([
    "0 ms",
    "50 ms",
    "1.2 s",
    "42 s",
    "1 min",
    "3 min 4 s",
    "2 h 5 min",
    "2 d 7 h",
  ]);
});
