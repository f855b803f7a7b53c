import { describe, expect, test } from "vitest";
import { timeText, zeroOf } from "./log-row";

const at = (timestamp: string) => ({
  seq: 1,
  message: "",
  timestamp,
  level: "INFO" as const,
  stream: "stdout" as const,
});

describe("times since the start", () => {
  const start = "2026-01-31T14:30:00.000Z";
  const since = (first: string, line: string) =>
    timeText(at(line), "relative", zeroOf(start, at(first)));

  test("count from the start of the execution", () => {
    expect(since("2026-01-31T14:30:01Z", "2026-01-31T14:30:01.250Z")).toBe("+1.250");
    expect(since("2026-01-31T14:30:01Z", "2026-01-31T15:31:05.5Z")).toBe("+1:01:05.5");
  });

  test("count from the first line where the worker's clock is behind", () => {
    expect(since("2026-01-31T14:29:59.997Z", "2026-01-31T14:29:59.997Z")).toBe("+0.000");
    expect(since("2026-01-31T14:29:00Z", "2026-01-31T14:29:01.5Z")).toBe("+1.500");
  });

  test("are never negative where lines are out of order", () => {
    expect(since("2026-01-31T14:29:59Z", "2026-01-31T14:29:58.999Z")).toBe("+0.000");
  });

  test("count from the first line while the start is unknown", () => {
    expect(timeText(at(start), "relative", zeroOf(null, at(start)))).toBe("+0.000");
  });
});
