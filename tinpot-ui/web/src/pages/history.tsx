import { useMemo, useRef, useState } from "preact/hooks";
import { serverClock } from "../api/clock";
import type { ExecutionSummary } from "../api/types";
import { href } from "../app/base-path";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { Button, Empty, ErrorBox, Loading, PageHead } from "../ui";
import { BulkBar } from "./bulk";
import { ExecutionTable, type Selection } from "./execution-table";
import { filterOf } from "./history-filter";
import { clearFilters, HistoryFilters } from "./history-filters";
import { useExecutions } from "./use-executions";

const PAGE = 50;

export function HistoryPage() {
  useTitle("History");
  const { query } = location.value;
  const address = query.toString();
  // A period begins when it was chosen, so that the list does not load again with each second.
  const filter = useMemo(() => filterOf(query, serverClock.now()), [address]);
  const page = useExecutions(filter, PAGE);
  const [selected, setSelected] = useState<Selection>(new Map());
  const filtered = Object.keys(filter).some((name) => name !== "before");
  // The rows of the last filter stay, dimmed, until those of the next one arrive.
  const last = useRef<ExecutionSummary[] | undefined>(undefined);
  if (page.data !== null) last.current = page.data.executions;
  const rows = page.error === null ? last.current : page.data?.executions;
  const current = useMemo(() => {
    const now = new Map(selected);
    for (const one of page.data?.executions ?? [])
      if (now.has(one.execution_id)) now.set(one.execution_id, one);
    return now;
  }, [selected, page.data]);
  return (
    <>
      <PageHead
        title="History"
        sub={filter.before === undefined ? "Newest first, updated live" : "Older executions"}
      />
      <HistoryFilters />
      {page.error !== null && <ErrorBox error={page.error} retry={page.reload} />}
      {rows === undefined && page.error === null && <Loading rows={8} />}
      {rows?.length === 0 && (
        <Empty title={filtered ? "No matching executions" : "No executions yet"} icon="history">
          {filtered ? (
            <Button onClick={clearFilters}>Clear filters</Button>
          ) : (
            <a href={href("/actions")}>Run an action</a>
          )}
        </Empty>
      )}
      {rows !== undefined && rows.length > 0 && (
        <ExecutionTable
          executions={rows}
          selected={current}
          onSelect={setSelected}
          busy={page.data === null}
        />
      )}
      <BulkBar selected={current} onSelect={setSelected} onChanged={page.reload} />
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
