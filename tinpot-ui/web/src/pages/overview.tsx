import { useEffect, useState } from "preact/hooks";
import { api } from "../api/client";
import { serverClock } from "../api/clock";
import { type ExecutionSummary, FAILURES, RUNNING } from "../api/types";
import { href } from "../app/base-path";
import { useTitle } from "../app/use-title";
import { hub, useResource } from "../stream";
import {
  count,
  Duration,
  Empty,
  ErrorBox,
  Loading,
  PageHead,
  StatusBadge,
  Tabs,
  Time,
} from "../ui";
import { buckets, DurationChart, ThroughputChart } from "./charts";
import { useExecutions } from "./use-executions";

const RANGES = [
  { id: "60", title: "1 h" },
  { id: "360", title: "6 h" },
  { id: "1440", title: "24 h" },
] as const;
type Range = (typeof RANGES)[number]["id"];

const LISTED = 8;

export function OverviewPage() {
  useTitle("Overview");
  const [range, setRange] = useState<Range>("60");
  const stats = useResource(`stats ${range}`, (signal) => api.stats(Number(range), { signal }));
  const workers = useResource("overview workers", (signal) => api.workers({ signal }));
  const queues = useResource("overview queues", (signal) => api.queues({ signal }));
  const running = useExecutions({ status: RUNNING }, LISTED);
  const failures = useExecutions({ status: FAILURES }, LISTED);
  useEffect(() => {
    const leave = [hub.onChange("workers", workers.reload), hub.onChange("queues", queues.reload)];
    // The charts count by minute, so reloading every 10 seconds is enough.
    const timer = setInterval(stats.reload, 10_000);
    return () => {
      for (const stop of leave) stop();
      clearInterval(timer);
    };
  }, [stats.reload, workers.reload, queues.reload]);

  const live = workers.data?.workers;
  const slots = live?.reduce((sum, one) => sum + one.slots, 0);
  const taken = live?.reduce(
    (sum, one) => sum + one.running.filter((attempt) => !attempt.waits).length,
    0,
  );
  const waiting = queues.data?.queues.reduce((sum, one) => sum + one.waiting, 0);
  const granted = queues.data?.queues.reduce((sum, one) => sum + one.granted, 0);
  const paused = queues.data?.queues.filter((one) => one.paused).length ?? 0;
  const bars =
    stats.data === null ? null : buckets(stats.data, Number(range), 60, serverClock.now());
  const done = bars?.reduce((sum, one) => sum + one.succeeded + one.failed + one.cancelled, 0);
  const failed = bars?.reduce((sum, one) => sum + one.failed, 0);
  const error = stats.error ?? workers.error ?? queues.error ?? running.error;

  return (
    <>
      <PageHead title="Overview">
        <Tabs
          class="segments"
          label="Time range"
          tabs={RANGES}
          current={range}
          onSelect={setRange}
        />
      </PageHead>
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
          label="Waiting"
          value={waiting}
          to={"/executions?status=queued"}
          note={paused > 0 ? `${count(paused, "queue")} paused` : ""}
        />
        <Figure label="Finished" value={done} note={since(stats.data?.since, Number(range))} />
        <Figure
          label="Failed"
          value={failed}
          look={failed !== undefined && failed > 0 ? "bad" : ""}
          to={`/executions?status=${FAILURES.join()}`}
          note={
            done !== undefined && done > 0 && failed !== undefined && failed > 0
              ? `${percent(failed / done)} of finished`
              : ""
          }
        />
        <Figure
          label="Workers"
          value={live?.length}
          look={live?.length === 0 ? "bad" : ""}
          to="/workers"
          note={slots === undefined ? "" : `${taken} of ${slots} slots busy`}
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
        />
        <Listed
          title="Recent failures"
          executions={failures.data?.executions}
          empty="No failures"
          all={`/executions?status=${FAILURES.join()}`}
        />
      </div>
    </>
  );
}

function percent(part: number): string {
  return part < 0.01 ? "< 1 %" : `${Math.round(part * 100)} %`;
}

/** Returns a note if the server, which counts in memory, started within the requested time. */
function since(start: string | undefined, minutes: number): string {
  if (start === undefined) return "";
  const age = (serverClock.now() - Date.parse(start)) / 60_000;
  return age < minutes - 1 ? "since the server started" : "";
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
}

function Listed({ title, executions, empty, all }: ListedProps) {
  return (
    <section aria-label={title}>
      <h2 class="section-head">
        {title} <a href={href(all)}>View all</a>
      </h2>
      {executions === undefined && <Loading />}
      {executions?.length === 0 && <Empty title={empty} />}
      {executions !== undefined && executions.length > 0 && (
        <ul class="panel rows stale-dim">
          {executions.slice(0, LISTED).map((one) => (
            <li key={one.execution_id}>
              <a href={href(`/executions/${encodeURIComponent(one.execution_id)}`)}>
                <StatusBadge status={one.status} />
                <span class="rows-text">
                  {one.action_name}
                  {one.error !== null && <small>{one.error}</small>}
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
      )}
    </section>
  );
}
