import { Duration, Icon } from "../ui";
import type { Heading } from "./step-headings";

const SIGN = { succeeded: "✓", failed: "✗", cancelled: "⊘" } as const;

interface StepHeadingProps {
  heading: Heading;
  /** The number of lines that are folded, or null if the step is open. */
  folded: number | null;
  onFold: ((step: string) => void) | undefined;
}

/** The heading of a step or an attempt within the log, which folds its lines. */
export function StepHeading({ heading, folded, onFold }: StepHeadingProps) {
  const { id, depth, info, isAttempt } = heading;
  const name = info?.name ?? `step ${id}`;
  const outcome = info?.outcome ?? null;
  return (
    <button
      type="button"
      class="log-step"
      data-depth={depth}
      data-outcome={outcome ?? undefined}
      data-attempt={isAttempt || undefined}
      aria-expanded={folded === null}
      title={folded === null ? "Fold these lines" : "Show these lines"}
      onClick={() => onFold?.(id)}
    >
      <Icon name="right" />
      {!isAttempt && <span class="unseen">Step </span>}
      <span class="log-step-name">{name}</span>
      {folded !== null && (
        <small>{folded === 1 ? "1 line" : `${folded.toLocaleString("en")} lines`}</small>
      )}
      {info?.error !== undefined && info.error !== "" && <em>{info.error}</em>}
      <span class="log-step-end">
        {outcome === null ? null : (
          <>
            <b aria-hidden="true">{SIGN[outcome as keyof typeof SIGN] ?? "?"}</b>
            <span class="unseen">{outcome}</span>
          </>
        )}
        {info !== null &&
          (info.duration !== null ? (
            <Duration seconds={info.duration} />
          ) : (
            outcome === null && <Duration from={info.started_at} to={null} />
          ))}
      </span>
    </button>
  );
}
