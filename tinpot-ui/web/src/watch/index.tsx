import { useMemo, useState } from "preact/hooks";
import { ApiError } from "../api/transport";
import { type ExecutionView, isTerminal } from "../api/types";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { Controls } from "../execution/controls";
import { Facts, ParameterChips, ProgressBar, unfinishedLine } from "../execution/header";
import { isPlainEnd, QueuedCard } from "../execution/state-notes";
import { type ExecutionData, useExecution } from "../execution/use-execution";
import { useLogSteps } from "../execution/use-log-steps";
import { LogViewer } from "../log";
import {
  Button,
  count,
  Empty,
  ErrorBox,
  ExecutionLink,
  Loading,
  PageHead,
  StatusBadge,
} from "../ui";
import { idsOf, WATCHED_MAX } from "./ids";
import "../execution/execution.css";
import "./watch.css";

/** Several executions side by side: `/watch?ids=a,b,c`. */
export function WatchPage() {
  useTitle("Watch executions");
  const text = location.value.query.get("ids") ?? "";
  const ids = useMemo(() => idsOf(text), [text]);
  const shown = ids.slice(0, WATCHED_MAX);
  const change = (next: readonly string[]): void => setQuery({ ids: next.join(",") });
  return (
    <div class="watch">
      <PageHead title="Watch" sub={count(shown.length, "execution")}>
        <AddField
          full={shown.length >= WATCHED_MAX}
          onAdd={(added) => change([...new Set([...shown, ...added])])}
        />
      </PageHead>
      {ids.length > WATCHED_MAX && (
        <p class="watch-note">
          The first {WATCHED_MAX} of {ids.length} executions are shown.
        </p>
      )}
      {shown.length === 0 && (
        <Empty title="No executions selected" icon="history">
          Add an execution by its ID or its address, or select some in the history.
        </Empty>
      )}
      <div class="watch-grid" data-count={shown.length}>
        {shown.map((id) => (
          <Watched key={id} id={id} onRemove={() => change(shown.filter((one) => one !== id))} />
        ))}
      </div>
    </div>
  );
}

function AddField({ full, onAdd }: { full: boolean; onAdd: (ids: string[]) => void }) {
  const [text, setText] = useState("");
  return (
    <form
      class="watch-add"
      onSubmit={(event) => {
        event.preventDefault();
        onAdd(idsOf(text));
        setText("");
      }}
    >
      <input
        type="text"
        value={text}
        placeholder={full ? `At most ${WATCHED_MAX} executions` : "Execution ID or address"}
        aria-label="Execution to add"
        disabled={full}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <Button icon="plus" submit disabled={full || idsOf(text).length === 0}>
        Add
      </Button>
    </form>
  );
}

function Watched({ id, onRemove }: { id: string; onRemove: () => void }) {
  const data = useExecution(id);
  const view = data.view.data;
  const name = view?.action_name ?? id;
  return (
    <section class="watched panel" aria-label={name} data-status={view?.status}>
      <header>
        <h2>
          <ExecutionLink id={id}>{name}</ExecutionLink>
        </h2>
        {view !== null && <StatusBadge status={view.status} />}
        <ExecutionLink id={id} />
        <span class="watched-tools">
          {view !== null && <WatchedControls view={view} changed={data.view.reload} />}
          <Button
            look="quiet"
            class="small"
            icon="close"
            aria-label={`Remove ${name}`}
            onClick={onRemove}
          />
        </span>
      </header>
      {view === null ? (
        <Unloaded data={data} />
      ) : (
        <>
          <ParameterChips view={view} />
          <Facts view={view} links brief />
          {data.live && data.progress !== null && <ProgressBar progress={data.progress} />}
          {view.outcome?.error !== undefined && !isPlainEnd(view) && (
            <p class="watched-error" title={view.outcome.error}>
              {view.outcome.error}
            </p>
          )}
          <WatchedLog view={view} data={data} />
        </>
      )}
    </section>
  );
}

function Unloaded({ data }: { data: ExecutionData }) {
  const { error } = data.view;
  if (error === null) return <Loading rows={3} />;
  if (error instanceof ApiError && error.status >= 400 && error.status < 500)
    return (
      <Empty title="Execution not found">
        It may have been removed by the retention limit, or the ID is incomplete.
      </Empty>
    );
  return <ErrorBox error={error} retry={data.view.reload} />;
}

function WatchedControls({ view, changed }: { view: ExecutionView; changed: () => void }) {
  // Running again would leave the page, so it is offered on the page of the execution.
  return isTerminal(view.status) ? null : <Controls view={view} changed={changed} brief />;
}

function WatchedLog({ view, data }: { view: ExecutionView; data: ExecutionData }) {
  const steps = useLogSteps(view, data);
  return (
    <LogViewer
      id={view.execution_id}
      live={data.live}
      startedAt={view.started_at}
      steps={steps}
      fromEnd
      brief
      unfinished={data.live ? unfinishedLine(data.progress) : null}
      placeholder={view.status === "queued" ? <QueuedCard view={view} /> : undefined}
      onEvent={data.onEvent}
    />
  );
}
