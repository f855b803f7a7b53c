import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { api } from "../api/client";
import { serverClock } from "../api/clock";
import { type ExecutionSummary, FAILURES, RUNNING } from "../api/types";
import { href } from "../app/base-path";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { hub, useResource } from "../stream";
import {
  count,
  Duration,
  Empty,
  ErrorBox,
  hasReason,
  Loading,
  PageHead,
  StatusBadge,
  Tabs,
  Time,
} from "../ui";
import { buckets } from "./chart-scale";
import { DurationChart, ThroughputChart } from "./charts";
import { FirstActions } from "./first-actions";
import { concernsOf, HealthStrip, useFleet } from "./health";
import { RunningNow } from "./running-now";
import { useExecutionChanges } from "./use-action-stats";
import { useExecutions } from "./use-executions";

const RANGES = [
  { id: "1h", title: "1 h", since: "last hour", minutes: 60 },
  { id: "6h", title: "6 h", since: "last 6 hours", minutes: 360 },
  { id: "24h", title: "24 h", since: "last 24 hours", minutes: 1440 },
] as const;
type Range = (typeof RANGES)[number];

const LISTED = 8;

export function OverviewPage() {
  useTitle("Overview");
  const range = RANGES.find((one) => one.id === location.value.query.get("window")) ?? RANGES[0];
  const latest = useExecutions({}, 1);
  const fleet = useFleet();
  const none = latest.data?.executions.length === 0;
  const concerns = concernsOf(fleet.workers.data?.workers, fleet.queues.data?.queues);
  return (
    <>
      <PageHead title="Overview">
        {!none && (
          <Tabs
            class="segments"
            label="Time range"
            tabs={RANGES}
            current={range.id}
            onSelect={(id) => setQuery({ window: id === "1h" ? null : id })}
          />
        )}
      </PageHead>
      <HealthStrip concerns={concerns} />
      {none ? <FirstActions /> : <Dashboard range={range} fleet={fleet} />}
    </>
  );
}

