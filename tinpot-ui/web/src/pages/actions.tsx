import { useEffect, useLayoutEffect, useMemo, useState } from "preact/hooks";
import { api } from "../api/client";
import type { ActionView, LoadError } from "../api/types";
import { href } from "../app/base-path";
import { catalogue } from "../app/catalogue";
import { includesWords } from "../app/fuzzy-search";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { hub, isOutage, useResource } from "../stream";
import { Button, count, Empty, ErrorBox, Icon, Loading, PageHead } from "../ui";

/** The cards shown before "Show more": rendering 2,000 at once would take too long. */
const SHOWN = 120;

export function ActionsPage() {
  useTitle("Actions");
  useLayoutEffect(catalogue.need, []);
  const actions = catalogue.actions.value;
  const error = catalogue.error.value;
  const query = location.value.query.get("q") ?? "";
  const [limit, setLimit] = useState(SHOWN);
  const workers = useResource("load errors", (signal) => api.workers({ signal }));
  useEffect(() => hub.onChange("catalogue", workers.reload), [workers.reload]);
  const loadErrors = useMemo(() => groupLoadErrors(workers.data?.workers ?? []), [workers.data]);
  const found = useMemo(
    () =>
      (actions ?? []).filter((one) =>
        includesWords(query, `${one.group} ${one.name} ${one.description}`),
      ),
    [actions, query],
  );
  const groups = useMemo(() => byGroup(found.slice(0, limit)), [found, limit]);

  return (
    <>
      <PageHead
        title="Actions"
        sub={
          actions === null
            ? undefined
            : query === ""
              ? count(actions.length, "action")
              : `${found.length} of ${count(actions.length, "action")}`
        }
      >
        <label class="search">
          <Icon name="search" />
          <input
            type="search"
            id="action-search"
            placeholder="Filter by name, group or description"
            aria-label="Filter actions"
            value={query}
            onInput={(event) => {
              setLimit(SHOWN);
              setQuery({ q: event.currentTarget.value });
            }}
          />
        </label>
      </PageHead>
      {error !== null && !isOutage(error, actions !== null) && (
        <ErrorBox error={error} retry={catalogue.reload} />
      )}
      {loadErrors.map(({ error: loadError, workers: names }) => (
        <LoadErrorCard
          key={`${loadError.place} ${loadError.message}`}
          error={loadError}
          workers={names}
        />
      ))}
      {actions === null && error === null && <Loading rows={4} />}
      {actions !== null && actions.length === 0 && (
        <Empty title="No actions yet" icon="actions">
          Decorate a function with <code>@action</code> in a folder that a worker watches. It
          appears here without a restart.
        </Empty>
      )}
      {actions !== null && actions.length > 0 && found.length === 0 && (
        <Empty title="No matching actions" icon="search" />
      )}
      <div class="stale-dim">
        {groups.map(([group, members]) => (
          <section class="action-group" key={group} aria-label={group || "Other"}>
            <h2>
              {group || "Other"} <span class="faint num">{members.length}</span>
            </h2>
            <ul class="cards">
              {members.map((one) => (
                <ActionCard key={one.name} action={one} />
              ))}
            </ul>
          </section>
        ))}
      </div>
      {found.length > limit && (
        <p class="more-row">
          <Button onClick={() => setLimit(limit * 4)}>
            Show more ({count(found.length - limit, "action")} left)
          </Button>
        </p>
      )}
    </>
  );
}

function ActionCard({ action }: { action: ActionView }) {
  const parameters = Object.keys(action.schema.properties ?? {});
  const required = new Set(action.schema.required ?? []);
  return (
    <li class="card" data-unavailable={!action.available || undefined}>
      <a href={href(`/actions/${encodeURIComponent(action.name)}`)}>{action.name}</a>
      {action.description !== "" && <p class="card-text">{firstLine(action.description)}</p>}
      {!action.available && (
        <p class="card-why">
          <Icon name="warning" /> {action.unavailable ?? "no live worker offers it"}
        </p>
      )}
      {parameters.length > 0 && (
        <p class="card-foot mono">
          {parameters.slice(0, 5).map((name) => (
            <span key={name} class={required.has(name) ? "" : "optional"}>
              {name}
            </span>
          ))}
          {parameters.length > 5 && <span class="faint">+{parameters.length - 5}</span>}
        </p>
      )}
    </li>
  );
}

function LoadErrorCard({ error, workers }: { error: LoadError; workers: string[] }) {
  const [head, ...rest] = error.message.trim().split("\n");
  const last = rest.length > 0 ? rest[rest.length - 1] : head;
  return (
    <details class="load-error" open={rest.length === 0 || undefined}>
      <summary>
        <Icon name="warning" />
        <span>
          <strong class="mono">{error.place}</strong> <span>{last}</span>
        </span>
        <span class="faint">
          {workers.length > 2 ? count(workers.length, "worker") : workers.join(", ")}
        </span>
      </summary>
      {rest.length > 0 && <pre>{error.message}</pre>}
    </details>
  );
}

/** Groups equal load errors of several workers: a broken file fails on every worker that has it. */
export function groupLoadErrors(
  workers: readonly { name: string; id: string; problems: LoadError[] }[],
): { error: LoadError; workers: string[] }[] {
  const cards = new Map<string, { error: LoadError; workers: string[] }>();
  for (const worker of workers) {
    for (const error of worker.problems) {
      const key = `${error.place}\n${error.message}`;
      const card = cards.get(key) ?? { error, workers: [] };
      card.workers.push(worker.name || worker.id);
      cards.set(key, card);
    }
  }
  return [...cards.values()];
}

function byGroup(actions: readonly ActionView[]): [string, ActionView[]][] {
  const groups = new Map<string, ActionView[]>();
  for (const action of actions) {
    const members = groups.get(action.group);
    if (members === undefined) groups.set(action.group, [action]);
    else members.push(action);
  }
  return [...groups];
}

function firstLine(text: string): string {
  return text.trim().split(/\n\s*\n/, 1)[0] ?? "";
}
