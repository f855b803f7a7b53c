// The top of the page of an execution: its place, its parameters and its facts.
import type { ExecutionView } from "../api/types";
import { href } from "../app/base-path";
import { setQuery } from "../app/router";
import { isObject, type Json, writeJson } from "../json/lossless-json";
import { CopyButton, Duration, ExecutionLink, numberText, Time } from "../ui";
import type { ProgressView } from "./use-execution";

/** The characters of a value and the parameters that chips show. */
const VALUE_CHARS = 48;
const CHIPS_MAX = 12;

interface HeaderProps {
  view: ExecutionView;
  /** If false, as in a frame of another site, nothing leads to other pages. */
  links: boolean;
}

export function Breadcrumb({ view, links }: HeaderProps) {
  const { execution_id: id, action_name: action } = view;
  const short = <code title={id}>{numberText(view)}</code>;
  if (!links) return <p class="breadcrumb">{short}</p>;
  return (
    <nav class="breadcrumb" aria-label="Breadcrumb">
      <a href={href("/executions")}>History</a>
      <span aria-hidden="true">/</span>
      <a href={`${href("/executions")}?action=${encodeURIComponent(action)}`}>{action}</a>
      <span aria-hidden="true">/</span>
      {short}
      <CopyButton text={() => id} label="Copy the ID" />
    </nav>
  );
}

/** Returns a value as short text. */
function valueText(value: unknown): string {
  const text = typeof value === "string" ? value : writeJson(value as Json);
  const line = text.replace(/\s+/g, " ");
  return line.length > VALUE_CHARS ? `${line.slice(0, VALUE_CHARS)}…` : line;
}

/** The parameters as one line; the rest is in a tab. */
export function ParameterChips({ view }: { view: ExecutionView }) {
  const parameters = isObject(view.parameters) ? Object.entries(view.parameters) : [];
  if (parameters.length === 0) return null;
  const more = parameters.length - CHIPS_MAX;
  return (
    <ul class="parameter-chips" aria-label="Parameters">
      {parameters.slice(0, CHIPS_MAX).map(([name, value]) => (
        <li key={name} title={`${name} = ${valueText(value)}`}>
          <i>{name}</i>
          {typeof value === "string" && value === "" ? <em>empty</em> : valueText(value)}
        </li>
      ))}
      {more > 0 && (
        <li>
          <button type="button" onClick={() => setQuery({ tab: "call" })}>
            {more} more
          </button>
        </li>
      )}
    </ul>
  );
}

/** The times and the places of an execution; `brief` leaves out all but a few. */
export function Facts({ view, links, brief = false }: HeaderProps & { brief?: boolean }) {
  const last = view.attempts[view.attempts.length - 1];
  return (
    <dl class="execution-facts stale-dim">
      <div>
        <dt>Duration</dt>
        <dd>
          {view.started_at === null ? (
            <span class="faint">Not started</span>
          ) : (
            <Duration from={view.started_at} to={view.finished_at} />
          )}
        </dd>
      </div>
      <div>
        <dt>{view.started_at === null ? "Accepted" : "Started"}</dt>
        <dd>
          <Time at={view.started_at ?? view.accepted_at} />
        </dd>
      </div>
      {view.started_at !== null && !brief && (
        <div>
          <dt>Queued for</dt>
          <dd>
            <Duration from={view.accepted_at} to={view.started_at} />
          </dd>
        </div>
      )}
      {typeof view.requested_by === "string" && !brief && (
        <div>
          <dt>Requested by</dt>
          <dd>{view.requested_by}</dd>
        </div>
      )}
      {view.version !== undefined && (
        <div>
          <dt>App version</dt>
          <dd>
            {links ? (
              <a
                href={href(
                  `/apps/${encodeURIComponent(view.action_name)}/versions/${view.version}`,
                )}
              >
                {view.version}
              </a>
            ) : (
              view.version
            )}
          </dd>
        </div>
      )}
      {last !== undefined && (
        <div>
          <dt>Worker</dt>
          <dd class="mono">{last.worker}</dd>
        </div>
      )}
      {!brief && (
        <div>
          <dt>Queue</dt>
          <dd>{view.queue}</dd>
        </div>
      )}
      {(view.retries > 0 || view.attempts.length > 1) && (
        <div>
          <dt>Attempts</dt>
          <dd>
            {view.attempts.length} of up to {view.retries + 1}
          </dd>
        </div>
      )}
      {view.parent !== null && !brief && (
        <div>
          <dt>Parent</dt>
          <dd>
            {links ? (
              <ExecutionLink id={view.parent.execution_id} />
            ) : (
              <code>{view.parent.execution_id}</code>
            )}
          </dd>
        </div>
      )}
    </dl>
  );
}

/**
 * Returns the line that an action is writing, or null: it arrives as the message of a progress
 * without numbers.
 */
export function unfinishedLine(progress: ProgressView | null): string | null {
  if (progress === null || progress.done !== 0 || typeof progress.total === "number") return null;
  return progress.message === undefined || progress.message === "" ? null : progress.message;
}

export function ProgressBar({ progress }: { progress: ProgressView }) {
  const { done, total, message } = progress;
  const known = typeof total === "number" && total > 0;
  const isEmpty = !known && done === 0 && (message === undefined || message === "");
  if (isEmpty || unfinishedLine(progress) !== null) return null;
  const percent = known ? Math.min(100, Math.max(0, (done / total) * 100)) : 0;
  return (
    <div class="progress-line">
      <progress aria-label="Progress" {...(known ? { value: percent, max: 100 } : {})} />
      <span>
        {known ? `${Math.floor(percent)} %` : done.toLocaleString("en")}
        {message !== undefined && message !== "" && ` · ${message}`}
      </span>
    </div>
  );
}
