import { expect, test } from "vitest";
import {
  base64OfText,
  base64Size,
  durationSeconds,
  durationText,
  formatProblem,
  isoDuration,
  offsetAt,
  parseDuration,
  textOfBase64,
  toLocal,
} from "./formats";

// The zone of all tests: see vite.config.ts.
test("tests run in Berlin", () =>
  expect(Intl.DateTimeFormat().resolvedOptions().timeZone).toBe("Europe/Berlin"));

test.each([
  ["date", ["2026-01-31", "2024-02-29"], ["2026-02-29", "31.1.2026", "2026-1-1", ""]],
  ["time", ["14:30", "14:30:00.5+01:00", "00:00Z"], ["24:00", "14", "14:60", "14:30 "]],
  [
    "date-time",
    ["2026-01-31T14:30", "2026-01-31 14:30:00Z"],
    ["2026-01-31", "2026-02-30T10:00", "2026-01-31T25:00"],
  ],
  ["duration", ["P1DT2H30M", "-PT0.5S", "P2W"], ["P", "PT", "P1Y", "1h"]],
  ["decimal", ["0.10", "-1e5", "+3"], ["1.", "NaN", "inf", ""]],
  ["uuid", ["12345678-1234-5678-1234-567812345678"], ["12345678123456781234567812345678", ""]],
  ["path", ["/a/b", "x"], ["", "a\0b"]],
  ["binary", ["", "aGk=", "aGVsbG8h"], ["aGk", "a-_b"]],
])("%s", (format, right, wrong) => {
  for (const text of right) expect([text, formatProblem(format, text)]).toEqual([text, null]);
  for (const text of wrong) expect([text, formatProblem(format, text)]).not.toEqual([text, null]);
});

test.each([
  ["1h 30m", "PT1H30M"],
  ["90", "PT1M30S"],
  ["1.5 h", "PT1H30M"],
  ["1d2h", "P1DT2H"],
  ["500ms", "PT0.5S"],
  ["1:30", "PT1H30M"],
  ["0", "PT0S"],
  ["-10s", "-PT10S"],
  ["p1d", "P1D"],
  ["2 weeks", "P14D"],
  ["ten minutes", null],
  ["1x", null],
  ["", null],
])("the duration %j is %j", (text, iso) => expect(parseDuration(text)).toBe(iso));

test("durations convert to readable text and back", () => {
  expect(durationText("P1DT2H30M")).toBe("1d 2h 30m");
  expect(durationText("-PT0.5S")).toBe("-0.5s");
  for (const seconds of [0, 1, 59.25, 86_400, 90_061.5, -7_200])
    expect(durationSeconds(isoDuration(seconds))).toBe(seconds);
});

test("offsets are those of the day, and times that the clock skips have none", () => {
  expect(offsetAt("2026-01-31T14:30")).toBe("+01:00");
  expect(offsetAt("2026-07-01T14:30")).toBe("+02:00");
  expect(offsetAt("2026-03-29T02:30")).toBeNull();
  expect(toLocal("2026-01-31T14:30:00Z")).toBe("2026-01-31T15:30");
  expect(toLocal("2026-01-31T23:30:05+00:00")).toBe("2026-02-01T00:30:05");
});

test("text converts to base64 and back", () => {
  expect(textOfBase64(base64OfText("grüße 🎉\n"))).toBe("grüße 🎉\n");
  expect(textOfBase64("/w==")).toBeNull();
  expect(textOfBase64("AAE=")).toBeNull();
  expect([base64Size(""), base64Size("aGk="), base64Size("/w==")]).toEqual([0, 2, 1]);
});
