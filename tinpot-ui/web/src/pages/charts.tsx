// Small charts drawn with SVG attributes: the content security policy forbids style attributes.
import type { ComponentChildren } from "preact";
import { formatDuration } from "../ui";
import { type Bucket, clock, durationAxis, niceTop } from "./chart-scale";
import { useWidth } from "./use-width";

const [HEIGHT, BOTTOM, TOP] = [160, 20, 10];
const INNER = HEIGHT - BOTTOM - TOP;
/** The width of a character of a label, rounded up. */
const CHAR = 7.5;

interface FrameProps {
  label: string;
  buckets: readonly Bucket[];
  /** The labels of the top and the middle of the axis. */
  labels: [string, string];
  /** Draws the bars between `left` and the right edge. */
  children: (left: number, step: number) => ComponentChildren;
}

/** The axes of a chart. It is drawn at its real size, so that its text is as large as other text. */
function Frame({ label, buckets, labels, children }: FrameProps) {
  const { element, width } = useWidth<SVGSVGElement>(600);
  const left = Math.ceil(Math.max(...labels.map((text) => text.length)) * CHAR) + 8;
  const [first, last] = [buckets[0], buckets[buckets.length - 1]];
  const begin = first?.at ?? 0;
  const end = (last?.at ?? 0) + (last?.seconds ?? 0) * 1000;
  const long = end - begin > 12 * 3_600_000;
  return (
    <svg
      ref={element}
      class="chart"
      height={HEIGHT}
      viewBox={`0 0 ${width} ${HEIGHT}`}
      role="img"
      aria-label={label}
    >
      {[
        [TOP, labels[0]],
        [TOP + INNER / 2, labels[1]],
        [TOP + INNER, "0"],
      ].map(([y, text]) => (
        <g key={String(y)}>
          <line class="grid" x1={left} x2={width} y1={y} y2={y} />
          <text x={left - 6} y={Number(y) + 4} text-anchor="end">
            {text}
          </text>
        </g>
      ))}
      <text x={left} y={HEIGHT - 4}>
        {clock(begin, long)}
      </text>
      <text x={(left + width) / 2} y={HEIGHT - 4} text-anchor="middle">
        {clock((begin + end) / 2, false)}
      </text>
      <text x={width} y={HEIGHT - 4} text-anchor="end">
        now
      </text>
      {children(left, (width - left) / Math.max(1, buckets.length))}
    </svg>
  );
}

/** The executions that finished over time, by outcome. */
export function ThroughputChart({ buckets: bars }: { buckets: readonly Bucket[] }) {
  const most = niceTop(
    Math.max(2, ...bars.map((one) => one.succeeded + one.failed + one.cancelled)),
  );
  const [done, failed] = [
    bars.reduce((so, one) => so + one.succeeded, 0),
    bars.reduce((so, one) => so + one.failed, 0),
  ];
  return (
    <Frame
      label={`${done} succeeded and ${failed} failed`}
      buckets={bars}
      labels={[most.toLocaleString("en"), (most / 2).toLocaleString("en")]}
    >
      {(left, step) =>
        bars.map((one, at) => {
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
                    x={left + at * step + 0.75}
                    width={Math.max(1, step - 1.5)}
                    y={y}
                    height={height}
                    rx="1"
                  />
                );
              })}
              <rect class="hit" x={left + at * step} width={step} y={TOP} height={INNER}>
                <title>{`${clock(one.at, true)}: ${one.succeeded} succeeded, ${one.failed} failed, ${one.cancelled} cancelled`}</title>
              </rect>
            </g>
          );
        })
      }
    </Frame>
  );
}

/** The median and the 95th percentile of durations over time. */
export function DurationChart({ buckets: bars }: { buckets: readonly Bucket[] }) {
  const { top, labels } = durationAxis(
    Math.max(0.001, ...bars.map((one) => Math.max(one.p50 ?? 0, one.p95 ?? 0))),
  );
  const y = (value: number): number => TOP + INNER - (value / top) * INNER;
  const known = bars.some((one) => one.p50 !== null);
  return (
    <Frame
      label={known ? `Durations up to ${formatDuration(top)}` : "No durations yet"}
      buckets={bars}
      labels={labels}
    >
      {(left, step) =>
        bars.map((one, at) => {
          if (one.p50 === null || one.p95 === null) return null;
          const x = left + (at + 0.5) * step;
          return (
            <g key={one.at}>
              <line class="range" x1={x} x2={x} y1={y(one.p50)} y2={y(one.p95)} />
              <circle class="p95" cx={x} cy={y(one.p95)} r="2" />
              <circle class="p50" cx={x} cy={y(one.p50)} r="2.6" />
              <rect class="hit" x={left + at * step} width={step} y={TOP} height={INNER}>
                <title>{`${clock(one.at, true)}: median ${formatDuration(one.p50)}, 95th percentile ${formatDuration(one.p95)}`}</title>
              </rect>
            </g>
          );
        })
      }
    </Frame>
  );
}
