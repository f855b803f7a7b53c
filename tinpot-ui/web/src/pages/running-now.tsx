import { useEffect, useState } from "preact/hooks";
import { serverClock } from "../api/clock";
import type { ExecutionSummary, Worker } from "../api/types";
import { href } from "../app/base-path";
import { hub } from "../stream";
import { Duration, StatusBadge, useTick } from "../ui";

interface Progress {
  done: number;
  total?: number | null;
  message?: string;
}

/** Executions younger than this are not followed: each change opens the stream again. */
const FOLLOWED_AFTER_MS = 3_000;

/** Returns the progress of executions by id. */
function useProgress(executions: readonly ExecutionSummary[]): ReadonlyMap<string, Progress> {
  const [progress, setProgress] = useState<ReadonlyMap<string, Progress>>(new Map());
  const now = serverClock.now();
  const ids = executions
    .filter(
      (one) => one.started_at !== null && now - Date.parse(one.started_at) > FOLLOWED_AFTER_MS,
    )
    .map((one) => one.execution_id)
    .sort()
    .join();
  useEffect(() => {
    const leave =
      ids === ""
        ? []
        : ids.split(",").map((id) =>
            // After any line: only events are of interest here.
            hub.followLog(id, Number.MAX_SAFE_INTEGER, {
              lines: () => undefined,
              event: ({ type, data }) => {
                if (type === "progress")
                  setProgress((old) => new Map(old).set(id, data as Progress));
              },
            }),
          );
    return () => {
      for (const stop of leave) stop();
    };
  }, [ids]);
  return progress;
}

interface RunningNowProps {
  executions: readonly ExecutionSummary[];
  workers: readonly Worker[];
}

/** The running executions with their parameters, progress and worker. */
export function RunningNow({ executions, workers }: RunningNowProps) {
  useTick(true);
  const progress = useProgress(executions);
  const workerOf = new Map(
    workers.flatMap((one) =>
      one.running.map((attempt) => [attempt.execution_id, one.name || one.id] as const),
    ),
  );
  return (
    <ul class="panel rows running stale-dim">
      {executions.map((one) => {
        const at = progress.get(one.execution_id);
        return (
          <li key={one.execution_id}>
            <a href={href(`/executions/${encodeURIComponent(one.execution_id)}`)}>
              <StatusBadge status={one.status} />
              <span class="rows-text">
                {one.action_name}
                {typeof one.parameters_preview === "string" && (
                  <small class="mono">{one.parameters_preview}</small>
                )}
              </span>
              <span class="rows-end">
                <Duration from={one.started_at} to={null} />
              </span>
              <span class="running-below faint">
                {at !== undefined && <Bar progress={at} />}
                <span class="running-worker">{workerOf.get(one.execution_id) ?? ""}</span>
              </span>
            </a>
          </li>
        );
      })}
    </ul>
  );
}

function Bar({ progress }: { progress: Progress }) {
  const { done, total, message = "" } = progress;
  const known = typeof total === "number" && total > 0;
  const percent = known ? Math.min(100, Math.max(0, (done / total) * 100)) : 0;
  return (
    <span class="running-progress">
      {known && <progress aria-label="Progress" value={percent} max={100} />}
      <span>
        {[known ? `${Math.floor(percent)} %` : done.toLocaleString("en"), message]
          .filter(Boolean)
          .join(" · ")}
      </span>
    </span>
  );
}
