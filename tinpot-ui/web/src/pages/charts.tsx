// Small charts drawn with SVG attributes: the content security policy forbids style attributes.
import type { ComponentChildren } from "preact";
import type { MinuteStats, Stats } from "../api/types";
import { formatDuration } from "../ui";

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

/** Groups the last `minutes` into at most `bars` bars. Minutes without data count as empty. */
export function buckets(stats: Stats, minutes: number, bars: number, now: number): Bucket[] {
  const minute = stats.minute_seconds * 1000;
  const per = Math.ceil(minutes / bars);
  const last = Math.floor(now / minute);
  const byMinute = new Map(
    stats.minutes.map((one) => [Math.floor(Date.parse(one.at) / minute), one]),
  );
  const result: Bucket[] = [];
  for (let end = last; end > last - minutes; end -= per) {
    const inside: MinuteStats[] = [];
    for (let at = end - per + 1; at <= end; at += 1) {
      const one = byMinute.get(at);
      if (one !== undefined) inside.push(one);
    }
    const most = (of: (one: MinuteStats) => number | null): number | null => {
      const known = inside.map(of).filter((value): value is number => value !== null);
      return known.length === 0 ? null : Math.max(...known);
    };
    result.push({
      at: (end - per + 1) * minute,
      seconds: (per * minute) / 1000,
      succeeded: total(inside, (one) => one.succeeded),
      failed: total(inside, (one) => one.failed + one.timed_out + one.lost),
      cancelled: total(inside, (one) => one.cancelled),
      // The worst of several minutes, because an average of medians has no meaning.
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

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [600, 150, 40, 18, 8];
const INNER = HEIGHT - BOTTOM - TOP;

const clock = (at: number): string =>
  new Date(at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

interface FrameProps {
  label: string;
  top: string;
  middle: string;
  from: number;
  to: number;
  children: ComponentChildren;
}

function Frame({ label, top, middle, from, to, children }: FrameProps) {
  return (
    <svg class="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      {[
        [TOP, top],
        [TOP + INNER / 2, middle],
        [TOP + INNER, "0"],
      ].map(([y, text]) => (
        <g key={String(y)}>
          <line class="grid" x1={LEFT} x2={WIDTH} y1={y} y2={y} />
          <text x={LEFT - 6} y={Number(y) + 3.5} text-anchor="end">
            {text}
          </text>
        </g>
      ))}
      <text x={LEFT} y={HEIGHT - 3}>
        {clock(from)}
      </text>
      <text x={WIDTH} y={HEIGHT - 3} text-anchor="end">
        {clock(to)}
      </text>
      {children}
    </svg>
  );
}

/** The executions that finished over time, by outcome. */
export function ThroughputChart({ buckets: bars }: { buckets: readonly Bucket[] }) {
  const most = niceTop(
    Math.max(2, ...bars.map((one) => one.succeeded + one.failed + one.cancelled)),
  );
  const step = (WIDTH - LEFT) / Math.max(1, bars.length);
  const [done, failed] = [
    bars.reduce((so, one) => so + one.succeeded, 0),
    bars.reduce((so, one) => so + one.failed, 0),
  ];
  return (
    <Frame
      label={`${done} succeeded and ${failed} failed`}
      top={String(most)}
      middle={String(most / 2)}
      from={bars[0]?.at ?? 0}
      to={(bars[bars.length - 1]?.at ?? 0) + (bars[0]?.seconds ?? 0) * 1000}
    >
      {bars.map((one, at) => {
        let y = TOP + INNER;
        const parts = [
          ["ok", one.succeeded],
          ["idle", one.cancelled],
          ["bad", one.failed],
        ] as const;
        return (
          <g key={one.at}>
            {parts.map(([look, value]) => {
              if (value === 0) return null;
              // A single failure among thousands stays visible.
              const height = Math.max(1.5, (value / most) * INNER);
              y -= height;
              return (
                <rect
                  key={look}
                  class={`bar-${look}`}
                  x={LEFT + at * step + 0.75}
                  width={Math.max(1, step - 1.5)}
                  y={y}
                  height={height}
                  rx="1"
                />
              );
            })}
            <rect class="hit" x={LEFT + at * step} width={step} y={TOP} height={INNER}>
              <title>{`${clock(one.at)}: ${one.succeeded} succeeded, ${one.failed} failed, ${one.cancelled} cancelled`}</title>
            </rect>
          </g>
        );
      })}
    </Frame>
  );
}

/** The median and the 95th percentile of durations over time. */
export function DurationChart({ buckets: bars }: { buckets: readonly Bucket[] }) {
  const most = niceTop(Math.max(0.01, ...bars.map((one) => Math.max(one.p50 ?? 0, one.p95 ?? 0))));
  const step = (WIDTH - LEFT) / Math.max(1, bars.length);
  const x = (at: number): number => LEFT + (at + 0.5) * step;
  const y = (value: number): number => TOP + INNER - (value / most) * INNER;
  const known = bars.some((one) => one.p50 !== null);
  return (
    <Frame
      label={known ? `Durations up to ${formatDuration(most)}` : "No durations yet"}
      top={formatDuration(most)}
      middle={formatDuration(most / 2)}
      from={bars[0]?.at ?? 0}
      to={(bars[bars.length - 1]?.at ?? 0) + (bars[0]?.seconds ?? 0) * 1000}
    >
      {bars.map((one, at) =>
        one.p50 === null || one.p95 === null ? null : (
          <g key={one.at}>
            <line class="range" x1={x(at)} x2={x(at)} y1={y(one.p50)} y2={y(one.p95)} />
            <circle class="p95" cx={x(at)} cy={y(one.p95)} r="2" />
            <circle class="p50" cx={x(at)} cy={y(one.p50)} r="2.6" />
            <rect class="hit" x={LEFT + at * step} width={step} y={TOP} height={INNER}>
              <title>{`${clock(one.at)}: median ${formatDuration(one.p50)}, 95th percentile ${formatDuration(one.p95)}`}</title>
            </rect>
          </g>
        ),
      )}
    </Frame>
  );
}
