// The buckets, axes and labels of charts.
import type { MinuteStats, Stats } from "../api/types";

export interface Bucket {
  at: number;
  seconds: number;
  succeeded: number;
  /** Failed, timed out or lost. */
  failed: number;
  cancelled: number;
  p50: number | null;
  p95: number | null;
}

/** Groups the last `minutes` into at most `bars` bars. Intervals without data count as empty. */
export function buckets(stats: Stats, minutes: number, bars: number, now: number): Bucket[] {
  const interval = stats.minute_seconds * 1000;
  const all = Math.max(1, Math.round((minutes * 60_000) / interval));
  const per = Math.ceil(all / bars);
  const last = Math.floor(now / interval);
  const byInterval = new Map(
    stats.minutes.map((one) => [Math.floor(Date.parse(one.at) / interval), one]),
  );
  const result: Bucket[] = [];
  for (let end = last; end > last - all; end -= per) {
    const inside: MinuteStats[] = [];
    for (let at = end - per + 1; at <= end; at += 1) {
      const one = byInterval.get(at);
      if (one !== undefined) inside.push(one);
    }
    const most = (of: (one: MinuteStats) => number | null): number | null => {
      const known = inside.map(of).filter((value): value is number => value !== null);
      return known.length === 0 ? null : Math.max(...known);
    };
    result.push({
      at: (end - per + 1) * interval,
      seconds: (per * interval) / 1000,
      succeeded: total(inside, (one) => one.succeeded),
      failed: total(inside, (one) => one.failed + one.timed_out + one.lost),
      cancelled: total(inside, (one) => one.cancelled),
      // The worst of several intervals, because an average of medians has no meaning.
      p50: most((one) => one.duration_p50),
      p95: most((one) => one.duration_p95),
    });
  }
  return result.reverse();
}

function total(minutes: readonly MinuteStats[], of: (one: MinuteStats) => number): number {
  return minutes.reduce((so, one) => so + of(one), 0);
}

/** Returns a round number at or above a value, whose half, the middle of the axis, is round too. */
export function niceTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 6, 10].find((step) => step * power >= value - 1e-9) ?? 10) * power;
}

const UNITS: readonly [seconds: number, unit: string][] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
  [0.001, "ms"],
];

/**
 * Returns the top of an axis of durations and the labels of its top and its middle. All labels have
 * the unit of the top, so that no two are equal.
 */
export function durationAxis(seconds: number): { top: number; labels: [string, string] } {
  const unitOf = (value: number) =>
    UNITS.find(([least]) => value >= least) ?? ([0.001, "ms"] as const);
  const [size] = unitOf(seconds);
  const top = niceTop(seconds / size) * size;
  const [shown, unit] = unitOf(top);
  const label = (value: number): string => `${Number((value / shown).toPrecision(3))} ${unit}`;
  return { top, labels: [label(top), label(top / 2)] };
}

/** Returns a time of day; with its date if `day` is true. */
export function clock(at: number, day: boolean): string {
  return new Date(at).toLocaleString(undefined, {
    ...(day ? { day: "numeric", month: "short" } : {}),
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
}