function Dashboard({ range, fleet }: { range: Range; fleet: ReturnType<typeof useFleet> }) {
  const { workers, queues } = fleet;
  const stats = useResource(`stats ${range.id}`, (signal) => api.stats(range.id, { signal }));
  const running = useExecutions({ status: RUNNING }, LISTED);
  const failures = useExecutions({ status: FAILURES }, LISTED);
  useExecutionChanges(stats.reload);
  useEffect(() => {
    const leave = hub.onExecutions(() => {
      workers.reload();
      queues.reload();
    });
    // The window moves on although nothing happens.
    const timer = setInterval(stats.reload, 30_000);
    return () => {
      leave();
      clearInterval(timer);
    };
  }, [stats.reload, workers.reload, queues.reload]);

  const live = workers.data?.workers;
  const slots = live?.reduce((sum, one) => sum + one.slots, 0);
  const taken = live?.reduce(
    (sum, one) => sum + one.running.filter((attempt) => !attempt.waits).length,
    0,
  );
  const delayed = queues.data?.queues.reduce((sum, one) => sum + one.delayed, 0) ?? 0;
  const queued = queues.data?.queues.reduce((sum, one) => sum + one.waiting, delayed);
  const granted = queues.data?.queues.reduce((sum, one) => sum + one.granted, 0);
  const paused = queues.data?.queues.filter((one) => one.paused).length ?? 0;
  const bars =
    stats.data === null ? null : buckets(stats.data, range.minutes, 60, serverClock.now());
  const done = bars?.reduce((sum, one) => sum + one.succeeded + one.failed + one.cancelled, 0);
  const failed = bars?.reduce((sum, one) => sum + one.failed, 0);
  const { since } = range;
  const error = stats.error ?? workers.error ?? queues.error ?? running.error ?? failures.error;

  return (
    <>
      {error !== null && (
        <ErrorBox
          error={error}
          retry={() => {
            for (const list of [stats, workers, queues, running, failures]) list.reload();
          }}
        />
      )}
      <ul class="figures stale-dim">
        <Figure label="Running" value={granted} to={`/executions?status=${RUNNING.join()}`} />
        <Figure
          label="Queued"
          value={queued}
          to={"/executions?status=queued"}
          note={[
            ...(paused > 0 ? [`${count(paused, "queue")} paused`] : []),
            ...(delayed > 0 ? [`${delayed.toLocaleString("en")} delayed`] : []),
          ].join(", ")}
        />
        <Figure label="Finished" value={done} note={since} />
        <Figure
          label="Failed"
          value={failed}
          look={failed !== undefined && failed > 0 ? "bad" : ""}
          to={`/executions?status=${FAILURES.join()}`}
          note={
            done !== undefined && done > 0 && failed !== undefined && failed > 0
              ? `${percent(failed / done)} of finished`
              : since
          }
        />
        <Figure
          label="Workers"
          value={live?.length}
          look={live?.length === 0 ? "bad" : ""}
          to="/workers"
          note={slots === undefined ? "" : `${taken} of ${count(slots, "slot")} busy`}
        />
      </ul>
      <div class="chart-grid stale-dim">
        <section class="panel" aria-label="Throughput">
          <h2>
            Finished{" "}
            <span class="legend">
              <i class="bar-ok" /> succeeded <i class="bar-bad" /> failed <i class="bar-idle" />{" "}
              cancelled
            </span>
          </h2>
          {bars === null ? <Loading rows={2} /> : <ThroughputChart buckets={bars} />}
        </section>
        <section class="panel" aria-label="Durations">
          <h2>
            Durations{" "}
            <span class="legend">
              <i class="p50" /> median <i class="p95" /> 95th percentile
            </span>
          </h2>
          {bars === null ? <Loading rows={2} /> : <DurationChart buckets={bars} />}
        </section>
      </div>
      <div class="chart-grid">
        <Listed
          title="Running now"
          executions={running.data?.executions}
          empty="Nothing is running"
          all={`/executions?status=${RUNNING.join()}`}
        >
          <RunningNow
            executions={(running.data?.executions ?? []).slice(0, LISTED)}
            workers={live ?? []}
          />
        </Listed>
        <Listed
          title="Recent failures"
          executions={failures.data?.executions}
          empty="No failures"
          all={`/executions?status=${FAILURES.join()}`}
        >
          <ul class="panel rows stale-dim">
            {failures.data?.executions.slice(0, LISTED).map((one) => (
              <li key={one.execution_id}>
                <a href={href(`/executions/${encodeURIComponent(one.execution_id)}`)}>
                  <StatusBadge status={one.status} />
                  <span class="rows-text">
                    {one.action_name}
                    {hasReason(one) && <small>{one.error}</small>}
                  </span>
                  <span class="rows-end">
                    <Duration from={one.started_at} to={one.finished_at} />
                  </span>
                  <span class="rows-time faint">
                    <Time at={one.finished_at ?? one.accepted_at} />
                  </span>
                </a>
              </li>
            ))}
          </ul>
        </Listed>
      </div>
    </>
  );
}

function percent(part: number): string {
  return part < 0.01 ? "< 1 %" : `${Math.round(part * 100)} %`;
}

interface FigureProps {
  label: string;
  value: number | undefined;
  to?: string;
  note?: string;
  look?: string;
}

function Figure({ label, value, to, note = "", look = "" }: FigureProps) {
  const inner = (
    <>
      <span class="figure-label">{label}</span>
      <strong class={`num ${look}`}>
        {value === undefined ? "–" : value.toLocaleString("en")}
      </strong>
      <span class="figure-note">{note}</span>
    </>
  );
  return (
    <li class="panel">
      {to === undefined ? (
        <div class="figure">{inner}</div>
      ) : (
        <a class="figure" href={href(to)}>
          {inner}
        </a>
      )}
    </li>
  );
}

interface ListedProps {
  title: string;
  executions: readonly ExecutionSummary[] | undefined;
  empty: string;
  all: string;
  children: ComponentChildren;
}

function Listed({ title, executions, empty, all, children }: ListedProps) {
  return (
    <section aria-label={title}>
      <h2 class="section-head">
        {title} <a href={href(all)}>View all</a>
      </h2>
      {executions === undefined && <Loading />}
      {executions?.length === 0 && <Empty title={empty} />}
      {executions !== undefined && executions.length > 0 && children}
    </section>
  );
}
