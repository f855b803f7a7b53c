import { useEffect, useLayoutEffect, useMemo, useState } from "preact/hooks";
import { api } from "../api/client";
import type { ActionView } from "../api/types";
import { catalogue } from "../app/catalogue";
import { includesWords } from "../app/fuzzy-search";
import { location, setQuery } from "../app/router";
import { recall, remember } from "../app/storage";
import { useTitle } from "../app/use-title";
import { hub, isOutage, useResource } from "../stream";
import { Button, count, Empty, ErrorBox, Icon, Loading, PageHead, Tabs } from "../ui";
import { ActionCards, type ActionGroup, ActionTable } from "./action-list";
import { groupLoadErrors, LoadErrorCard } from "./load-errors";
import { useActionStats } from "./use-action-stats";

/** The actions shown before "Show more": rendering 2,000 at once would take too long. */
const SHOWN = 120;

const VIEWS = [
  { id: "cards", title: "Cards" },
  { id: "list", title: "List" },
] as const;
type View = (typeof VIEWS)[number]["id"];

export function ActionsPage() {
  useTitle("Actions");
  useLayoutEffect(catalogue.need, []);
  const actions = catalogue.actions.value;
  const error = catalogue.error.value;
  const query = location.value.query.get("q") ?? "";
  const [limit, setLimit] = useState(SHOWN);
  const [view, setView] = useState<View>(() =>
    recall("actions-view") === "list" ? "list" : "cards",
  );
  const stats = useActionStats();
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
  const [folded, setFolded] = useState(foldedGroups);
  const groups = useMemo(
    () =>
      byGroup(found.slice(0, limit)).map(
        ([name, members]): ActionGroup => ({
          name,
          actions: members,
          // A filter must not find actions that are out of sight.
          open: query !== "" || !folded.includes(name),
          toggle: (open) => {
            const others = folded.filter((one) => one !== name);
            const next = open ? others : [...others, name];
            setFolded(next);
            remember(FOLDED, JSON.stringify(next));
          },
        }),
      ),
    [found, limit, folded, query],
  );

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
        <Tabs
          class="segments"
          label="View"
          tabs={VIEWS}
          current={view}
          onSelect={(next) => {
            setView(next);
            remember("actions-view", next);
          }}
        />
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
      {actions !== null && actions.length === 0 && <NoActions />}
      {actions !== null && actions.length > 0 && found.length === 0 && (
        <Empty title="No matching actions" icon="search">
          <Button onClick={() => setQuery({ q: null })}>Clear filter</Button>
        </Empty>
      )}
      <div class="stale-dim">
        {groups.length > 0 &&
          (view === "list" ? (
            <ActionTable groups={groups} stats={stats} />
          ) : (
            <ActionCards groups={groups} stats={stats} />
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

/** The hint for a server without actions. */
export function NoActions() {
  return (
    <Empty title="No actions yet" icon="actions">
      Decorate a function with <code>@action</code> in a folder that a worker watches. It appears
      here without a restart.
    </Empty>
  );
}

const FOLDED = "folded-groups";

function foldedGroups(): string[] {
  try {
    const list: unknown = JSON.parse(recall(FOLDED) ?? "[]");
    return Array.isArray(list) ? list.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
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
