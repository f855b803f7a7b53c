import { Empty, ExecutionLink, formatDuration } from "../ui";
import type { Bar } from "./timeline";

const OUTCOME_TEXT: Record<Bar["outcome"], string> = {
  succeeded: "succeeded",
  failed: "failed",
  cancelled: "cancelled",
  pending: "not finished",
  unknown: "unknown",
};

interface TimelineProps {
  bars: readonly Bar[];
  left: number;
  seconds: number;
  /** If false, as in a frame of another site, nothing leads to other pages. */
  links: boolean;
  /** Called to show the lines of an attempt or a step. */
  onStep: (id: string, startedAt: string) => void;
}

/** A bar for each attempt, step and child on one time axis. */
export function Timeline({ bars, left, seconds, links, onStep }: TimelineProps) {
  if (bars.length === 0) return <Empty title="No attempts yet" />;
  return (
    <div class="timeline">
      <div class="timeline-axis" aria-hidden="true">
        <span />
        <div>
          {[0, 0.25, 0.5, 0.75, 1].map((part) => (
            <span key={part} style={{ left: `${part * 100}%` }}>
              {part === 0 ? "0" : formatDuration(seconds * part)}
            </span>
          ))}
        </div>
      </div>
      <div role="table" aria-label="Timeline">
        {bars.map((bar) => (
          <div
            key={bar.key}
            class="timeline-row"
            role="row"
            data-kind={bar.kind}
            data-outcome={bar.outcome}
          >
            <span
              class="timeline-name"
              role="rowheader"
              title={bar.label}
              style={{ paddingLeft: `${bar.depth * 14}px` }}
            >
              {bar.executionId !== null ? (
                links ? (
                  <ExecutionLink id={bar.executionId}>{bar.label}</ExecutionLink>
                ) : (
                  bar.label
                )
              ) : (
                <button
                  type="button"
                  title={`Show the lines of ${bar.label}`}
                  onClick={() => onStep(bar.key, bar.startedAt)}
                >
                  {bar.label}
                </button>
              )}
              {bar.attempts > 1 && <small> ×{bar.attempts}</small>}
            </span>
            <span class="timeline-track" role="cell" title={bar.error ?? undefined}>
              {bar.from !== null && bar.to !== null && (
                <i
                  style={{
                    left: `${bar.from * 100}%`,
                    width: `${Math.max(0, bar.to - bar.from) * 100}%`,
                  }}
                />
              )}
              <span class="unseen">{OUTCOME_TEXT[bar.outcome]}</span>
            </span>
            <span class="timeline-time" role="cell">
              <b aria-hidden="true">
                {
                  { succeeded: "✓", failed: "✗", cancelled: "⊘", pending: "…", unknown: "?" }[
                    bar.outcome
                  ]
                }
              </b>
              {bar.seconds === null ? "–" : formatDuration(bar.seconds)}
            </span>
            {bar.error !== null && (
              <span class="timeline-error" role="cell">
                {bar.error}
              </span>
            )}
          </div>
        ))}
      </div>
      {left > 0 && <p class="faint">{left.toLocaleString("en")} more not shown</p>}
    </div>
  );
}
