import { useMemo } from "preact/hooks";
import type { ExecutionView } from "../api/types";
import type { AttemptInfo, LogSteps } from "../log";
import { outcomeOf } from "./timeline";
import type { ExecutionData } from "./use-execution";

/** Returns the steps for the log, and the attempts if there are several. */
export function useLogSteps(view: ExecutionView, data: ExecutionData): LogSteps {
  const spans = data.steps.data?.spans;
  const { attempts } = view;
  return useMemo(() => {
    const steps = new Map((spans ?? []).map((step) => [step.id, step]));
    if (attempts.length < 2) return { steps, attempts: [] };
    let from = 1;
    const infos = attempts.map((attempt): AttemptInfo => {
      const { number, log_lines, granted_at, started_at, ended_at, outcome } = attempt;
      const began = started_at ?? granted_at;
      const info: AttemptInfo = {
        number,
        from,
        name: `Attempt ${number}`,
        parent: null,
        started_at: began,
        duration: ended_at === null ? null : (Date.parse(ended_at) - Date.parse(began)) / 1000,
        outcome: outcome === null ? null : barOutcome(outcome.status),
        error: outcome?.error,
      };
      from += log_lines;
      return info;
    });
    return { steps, attempts: infos };
  }, [spans, attempts]);
}

function barOutcome(status: string): AttemptInfo["outcome"] {
  const outcome = outcomeOf(status);
  return outcome === "succeeded" || outcome === "failed" || outcome === "cancelled"
    ? outcome
    : null;
}
