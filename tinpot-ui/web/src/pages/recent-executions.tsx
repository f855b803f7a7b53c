import { href } from "../app/base-path";
import { Duration, Empty, ErrorBox, Loading, numberText, StatusBadge, Time } from "../ui";
import { useExecutions } from "./use-executions";

const RECENT = 8;

/** The latest executions of an action. */
export function RecentExecutions({ action }: { action: string }) {
  const page = useExecutions({ action }, RECENT);
  return (
    <aside class="recent" aria-label="Recent executions">
      <h2>Recent executions</h2>
      {page.error !== null && <ErrorBox error={page.error} retry={page.reload} />}
      {page.data === null && page.error === null && <Loading />}
      {page.data !== null && page.data.executions.length === 0 && (
        <Empty title="No executions yet" />
      )}
      <ul class="panel rows stale-dim">
        {page.data?.executions.slice(0, RECENT).map((one) => (
          <li key={one.execution_id}>
            <a
              href={href(`/executions/${encodeURIComponent(one.execution_id)}`)}
              aria-label={`Execution ${one.execution_id}`}
            >
              <StatusBadge status={one.status} />
              <span class="mono faint" title={one.execution_id}>
                {numberText(one)}
              </span>
              <span class="rows-end">
                <Duration from={one.started_at} to={one.finished_at} />
              </span>
              <span class="rows-time faint">
                <Time at={one.accepted_at} />
              </span>
            </a>
          </li>
        ))}
      </ul>
      {page.data !== null && page.data.executions.length > 0 && (
        <a class="more" href={href(`/executions?action=${encodeURIComponent(action)}`)}>
          View all executions
        </a>
      )}
    </aside>
  );
}
