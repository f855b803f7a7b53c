import { useMemo } from "preact/hooks";
import { serverClock } from "../api/clock";
import { ApiError } from "../api/transport";
import type { ExecutionView } from "../api/types";
import { href } from "../app/base-path";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { LogViewer } from "../log";
import {
  ActionLink,
  count,
  Duration,
  Empty,
  ErrorBox,
  ExecutionLink,
  Loading,
  PageHead,
  StatusBadge,
  statusText,
  Tabs,
  Time,
  useTick,
} from "../ui";
import { CopyButton } from "./call-snippets";
import { Controls } from "./controls";
import { Attempts, CallPanel, Failure, ResultPanel, Section } from "./panels";
import { timeline } from "./timeline";
import { Timeline } from "./timeline-view";
import { type ExecutionData, type ProgressView, useExecution } from "./use-execution";
import "./execution.css";

type Tab = "log" | "result" | "timeline" | "call";

/** The page of one execution. */
export function ExecutionPage({ id }: { id: string }) {
  return <Execution id={id} controls />;
}

/** One execution; a frame in another site shows it without controls. */
export function Execution({ id, controls }: { id: string; controls: boolean }) {
  const data = useExecution(id);
  const view = data.view.data;
  useTitle(view === null ? "Execution" : `${view.action_name} ${statusText(view.status)}`);
  // The execution was removed while the page was open.
  if (view !== null && data.view.error instanceof ApiError && data.view.error.status === 404)
    return <Missing id={id} controls={controls} />;
  if (view === null) {
    if (data.view.error === null) return <Loading rows={4} />;
    return missing(data.view.error) ? (
      <Missing id={id} controls={controls} />
    ) : (
      <ErrorBox error={data.view.error} retry={data.view.reload} />
    );
  }
  return (
    <div class="execution" data-tab={tabOf(location.value.query.get("tab"))}>
      <PageHead
        title={
          <>
            <span class="execution-name">
              {controls ? <ActionLink name={view.action_name} /> : view.action_name}
            </span>{" "}
            <StatusBadge status={view.status} />
          </>
        }
        sub={
          <span class="execution-id">
            <code>{id}</code>
            {controls && <CopyButton text={() => id} label="Copy the ID" />}
          </span>
        }
      >
        {controls && <Controls view={view} changed={data.view.reload} />}
      </PageHead>
      <Facts view={view} links={controls} />
      {data.live && data.progress !== null && <ProgressBar progress={data.progress} />}
      <Failure view={view} />
      <Panels id={id} view={view} data={data} controls={controls} />
    </div>
  );
}

function tabOf(wanted: string | null): Tab {
  return wanted === "result" || wanted === "timeline" || wanted === "call" ? wanted : "log";
}

function missing(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    (error.status === 404 || error.status === 422 || error.status === 400)
  );
}

function Missing({ id, controls }: { id: string; controls: boolean }) {
  return (
    <Empty title="Execution not found" icon="history">
      <p>
        <code class="missing-id">{id}</code>
      </p>
      <p>It may have been removed by the retention limit, or the link is incomplete.</p>
      {controls && (
        <p>
          <a href={href("/executions")}>Browse the history</a>
        </p>
      )}
    </Empty>
  );
}

function Facts({ view, links }: { view: ExecutionView; links: boolean }) {
  const last = view.attempts[view.attempts.length - 1];
  return (
    <dl class="execution-facts stale-dim">
      <div>
        <dt>Duration</dt>
        <dd>
          {view.started_at === null ? (
            <span class="faint">Not started</span>
          ) : (
            <Duration from={view.started_at} to={view.finished_at} />
          )}
        </dd>
      </div>
      <div>
        <dt>{view.started_at === null ? "Accepted" : "Started"}</dt>
        <dd>
          <Time at={view.started_at ?? view.accepted_at} />
        </dd>
      </div>
      {view.started_at !== null && (
        <div>
          <dt>Queued for</dt>
          <dd>
            <Duration from={view.accepted_at} to={view.started_at} />
          </dd>
        </div>
      )}
      {typeof view.requested_by === "string" && (
        <div>
          <dt>Requested by</dt>
          <dd>{view.requested_by}</dd>
        </div>
      )}
      {last !== undefined && (
        <div>
          <dt>Worker</dt>
          <dd class="mono">{last.worker}</dd>
        </div>
      )}
      <div>
        <dt>Queue</dt>
        <dd>{view.queue}</dd>
      </div>
      {(view.retries > 0 || view.attempts.length > 1) && (
        <div>
          <dt>Attempts</dt>
          <dd>
            {view.attempts.length} of up to {view.retries + 1}
          </dd>
        </div>
      )}
      {view.status === "queued" && view.not_before !== null && (
        <div>
          <dt>Start after</dt>
          <dd>
            <Time at={view.not_before} />
          </dd>
        </div>
      )}
      {view.parent !== null && (
        <div>
          <dt>Parent</dt>
          <dd>
            {links ? (
              <ExecutionLink id={view.parent.execution_id} />
            ) : (
              <code>{view.parent.execution_id}</code>
            )}
          </dd>
        </div>
      )}
    </dl>
  );
}

