import { useEffect } from "preact/hooks";
import type { ExecutionFilter } from "../api/client";
import { type ExecutionSummary, isStatus, STATUSES } from "../api/types";
import { href } from "../app/base-path";
import { catalogue } from "../app/catalogue";
import { location, navigate, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { toLocal } from "../form/formats";
import {
  Button,
  Duration,
  Empty,
  ErrorBox,
  Icon,
  Loading,
  PageHead,
  StatusBadge,
  shortId,
  statusText,
  Time,
} from "../ui";
import { useExecutions } from "./use-executions";

const PAGE = 50;

/** Returns the filter of an address. Ignores invalid values, because links may be typed by hand. */
export function filterOf(query: URLSearchParams): ExecutionFilter {
  const filter: ExecutionFilter = {};
  const statuses = (query.get("status") ?? "").split(",").filter(isStatus);
  if (statuses.length > 0) filter.status = statuses;
  for (const name of ["action", "queue", "requested_by", "parent", "before"] as const) {
    const text = query.get(name)?.trim();
    if (text !== undefined && text !== "") filter[name] = text;
  }
  for (const name of ["since", "until"] as const) {
    const time = Date.parse(query.get(name) ?? "");
    if (!Number.isNaN(time)) filter[name] = new Date(time).toISOString();
  }
  return filter;
}

export function HistoryPage() {
  useTitle("History");
  useEffect(catalogue.need, []);
  const { query } = location.value;
  const filter = filterOf(query);
  const page = useExecutions(filter, PAGE);
  const filtered = Object.keys(filter).some((name) => name !== "before");
  const rows = page.data?.executions;
  return (
    <>
      <PageHead
        title="History"
        sub={filter.before === undefined ? "Newest first, live" : "Older executions"}
      />
      <Filters filter={filter} filtered={filtered} />
      {page.error !== null && <ErrorBox error={page.error} retry={page.reload} />}
      {rows === undefined && page.error === null && <Loading rows={8} />}
      {rows?.length === 0 && (
        <Empty title={filtered ? "No matching executions" : "No executions yet"} icon="history">
          {filtered ? (
            <Button onClick={() => navigate("/executions")}>Clear filters</Button>
          ) : (
            <a href={href("/actions")}>Run an action</a>
          )}
        </Empty>
      )}
      {rows !== undefined && rows.length > 0 && <ExecutionTable executions={rows} />}
      <nav class="pager" aria-label="Pagination">
        {filter.before !== undefined && (
          <Button icon="up" onClick={() => setQuery({ before: null }, {})}>
            Newest
          </Button>
        )}
        {page.data?.next !== null && page.data?.next !== undefined && (
          <Button icon="down" onClick={() => setQuery({ before: page.data?.next ?? null }, {})}>
            Older
          </Button>
        )}
      </nav>
    </>
  );
}

interface FiltersProps {
  filter: ExecutionFilter;
  filtered: boolean;
}

function Filters({ filter, filtered }: FiltersProps) {
  const chosen = filter.status ?? [];
  const change = (name: string, value: string | null): void =>
    setQuery({ [name]: value, before: null });
  const names = catalogue.actions.value?.map((one) => one.name) ?? [];
  return (
    <form
      class="filters"
      role="search"
      aria-label="Filter executions"
      onSubmit={(event) => event.preventDefault()}
    >
      <div class="chips" role="group" aria-label="Status">
        {STATUSES.filter((status) => status !== "cancelling").map((status) => {
          const on = chosen.includes(status);
          return (
            <button
              key={status}
              type="button"
              class="chip"
              data-status={status}
              aria-pressed={on}
              onClick={() =>
                change(
                  "status",
                  (on ? chosen.filter((one) => one !== status) : [...chosen, status]).join(","),
                )
              }
            >
              {statusText(status)}
            </button>
          );
        })}
      </div>
      <div class="filter-row">
        <label>
          Action{" "}
          <input
            list="filter-actions"
            value={filter.action ?? ""}
            placeholder="any"
            spellcheck={false}
            onChange={(event) => change("action", event.currentTarget.value)}
          />
        </label>
        <datalist id="filter-actions">
          {names.slice(0, 500).map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <label>
          Queue{" "}
          <input
            value={filter.queue ?? ""}
            placeholder="any"
            spellcheck={false}
            onChange={(event) => change("queue", event.currentTarget.value)}
          />
        </label>
        <label>
          Requested by{" "}
          <input
            value={filter.requested_by ?? ""}
            placeholder="anyone"
            spellcheck={false}
            onChange={(event) => change("requested_by", event.currentTarget.value)}
          />
        </label>
        <label>
          From{" "}
          <input
            type="datetime-local"
            value={filter.since === undefined ? "" : toLocal(filter.since)}
            onChange={(event) => change("since", instant(event.currentTarget.value))}
          />
        </label>
        <label>
          To{" "}
          <input
            type="datetime-local"
            value={filter.until === undefined ? "" : toLocal(filter.until)}
            onChange={(event) => change("until", instant(event.currentTarget.value))}
          />
        </label>
        {filter.parent !== undefined && (
          <span class="tag">Children of {shortId(filter.parent)}</span>
        )}
        {filtered && (
          <Button look="quiet" icon="close" onClick={() => navigate("/executions")}>
            Clear filters
          </Button>
        )}
      </div>
    </form>
  );
}

function instant(local: string): string | null {
  const time = Date.parse(local);
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}

export function ExecutionTable({ executions }: { executions: readonly ExecutionSummary[] }) {
  return (
    <div class="panel table-wrap stale-dim">
      <table class="executions">
        <thead>
          <tr>
            <th>Status</th>
            <th>Action</th>
            <th class="wide">Execution</th>
            <th class="wide">Queue</th>
            <th class="wide">Requested by</th>
            <th class="right">Duration</th>
            <th class="right">Accepted</th>
          </tr>
        </thead>
        <tbody>
          {executions.map((one) => (
            <tr key={one.execution_id}>
              <td>
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
                {one.attempts > 1 && <span class="tag">{one.attempts} attempts</span>}
                {one.error !== null && <p class="row-error">{one.error}</p>}
              </td>
              <td class="wide mono faint">{shortId(one.execution_id)}</td>
              <td class="wide soft">{one.queue}</td>
              <td class="wide soft">{one.requested_by ?? ""}</td>
              <td class="right nowrap">
                <Duration from={one.started_at} to={one.finished_at} />
              </td>
              <td class="right nowrap soft">
                <Time at={one.accepted_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
