import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { serverNow } from "../api/clock";

/** Ticks once a second while somebody looks at it. */
const tick = signal(0);
let watchers = 0;
let timer: ReturnType<typeof setInterval> | null = null;

/** Draws again every second, as long as `on`. */
export function useTick(on: boolean): void {
  if (on) void tick.value;
  useEffect(() => {
    if (!on) return;
    watchers += 1;
    timer ??= setInterval(() => {
      tick.value += 1;
    }, 1000);
    return () => {
      watchers -= 1;
      if (watchers === 0 && timer !== null) {
        clearInterval(timer);
        timer = null;
      }
    };
  }, [on]);
}

/** `1.2 s`, `3 min 4 s`, `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const value = Math.max(0, seconds);
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 59.5) return `${Math.round(value)} s`;
  const whole = Math.round(value);
  const [days, hours, minutes, rest] = [
    Math.floor(whole / 86400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
    whole % 60,
  ];
  const two = (a: number, unitA: string, b: number, unitB: string): string =>
    `${a} ${unitA}${b > 0 ? ` ${b} ${unitB}` : ""}`;
  if (days > 0) return two(days, "d", hours, "h");
  if (hours > 0) return two(hours, "h", minutes, "min");
  return two(minutes, "min", rest, "s");
}

/** `5 s ago`, `in 3 min`; from a few days on the date. */
export function formatRelative(at: number, now: number): string {
  const seconds = Math.round((now - at) / 1000);
  const [size, ago] = [Math.abs(seconds), seconds >= 0];
  // The server's second and ours are not in step.
  if (size < 2) return "just now";
  const say = (text: string): string => (ago ? `${text} ago` : `in ${text}`);
  if (size < 60) return say(`${size} s`);
  if (size < 3600) return say(`${Math.floor(size / 60)} min`);
  if (size < 86400) return say(`${Math.floor(size / 3600)} h`);
  if (size < 7 * 86400) return say(`${Math.floor(size / 86400)} d`);
  return new Date(at).toLocaleDateString(undefined, {
    year: "numeric",
    month: "short",
    day: "numeric",
  });
}

const EXACT: Intl.DateTimeFormatOptions = {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
};

/** The exact time, in the browser's zone. */
export function formatExact(at: number): string {
  return new Date(at).toLocaleString(undefined, EXACT);
}

/** How long ago something was, kept up to date; the exact time is its tooltip. */
export function Time({ at }: { at: string | null | undefined }) {
  useTick(true);
  if (at === null || at === undefined) return <span class="faint">–</span>;
  const time = Date.parse(at);
  if (Number.isNaN(time)) return <span>{at}</span>;
  return (
    <time dateTime={at} title={formatExact(time)}>
      {formatRelative(time, serverNow())}
    </time>
  );
}

interface DurationProps {
  /** Of something that is over, in seconds; */
  seconds?: number | null;
  /** or from this time */
  from?: string | null;
  /** to that one, or until now. */
  to?: string | null;
}

/** How long something took, or takes so far. */
export function Duration({ seconds, from, to }: DurationProps) {
  const running =
    seconds === undefined &&
    from !== null &&
    from !== undefined &&
    (to === null || to === undefined);
  useTick(running);
  let value = seconds ?? null;
  if (value === null && from !== null && from !== undefined) {
    const end = to === null || to === undefined ? serverNow() : Date.parse(to);
    value = (end - Date.parse(from)) / 1000;
    // Tenths of something that goes on would only flicker.
    if (running) value = Math.max(1, Math.floor(value));
  }
  if (value === null || Number.isNaN(value)) return <span class="faint">–</span>;
  return (
    <span class="num">
      {running ? formatDuration(value).replace(/\.0 s$/, " s") : formatDuration(value)}
    </span>
  );
}
