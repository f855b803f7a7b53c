import { useRef } from "preact/hooks";
import type { ExecutionSummary } from "../api/types";
import { href } from "../app/base-path";
import { Duration, hasReason, Icon, numberText, StatusBadge, Time } from "../ui";

export type Selection = ReadonlyMap<string, ExecutionSummary>;

/** The executions that one request can change. */
export const SELECTED_MAX = 100;

interface ExecutionTableProps {
  executions: readonly ExecutionSummary[];
  selected: Selection;
  onSelect: (selected: Selection) => void;
  busy: boolean;
}

export function ExecutionTable({ executions, selected, onSelect, busy }: ExecutionTableProps) {
  const last = useRef<string | null>(null);
  const set = (list: readonly ExecutionSummary[], on: boolean): void => {
    const next = new Map(selected);
    for (const one of list) {
      if (!on) next.delete(one.execution_id);
      else if (next.size < SELECTED_MAX) next.set(one.execution_id, one);
    }
    onSelect(next);
  };
  /** Selects a row, or with Shift all rows since the last one. */
  const toggle = (at: number, on: boolean, range: boolean): void => {
    const from = executions.findIndex((one) => one.execution_id === last.current);
    last.current = executions[at]?.execution_id ?? null;
    const [low, high] = range && from >= 0 ? [Math.min(from, at), Math.max(from, at)] : [at, at];
    set(executions.slice(low, high + 1), on);
  };
  const here = executions.filter((one) => selected.has(one.execution_id)).length;
  return (
    <div class="panel table-wrap stale-dim" aria-busy={busy || undefined}>
      <table class="executions">
        <thead>
          <tr>
            <th class="col-select">
              <input
                type="checkbox"
                aria-label="Select all executions on this page"
                checked={here > 0 && here === executions.length}
                indeterminate={here > 0 && here < executions.length}
                onChange={(event) => set(executions, event.currentTarget.checked)}
              />
            </th>
            <th>Status</th>
            <th>Action</th>
            <th class="wide">Parameters</th>
            <th class="wide">Execution</th>
            <th class="wide">Queue</th>
            <th class="wide">Requested by</th>
            <th class="right">Duration</th>
            <th class="right">Accepted</th>
          </tr>
        </thead>
        <tbody>
          {executions.map((one, at) => (
            <tr key={one.execution_id} data-selected={selected.has(one.execution_id) || undefined}>
              <td class="col-select">
                <input
                  type="checkbox"
                  aria-label={`Select ${one.action_name} ${numberText(one)}`}
                  checked={selected.has(one.execution_id)}
                  onClick={(event) => toggle(at, event.currentTarget.checked, event.shiftKey)}
                />
              </td>
              <td class="col-status">
                <StatusBadge status={one.status} />
              </td>
              <td class="main-cell">
                <a href={href(`/executions/${encodeURIComponent(one.execution_id)}`)}>
                  {one.action_name}
                </a>
                {one.parent !== undefined && (
                  <span class="child-mark" title="Child of another execution">
                    <Icon name="child" />
                  </span>
                )}
                {one.version !== undefined && <span class="tag">version {one.version}</span>}
                {one.attempts > 1 && <span class="tag">{one.attempts} attempts</span>}
                {hasReason(one) && <p class="row-error">{one.error}</p>}
              </td>
              <td class="col-parameters mono soft">
                {typeof one.parameters_preview === "string" && (
                  <span title={one.parameters_preview}>{one.parameters_preview}</span>
                )}
              </td>
              <td class="wide mono faint nowrap" title={one.execution_id}>
                {numberText(one)}
              </td>
              <td class="wide">
                <FilterLink name="queue" value={one.queue} />
              </td>
              <td class="wide">
                {typeof one.requested_by === "string" && (
                  <FilterLink name="requested_by" value={one.requested_by} />
                )}
              </td>
              <td class="col-duration right nowrap">
                <Duration from={one.started_at} to={one.finished_at} />
              </td>
              <td class="col-time right nowrap soft">
                <Time at={one.accepted_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A value that filters the history when it is selected. */
function FilterLink({ name, value }: { name: "queue" | "requested_by"; value: string }) {
  return (
    <a class="quiet-link" href={href(`/executions?${name}=${encodeURIComponent(value)}`)}>
      {value}
    </a>
  );
}
