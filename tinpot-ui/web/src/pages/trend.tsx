import { type ActionStats, FAILURES, type RecentRun, type Status } from "../api/types";
import { count, formatDuration, statusText } from "../ui";

const [WIDTH, GAP, HEIGHT] = [4, 1, 18];
/** The runs that the API gives. */
export const TREND_RUNS = 20;

function lookOf(status: Status): string {
  if (status === "succeeded") return "ok";
  return FAILURES.includes(status) ? "bad" : "idle";
}

/** Returns the latest runs in words: `18 of the last 20 succeeded`. */
export function trendText(recent: readonly RecentRun[]): string {
  if (recent.length === 0) return "No runs yet";
  const good = recent.filter((one) => one.status === "succeeded").length;
  return `${good} of the last ${count(recent.length, "run")} succeeded`;
}

/** The latest runs of an action as bars, the newest at the right; the height is the duration. */
export function Trend({
  stats,
  runs = TREND_RUNS,
}: {
  stats: ActionStats | undefined;
  runs?: number;
}) {
  if (stats === undefined || stats.recent.length === 0) return null;
  const recent = stats.recent.slice(0, runs);
  const most = Math.max(1, ...recent.map((one) => one.duration_ms ?? 0));
  return (
    <svg
      class="trend"
      width={runs * (WIDTH + GAP)}
      height={HEIGHT}
      role="img"
      aria-label={trendText(recent)}
    >
      {recent.map((one, at) => {
        const height = Math.max(4, ((one.duration_ms ?? 0) / most) * HEIGHT);
        return (
          <rect
            key={one.execution_id}
            class={`bar-${lookOf(one.status)}`}
            x={(runs - 1 - at) * (WIDTH + GAP)}
            y={HEIGHT - height}
            width={WIDTH}
            height={height}
            rx="1"
          >
            <title>
              {statusText(one.status) +
                (one.duration_ms === null ? "" : `, ${formatDuration(one.duration_ms / 1000)}`)}
            </title>
          </rect>
        );
      })}
    </svg>
  );
}
