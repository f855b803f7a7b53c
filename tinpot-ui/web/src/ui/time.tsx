import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { serverClock } from "../api/clock";

/** A signal that changes every second, with a timer that runs only while a component uses it. */
class Ticker {
  private readonly count = signal(0);
  private users = 0;
  private timer: ReturnType<typeof setInterval> | null = null;

  /** Subscribes the component that is rendering. */
  read(): void {
    void this.count.value;
  }

  start(): () => void {
    this.users += 1;
    this.timer ??= setInterval(() => {
      this.count.value += 1;
    }, 1000);
    return () => {
      this.users -= 1;
      if (this.users > 0 || this.timer === null) return;
      clearInterval(this.timer);
      this.timer = null;
    };
  }
}

const ticker = new Ticker();

/** Renders the component again every second as long as `on` is true. */
export function useTick(on: boolean): void {
  if (on) ticker.read();
  useEffect(() => (on ? ticker.start() : undefined), [on]);
}

/** Returns a duration in its two largest units: `1.2 s`, `3 min 4 s`, `2 h 5 min`. */
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

/** Returns the distance to a time, `5 s ago` or `in 3 min`; beyond a week, its date. */
export function formatRelative(at: number, now: number): string {
  const seconds = Math.round((now - at) / 1000);
  const [size, ago] = [Math.abs(seconds), seconds >= 0];
  // The seconds of the two clocks do not begin at the same moment.
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
  hourCycle: "h23",
  timeZoneName: "short",
};

/** Returns the exact time in the zone of the browser. */
export function formatExact(at: number): string {
  return new Date(at).toLocaleString(undefined, EXACT);
}

/** A time as its distance from now, which is kept up to date; the exact time is the tooltip. */
export function Time({ at }: { at: string | null | undefined }) {
  useTick(true);
  if (at === null || at === undefined) return <span class="faint">–</span>;
  const time = Date.parse(at);
  if (Number.isNaN(time)) return <span>{at}</span>;
  return (
    <time dateTime={at} title={formatExact(time)}>
      {formatRelative(time, serverClock.now())}
    </time>
  );
}

interface DurationProps {
  /** The duration of something that has ended; without it, `from` and `to` give the duration. */
  seconds?: number | null;
  from?: string | null;
  /** The end, or null while it has not ended. */
  to?: string | null;
}

/** A duration, which grows until there is an end. */
export function Duration({ seconds, from, to }: DurationProps) {
  const running =
    seconds === undefined &&
    from !== null &&
    from !== undefined &&
    (to === null || to === undefined);
  useTick(running);
  let value = seconds ?? null;
  if (value === null && from !== null && from !== undefined) {
    const end = to === null || to === undefined ? serverClock.now() : Date.parse(to);
    value = (end - Date.parse(from)) / 1000;
    // Tenths of a growing duration would flicker.
    if (running) value = Math.max(1, Math.floor(value));
  }
  if (value === null || Number.isNaN(value)) return <span class="faint">–</span>;
  return (
    <span class="num">
      {running ? formatDuration(value).replace(/\.0 s$/, " s") : formatDuration(value)}
    </span>
  );
}
