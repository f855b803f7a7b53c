import { useState } from "preact/hooks";
import { api } from "../api/client";
import { STATUSES } from "../api/types";
import { location, navigate, setQuery } from "../app/router";
import { formatProblem, toLocal } from "../form/formats";
import { MomentInput } from "../form/moment-input";
import { useResource } from "../stream";
import { Button, Icon, shortId, statusText } from "../ui";
import { useTyped } from "../ui/use-typed";
import { FILTER_NAMES, PERIODS, periodOf, SEARCH_CHARS_MAX } from "./history-filter";

/** Changes filters. Each change is a step of the browser's history, so that Back undoes it. */
function change(changes: Record<string, string | null>, push = true): void {
  setQuery({ ...changes, before: null }, { replace: !push });
}

/** The filters that only links set, shown as tags that can be removed. */
const LINKED = [
  ["action", "Action", (value: string) => value],
  ["requested_by", "Requested by", (value: string) => value],
  ["parent", "Children of", shortId],
] as const;

/** Removes all filters. */
export function clearFilters(): void {
  navigate("/executions");
}

export function HistoryFilters() {
  const { query } = location.value;
  const [open, setOpen] = useState(false);
  const queues = useResource("filter queues", (signal) => api.queues({ signal }));
  const search = useTyped(query.get("q") ?? "", (text, first) => change({ q: text }, first));
  const chosen = (query.get("status") ?? "").split(",").filter(Boolean);
  const period = periodOf(query);
  const queue = query.get("queue") ?? "";
  const names = [
    ...new Set([...(queues.data?.queues.map((one) => one.name) ?? []), ...(queue ? [queue] : [])]),
  ].sort();
  const active = FILTER_NAMES.filter((name) => name !== "q" && query.get(name)).length;
  return (
    <form
      class="filters"
      role="search"
      aria-label="Filter executions"
      onSubmit={(event) => event.preventDefault()}
    >
      <div class="filter-search">
        <label class="search">
          <Icon name="search" />
          <input
            {...search}
            type="search"
            aria-label="Search executions"
            aria-describedby="history-hint"
            placeholder="Search names, parameters, errors, requesters and ids"
            maxLength={SEARCH_CHARS_MAX}
            autocomplete="off"
            spellcheck={false}
          />
        </label>
        <Button
          class="filters-button"
          icon="filter"
          aria-expanded={open}
          aria-controls="history-filters"
          onClick={() => setOpen(!open)}
        >
          {active > 0 ? `Filters (${active})` : "Filters"}
        </Button>
      </div>
      <p class="filter-hint" id="history-hint">
        Finds the beginnings of words: <code>back</code> finds <code>backup</code>. Every word must
        occur.
      </p>
      <div class="filter-more" id="history-filters" data-open={open || undefined}>
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
                  change({
                    status: (on
                      ? chosen.filter((one) => one !== status)
                      : [...chosen, status]
                    ).join(","),
                  })
                }
              >
                {statusText(status)}
              </button>
            );
          })}
        </div>
        <div class="chips" role="group" aria-label="Period">
          {PERIODS.map((one) => (
            <button
              key={one.id}
              type="button"
              class="chip"
              aria-pressed={period === one.id}
              onClick={() =>
                change({
                  period: period === one.id ? null : one.id,
                  since: null,
                  until: null,
                })
              }
            >
              {one.title}
            </button>
          ))}
        </div>
        <div class="filter-row">
          <label>
            Queue{" "}
            <select
              value={queue}
              onChange={(event) => change({ queue: event.currentTarget.value })}
            >
              <option value="">any</option>
              {names.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <TimeFilter name="since" label="From" />
          <TimeFilter name="until" label="To" />
          {LINKED.map(([name, label, text]) => {
            const value = query.get(name);
            return value === null || value === "" ? null : (
              <span class="tag filter-tag" key={name}>
                {label} {text(value)}
                <Button
                  class="small"
                  look="quiet"
                  icon="close"
                  aria-label={`Remove the filter ${label} ${text(value)}`}
                  onClick={() => change({ [name]: null })}
                />
              </span>
            );
          })}
          {(active > 0 || query.get("q")) && (
            <Button look="quiet" icon="close" onClick={clearFilters}>
              Clear filters
            </Button>
          )}
        </div>
      </div>
    </form>
  );
}

function TimeFilter({ name, label }: { name: "since" | "until"; label: string }) {
  const given = location.value.query.get(name) ?? "";
  const applied = Number.isNaN(Date.parse(given)) ? "" : toLocal(given);
  const [typed, setTyped] = useState<string | null>(null);
  const value = typed ?? applied;
  const wrong = value !== "" && formatProblem("date-time", value) !== null;
  const done = (text: string): void => {
    if (text !== "" && formatProblem("date-time", text) !== null) return;
    setTyped(null);
    if (text !== applied)
      change({ [name]: text === "" ? null : new Date(text).toISOString(), period: null });
  };
  return (
    <span class="time-filter">
      <label for={`filter-${name}`}>{label}</label>
      <MomentInput
        attributes={{
          id: `filter-${name}`,
          "aria-invalid": (wrong && typed === null) || undefined,
        }}
        value={value}
        onInput={setTyped}
        onDone={done}
      />
    </span>
  );
}
