import { useRef } from "preact/hooks";
import { serverClock } from "../api/clock";
import { ApiError } from "../api/transport";
import { type ExecutionView, FAILURES } from "../api/types";
import { href } from "../app/base-path";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { type LogHandle, LogViewer } from "../log";
import {
  ActionLink,
  count,
  Empty,
  ErrorBox,
  Loading,
  PageHead,
  StatusBadge,
  statusText,
  Tabs,
  useTick,
} from "../ui";
import { Controls } from "./controls";
import { Breadcrumb, Facts, ParameterChips, ProgressBar, unfinishedLine } from "./header";
import { Attempts, CallPanel, ResultPanel, Section } from "./panels";
import { EndNote, Failure, QueuedCard } from "./state-notes";
import { timeline } from "./timeline";
import { Timeline } from "./timeline-view";
import { type ExecutionData, useExecution } from "./use-execution";
import { useLogSteps } from "./use-log-steps";
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
  return <Loaded id={id} view={view} data={data} controls={controls} />;
}

interface LoadedProps {
  id: string;
  view: ExecutionView;
  data: ExecutionData;
  controls: boolean;
}

function Loaded({ id, view, data, controls }: LoadedProps) {
  const log = useRef<LogHandle>(null);
  const tab = tabOf(location.value.query.get("tab"));
  const inLog = (act: (handle: LogHandle) => void) => (): void => {
    setQuery({ tab: null });
    if (log.current !== null) act(log.current);
  };
  return (
    <div class="execution" data-tab={tab}>
      <Breadcrumb view={view} links={controls} />
      <PageHead
        title={
          <>
            <span class="execution-name">
              {controls ? <ActionLink name={view.action_name} /> : view.action_name}
            </span>{" "}
            <StatusBadge status={view.status} />
          </>
        }
      >
        {controls && <Controls view={view} changed={data.view.reload} />}
      </PageHead>
      <ParameterChips view={view} />
      <Facts view={view} links={controls} />
      {data.live && data.progress !== null && <ProgressBar progress={data.progress} />}
      <EndNote view={view} />
      <Failure
        view={view}
        onLastLine={tab === "log" ? inLog((handle) => handle.toEnd()) : undefined}
      />
      <Panels id={id} view={view} data={data} controls={controls} log={log} />
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

function Panels({
  id,
  view,
  data,
  controls,
  log,
}: LoadedProps & { log: { current: LogHandle | null } }) {
  const tab = tabOf(location.value.query.get("tab"));
  const steps = useLogSteps(view, data);
  const toStep = (step: string, at: string): void => {
    setQuery({ tab: null });
    log.current?.toStep(step, at);
  };
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
      title:
        steps.steps.size + children > 0 ? `Timeline (${steps.steps.size + children})` : "Timeline",
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
          fromEnd={FAILURES.includes(view.status)}
          handle={log}
          unfinished={data.live ? unfinishedLine(data.progress) : null}
          placeholder={view.status === "queued" ? <QueuedCard view={view} /> : undefined}
          onEvent={data.onEvent}
        />
        {steps.steps.size > 0 && (
          <aside class="execution-steps" aria-label="Steps">
            <h2>Steps</h2>
            <LiveTimeline view={view} data={data} links={controls} onStep={toStep} />
          </aside>
        )}
      </div>
      {tab === "result" && <ResultPanel view={view} summary={summary} artifacts={artifacts} />}
      {tab === "timeline" && (
        <TimelinePanel view={view} data={data} links={controls} onStep={toStep} />
      )}
      {tab === "call" && <CallPanel view={view} controls={controls} />}
    </>
  );
}

interface TimelineProps {
  view: ExecutionView;
  data: ExecutionData;
  links: boolean;
  onStep: (step: string, at: string) => void;
}

/** The timeline, which grows while the execution runs. */
function LiveTimeline({ view, data, links, onStep }: TimelineProps) {
  useTick(data.live);
  return <Timeline {...layOut(view, data)} links={links} onStep={onStep} />;
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

function TimelinePanel({ view, data, links, onStep }: TimelineProps) {
  return (
    <div class="sections">
      <Section title="Timeline">
        <LiveTimeline view={view} data={data} links={links} onStep={onStep} />
      </Section>
      {view.attempts.length > 0 && (
        <Section title="Attempts">
          <Attempts view={view} />
        </Section>
      )}
    </div>
  );
}
