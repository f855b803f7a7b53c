// The apps of the team.
import { useEffect, useMemo, useState } from "preact/hooks";
import type { ActionStats } from "../api/types";
import { href } from "../app/base-path";
import { includesWords } from "../app/fuzzy-search";
import { location, navigate, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { identity } from "../identity/identity";
import { useActionStats } from "../pages/use-action-stats";
import { hub, useResource } from "../stream";
import { Button, count, Empty, ErrorBox, Icon, Loading, PageHead, StatusBadge, Time } from "../ui";
import { type App, apps } from "./api";
import { Chooser, DropTarget } from "./choose";
import { DeployDialog } from "./deploy-dialog";
import type { Chosen } from "./folder";
import { AppState } from "./state";

export const appHref = (name: string): string => href(`/apps/${encodeURIComponent(name)}`);

export function AppsPage() {
  useTitle("Apps");
  const list = useResource("apps", (signal) => apps.list(signal));
  // A deploy changes the action of the app.
  useEffect(() => hub.onChange("catalogue", list.reload), [list.reload]);
  const stats = useActionStats();
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const query = location.value.query.get("q") ?? "";
  const all = list.data?.apps;
  const found = useMemo(
    () => all?.filter((one) => includesWords(query, `${one.name} ${one.description}`)) ?? [],
    [all, query],
  );
  const deploys = identity.may("deploy");
  const sub =
    all === undefined
      ? undefined
      : query === ""
        ? count(all.length, "app")
        : `${found.length} of ${count(all.length, "app")}`;
  return (
    <DropTarget disabled={!deploys} onChosen={setChosen}>
      <PageHead title="Apps" sub={sub}>
        <label class="search">
          <Icon name="search" />
          <input
            type="search"
            placeholder="Filter by name or description"
            aria-label="Filter apps"
            value={query}
            onInput={(event) => setQuery({ q: event.currentTarget.value })}
          />
        </label>
        {deploys && <Chooser label="Deploy" primary onChosen={setChosen} />}
      </PageHead>
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      {all === undefined && list.error === null && <Loading rows={4} />}
      {all?.length === 0 && (
        <Empty title="No apps yet" icon="apps">
          {deploys ? (
            <>
              Drop a folder with a Towerfile here, or run <code>tinpot deploy FOLDER</code>.
            </>
          ) : (
            "An app is a folder with a Towerfile that a person deploys."
          )}
        </Empty>
      )}
      {all !== undefined && all.length > 0 && found.length === 0 && (
        <Empty title="No matching apps" icon="search">
          <Button onClick={() => setQuery({ q: null })}>Clear filter</Button>
        </Empty>
      )}
      {found.length > 0 && <AppTable apps={found} stats={stats} />}
      {chosen !== null && (
        <DeployDialog
          app={null}
          chosen={chosen}
          onDone={(app) => {
            setChosen(null);
            navigate(`/apps/${encodeURIComponent(app)}`);
          }}
          onClose={() => {
            setChosen(null);
            list.reload();
          }}
        />
      )}
    </DropTarget>
  );
}

interface TableProps {
  apps: readonly App[];
  stats: ReadonlyMap<string, ActionStats>;
}

function AppTable({ apps: list, stats }: TableProps) {
  return (
    <div class="panel table-wrap stale-dim">
      <table class="records apps">
        <thead>
          <tr>
            <th>App</th>
            <th>State</th>
            <th>Active version</th>
            <th>Last run</th>
            <th>Last change</th>
          </tr>
        </thead>
        <tbody>
          {list.map((one) => {
            const runs = one.actions.flatMap((action) => stats.get(action)?.recent[0] ?? []);
            const last = runs.sort((a, b) => b.created_at.localeCompare(a.created_at))[0];
            return (
              <tr key={one.name}>
                <td class="main-cell">
                  <a href={appHref(one.name)}>
                    <strong>{one.name}</strong>
                  </a>
                  {one.description !== "" && <p class="soft app-text">{one.description}</p>}
                </td>
                <td class="nowrap" data-label="State">
                  <AppState app={one} />
                </td>
                <td class="nowrap" data-label="Active version">
                  {one.active_version === null ? (
                    <span class="faint">none</span>
                  ) : (
                    <>
                      {one.active_version}
                      {one.latest_version !== one.active_version && (
                        <span class="faint"> of {one.latest_version}</span>
                      )}
                    </>
                  )}
                </td>
                <td class="nowrap" data-label="Last run">
                  {last === undefined ? (
                    <span class="faint">never</span>
                  ) : (
                    <a
                      class="quiet-link"
                      href={href(`/executions/${encodeURIComponent(last.execution_id)}`)}
                    >
                      <StatusBadge plain status={last.status} /> <Time at={last.created_at} />
                    </a>
                  )}
                </td>
                <td class="soft nowrap" data-label="Last change">
                  <Time at={one.updated_at} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
