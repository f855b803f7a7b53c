// Why an execution waits, failed or was ended.
import { useEffect, useState } from "preact/hooks";
import { api } from "../api/client";
import type { ExecutionView } from "../api/types";
import { href } from "../app/base-path";
import { hub, useResource } from "../stream";
import { Button, CopyButton, count, Duration, formatDuration, Icon, statusText, Time } from "../ui";

/** The last lines of a traceback that are shown at first. */
const TRACEBACK_LINES = 12;

interface FailureProps {
  view: ExecutionView;
  /** Shows the last line of the log. */
  onLastLine: (() => void) | undefined;
}

/** The error of an execution, with the end of its traceback. */
export function Failure({ view, onLastLine }: FailureProps) {
  const { outcome } = view;
  const [all, setAll] = useState(false);
  if (outcome === null || outcome.error === undefined || isPlainEnd(view)) return null;
  const { kind, error, traceback } = outcome;
  // The text usually begins with the kind.
  const named =
    kind !== undefined && error.startsWith(`${kind}: `) ? error.slice(kind.length + 2) : error;
  const lines = (traceback ?? "").trimEnd().split("\n");
  const hidden = Math.max(0, lines.length - TRACEBACK_LINES);
  return (
    <div class="failure" data-status={view.status} role="group" aria-label="Error">
      <div class="failure-head">
        <p>
          {kind !== undefined && <strong>{kind}: </strong>}
          {named}
        </p>
        {onLastLine !== undefined && (
          <Button look="quiet" class="small" icon="last" onClick={onLastLine}>
            Jump to last line
          </Button>
        )}
        {traceback !== undefined && (
          <CopyButton text={() => traceback} label="Copy the traceback" />
        )}
      </div>
      {traceback !== undefined && (
        <>
          {hidden > 0 && (
            <button type="button" class="failure-more" onClick={() => setAll(!all)}>
              {all ? "Show the last lines only" : `Show ${count(hidden, "earlier line")}`}
            </button>
          )}
          <pre tabIndex={0} role="region" aria-label="Traceback">
            {lines.slice(all ? 0 : hidden).join("\n")}
          </pre>
        </>
      )}
    </div>
  );
}

/** Returns true if the error only repeats the status, which {@link EndNote} explains. */
export function isPlainEnd({ status, outcome }: ExecutionView): boolean {
  if (status !== "cancelled" && status !== "timed_out") return false;
  return outcome?.traceback === undefined && outcome?.error?.toLowerCase() === statusText(status);
}

/** The reason why an execution ended before it was done. */
export function EndNote({ view }: { view: ExecutionView }) {
  const text = endText(view);
  if (text === null) return null;
  return (
    <p class="end-note" data-status={view.status}>
      <Icon name={view.status === "timed_out" ? "clock" : "warning"} />
      {text}
    </p>
  );
}

function endText(view: ExecutionView): string | null {
  const killed = view.killed === true ? " It did not stop when asked to and was killed." : "";
  switch (view.status) {
    case "timed_out": {
      const limit =
        typeof view.timeout_ms === "number" ? view.timeout_ms / 1000 : (view.timeout ?? null);
      return limit === null
        ? `Timed out.${killed}`
        : `Timed out after the limit of ${formatDuration(limit).replace(/\.0 s$/, " s")}.${killed}`;
    }
    case "cancelled": {
      const by = typeof view.cancelled_by === "string" ? ` by ${view.cancelled_by}` : "";
      const when = view.started_at === null ? " before it started" : "";
      const gently =
        view.killed === false && view.started_at !== null ? " It stopped when asked to." : killed;
      // The status says as much.
      if (by === "" && when === "" && gently === "") return null;
      return `Cancelled${by}${when}.${gently}`;
    }
    case "cancelling": {
      const by = typeof view.cancelled_by === "string" ? ` by ${view.cancelled_by}` : "";
      return `Cancellation requested${by}. The action is still running.`;
    }
    default:
      return null;
  }
}

/** The queued executions among which the position is counted. */
const POSITION_MAX = 200;

/** The reason why an execution waits, in place of its log. */
export function QueuedCard({ view }: { view: ExecutionView }) {
  const { queue: name, execution_id: id } = view;
  const queues = useResource("queues", (signal) => api.queues({ signal }));
  const ahead = useResource(`ahead ${id}`, async (signal) => {
    const page = await api.executions(
      { status: ["queued"], queue: name, limit: POSITION_MAX },
      { signal },
    );
    if (page.next !== null) return null;
    const before = page.executions.filter(
      (one) =>
        one.priority > view.priority || (one.priority === view.priority && one.execution_id < id),
    );
    return before.length + 1;
  });
  useEffect(() => {
    const leave = [
      hub.onChange("queues", queues.reload),
      hub.onChange("workers", queues.reload),
      hub.onExecutions(ahead.reload),
    ];
    return () => {
      for (const one of leave) one();
    };
  }, [queues.reload, ahead.reload]);
  const queue = queues.data?.queues.find((one) => one.name === name);
  const delayed = view.not_before !== null && Date.parse(view.not_before) > Date.now();
  return (
    <div class="queued-card">
      <Icon name="clock" />
      <div>
        <strong>{reason(view, queue, delayed)}</strong>
        <dl>
          <div>
            <dt>Queue</dt>
            <dd>
              <a href={href("/queues")}>{name}</a>
              {queue?.paused === true && <span class="tag">paused</span>}
            </dd>
          </div>
          {!delayed && (
            <div>
              <dt>Position</dt>
              <dd>
                {ahead.data === null
                  ? ahead.loading
                    ? "…"
                    : `behind more than ${POSITION_MAX}`
                  : `${ahead.data} of ${Math.max(ahead.data, queue?.waiting ?? 0)}`}
              </dd>
            </div>
          )}
          {view.not_before !== null && (
            <div>
              <dt>Not before</dt>
              <dd>
                <Time at={view.not_before} />
              </dd>
            </div>
          )}
          {view.expires_at !== null && (
            <div>
              <dt>Expires</dt>
              <dd>
                <Time at={view.expires_at} />
              </dd>
            </div>
          )}
          <div>
            <dt>Waiting for</dt>
            <dd>
              <Duration from={view.accepted_at} to={null} />
            </dd>
          </div>
          {queue !== undefined && (
            <div>
              <dt>Workers</dt>
              <dd>{queue.workers.toLocaleString("en")}</dd>
            </div>
          )}
          {view.priority !== 0 && (
            <div>
              <dt>Priority</dt>
              <dd>{view.priority}</dd>
            </div>
          )}
        </dl>
      </div>
    </div>
  );
}

function reason(
  view: ExecutionView,
  queue: { paused: boolean; reason: string | null; workers: number } | undefined,
  delayed: boolean,
): string {
  if (queue?.paused === true) return "The queue is paused";
  if (delayed)
    return view.attempts.length > 0
      ? `Attempt ${view.attempts.length + 1} starts after a pause`
      : "The start is delayed";
  const { reason: text = null } = queue ?? {};
  if (text !== null && text !== "") return text.slice(0, 1).toUpperCase() + text.slice(1);
  if (queue?.workers === 0) return "No worker serves this queue";
  return "Waiting for a free slot";
}
