// The actions as a dense list or as cards.
import type { ActionStats, ActionView } from "../api/types";
import { href } from "../app/base-path";
import { identity } from "../identity/identity";
import { formatDuration, Icon, Prose, StatusBadge, Time } from "../ui";
import { TREND_RUNS, Trend } from "./trend";

/** A group of actions, which can be folded. */
export interface ActionGroup {
  name: string;
  actions: readonly ActionView[];
  open: boolean;
  toggle: (open: boolean) => void;
}

export const actionHref = (name: string): string => href(`/actions/${encodeURIComponent(name)}`);

/** Returns the first sentence of a docstring, or its first paragraph. */
export function firstLine(text: string): string {
  return text.split("\n\n")[0]?.replace(/\s+/g, " ") ?? "";
}

/** The link that opens the form of an action. */
export function RunLink({ name }: { name: string }) {
  if (!identity.may("run")) return null;
  return (
    <a class="button small" href={actionHref(name)} aria-label={`Run ${name}`}>
      <Icon name="actions" /> Run
    </a>
  );
}

interface TableProps {
  groups: readonly ActionGroup[];
  stats: ReadonlyMap<string, ActionStats>;
}

/** All groups as one table with rows of 36 pixels. */
export function ActionTable({ groups, stats }: TableProps) {
  return (
    <div class="panel table-wrap">
      <table class="action-table">
        <thead>
          <tr>
            <th class="col-name">Action</th>
            <th class="col-text wide">Description</th>
            <th class="col-status">Last status</th>
            <th class="col-time wide">Last run</th>
            <th class="col-trend wide">Last {TREND_RUNS} runs</th>
            <th class="col-duration wide right" title="Median of the last successful runs">
              Typical duration
            </th>
            <th class="col-run">
              <span class="unseen">Run</span>
            </th>
          </tr>
        </thead>
        {groups.map((group) => (
          <tbody key={group.name}>
            {(groups.length > 1 || group.name !== "") && (
              <tr class="group-row">
                <th colSpan={7} scope="rowgroup">
                  <button
                    type="button"
                    aria-expanded={group.open}
                    onClick={() => group.toggle(!group.open)}
                  >
                    {group.name || "Other"} <span class="faint num">{group.actions.length}</span>
                  </button>
                </th>
              </tr>
            )}
            {group.open &&
              group.actions.map((one) => (
                <ActionRow key={one.name} action={one} stats={stats.get(one.name)} />
              ))}
          </tbody>
        ))}
      </table>
    </div>
  );
}

function ActionRow({ action, stats }: CardProps) {
  const last = stats?.recent[0];
  const reason = action.unavailable ?? "no live worker offers it";
  return (
    <tr data-unavailable={!action.available || undefined}>
      <td class="col-name">
        <a href={actionHref(action.name)} title={action.name}>
          {action.name}
        </a>
        {!action.available && (
          <span class="why" title={reason}>
            <Icon name="warning" />
            <span class="unseen">Not available: {reason}</span>
          </span>
        )}
      </td>
      <td class="col-text wide soft">
        <Prose text={firstLine(action.description)} />
      </td>
      <td class="col-status">
        {last !== undefined && (
          <a href={href(`/executions/${encodeURIComponent(last.execution_id)}`)}>
            <StatusBadge plain status={last.status} />
          </a>
        )}
      </td>
      <td class="col-time wide soft">{last !== undefined && <Time at={last.created_at} />}</td>
      <td class="col-trend wide">
        <Trend stats={stats} />
      </td>
      <td class="col-duration wide right num soft">
        {typeof stats?.median_ms === "number" && formatDuration(stats.median_ms / 1000)}
      </td>
      <td class="col-run right">
        <RunLink name={action.name} />
      </td>
    </tr>
  );
}

/** Each group as cards. */
export function ActionCards({ groups, stats }: TableProps) {
  return (
    <>
      {groups.map((group) => (
        <details
          key={group.name}
          class="action-group"
          open={group.open}
          onToggle={(event) => {
            const { open } = event.currentTarget;
            if (open !== group.open) group.toggle(open);
          }}
        >
          <summary>
            <h2>
              {group.name || "Other"} <span class="faint num">{group.actions.length}</span>
            </h2>
          </summary>
          {group.open && (
            <ul class="cards">
              {group.actions.map((one) => (
                <ActionCard key={one.name} action={one} stats={stats.get(one.name)} />
              ))}
            </ul>
          )}
        </details>
      ))}
    </>
  );
}

interface CardProps {
  action: ActionView;
  stats: ActionStats | undefined;
}

function ActionCard({ action, stats }: CardProps) {
  const parameters = Object.keys(action.schema.properties ?? {});
  const required = new Set(action.schema.required ?? []);
  const last = stats?.recent[0];
  return (
    <li class="card" data-unavailable={!action.available || undefined}>
      <a href={actionHref(action.name)}>{action.name}</a>
      {action.description !== "" && (
        <p class="card-text">
          <Prose text={firstLine(action.description)} />
        </p>
      )}
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
      {last !== undefined && (
        <p class="card-last">
          <StatusBadge plain status={last.status} /> <Time at={last.created_at} />
          <Trend stats={stats} runs={10} />
        </p>
      )}
    </li>
  );
}