function ProgressBar({ progress }: { progress: ProgressView }) {
  const { done, total, message } = progress;
  const known = typeof total === "number" && total > 0;
  const percent = known ? Math.min(100, Math.max(0, (done / total) * 100)) : 0;
  return (
    <div class="progress-line">
      <progress aria-label="Progress" {...(known ? { value: percent, max: 100 } : {})} />
      <span>
        {known ? `${Math.floor(percent)} %` : done.toLocaleString("en")}
        {message !== undefined && message !== "" && ` · ${message}`}
      </span>
    </div>
  );
}

function Panels({
  id,
  view,
  data,
  controls,
}: {
  id: string;
  view: ExecutionView;
  data: ExecutionData;
  controls: boolean;
}) {
  const tab = tabOf(location.value.query.get("tab"));
  const steps = useMemo(
    () => new Map((data.steps.data?.spans ?? []).map((step) => [step.id, step])),
    [data.steps.data],
  );
  const artifacts = data.artifacts.data ?? [];
  const summary = data.summary.data;
  const children = data.steps.data?.children.length ?? 0;
  const tabs: { id: Tab; title: string }[] = [
    { id: "log", title: "Log" },
    {
      id: "result",
      title: artifacts.length > 0 ? `Result and ${count(artifacts.length, "artifact")}` : "Result",
    },
    {
      id: "timeline",
      title: steps.size + children > 0 ? `Timeline (${steps.size + children})` : "Timeline",
    },
    { id: "call", title: "Parameters" },
  ];
  return (
    <>
      <Tabs
        class="execution-tabs"
        label="Execution details"
        tabs={tabs}
        current={tab}
        onSelect={(next) => setQuery({ tab: next === "log" ? null : next })}
      />
      {/* Stays mounted while other tabs are shown, so that it keeps its position. */}
      <div class="execution-log" hidden={tab !== "log"}>
        <LogViewer
          id={id}
          live={data.live}
          startedAt={view.started_at}
          steps={steps}
          onEvent={data.onEvent}
        />
        {steps.size > 0 && (
          <aside class="execution-steps" aria-label="Steps">
            <LiveTimeline view={view} data={data} links={controls} />
          </aside>
        )}
      </div>
      {tab === "result" && <ResultPanel view={view} summary={summary} artifacts={artifacts} />}
      {tab === "timeline" && <TimelinePanel view={view} data={data} links={controls} />}
      {tab === "call" && <CallPanel view={view} controls={controls} />}
    </>
  );
}

interface TimelineProps {
  view: ExecutionView;
  data: ExecutionData;
  links: boolean;
}

/** The timeline, which grows while the execution runs. */
function LiveTimeline({ view, data, links }: TimelineProps) {
  useTick(data.live);
  return <Timeline {...layOut(view, data)} links={links} />;
}

function layOut(view: ExecutionView, data: ExecutionData) {
  const attempts = view.attempts.map(({ number, granted_at, started_at, ended_at, outcome }) => ({
    number,
    granted_at,
    started_at,
    ended_at,
    status: outcome?.status ?? null,
  }));
  return timeline({
    attempts,
    steps: data.steps.data?.spans ?? [],
    children: data.steps.data?.children ?? [],
    states: data.states,
    now: serverClock.now(),
    running: data.live,
  });
}

function TimelinePanel({ view, data, links }: TimelineProps) {
  return (
    <div class="sections">
      <Section title="Timeline">
        <LiveTimeline view={view} data={data} links={links} />
      </Section>
      {view.attempts.length > 0 && (
        <Section title="Attempts">
          <Attempts view={view} />
        </Section>
      )}
    </div>
  );
}
