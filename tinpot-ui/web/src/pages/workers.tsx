import { useEffect, useState } from "preact/hooks";
import { api } from "../api/client";
import { errorText } from "../api/transport";
import type { Worker } from "../api/types";
import { href } from "../app/base-path";
import { useTitle } from "../app/use-title";
import { identity } from "../identity/identity";
import { hub, useResource } from "../stream";
import {
  Button,
  Confirm,
  count,
  Duration,
  Empty,
  ErrorBox,
  formatDuration,
  Loading,
  PageHead,
  StatusBadge,
  Time,
} from "../ui";
import { SILENT_SECONDS } from "./health";
import { LoadErrorCard } from "./load-errors";
import { PythonEnvironments } from "./python-environments";

export function WorkersPage() {
  useTitle("Workers");
  const page = useResource("workers", (signal) => api.workers({ signal }));
  useEffect(() => {
    const leave = [hub.onChange("workers", page.reload), hub.onExecutions(page.reload)];
    // Heartbeats are not events of the stream, and the time since the last one has to grow.
    const timer = setInterval(page.reload, 10_000);
    return () => {
      for (const stop of leave) stop();
      clearInterval(timer);
    };
  }, [page.reload]);
  const workers = page.data?.workers;
  const slots = workers?.reduce((sum, one) => sum + one.slots, 0) ?? 0;
  const busy = workers?.reduce((sum, one) => sum + one.running.length, 0) ?? 0;
  return (
    <>
      <PageHead
        title="Workers"
        sub={
          workers === undefined
            ? undefined
            : `${count(workers.length, "worker")}, ${busy} of ${count(slots, "slot")} busy`
        }
      />
      {page.error !== null && <ErrorBox error={page.error} retry={page.reload} />}
      {workers === undefined && page.error === null && <Loading />}
      {workers?.length === 0 && (
        <Empty title="No live workers" icon="workers">
          Executions wait until a worker starts: <code>tinpot worker</code>
        </Empty>
      )}
      <ul class="worker-list stale-dim">
        {workers?.map((one) => (
          <WorkerCard key={one.id} worker={one} onChanged={page.reload} />
        ))}
      </ul>
    </>
  );
}

function WorkerCard({ worker, onChanged }: { worker: Worker; onChanged: () => void }) {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const drain = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      await api.drain(worker.id);
      setAsking(false);
      onChanged();
    } catch (failure) {
      setError(errorText(failure));
    } finally {
      setBusy(false);
    }
  };
  const holding = worker.running.filter((one) => !one.waits).length;
  const silent = worker.silent_for > SILENT_SECONDS;
  return (
    <li class="panel worker">
      <div class="worker-head">
        <h2>{worker.name || worker.id}</h2>
        {worker.draining && (
          <span class="status" data-status="paused">
            <i />
            draining
          </span>
        )}
        {worker.problems.some((one) => one.blocking === true) && (
          <span class="status" data-status="failed">
            <i />
            {worker.actions.length === 0 ? "takes no work" : "takes less work"}
          </span>
        )}
        {silent && (
          <span class="status" data-status="lost">
            <i />
            not responding
          </span>
        )}
        {identity.may("drain_worker") && (
          <Button class="small" disabled={worker.draining} onClick={() => setAsking(true)}>
            Drain…
          </Button>
        )}
      </div>
      <dl class="facts-grid">
        <div>
          <dt>Slots</dt>
          <dd>
            <Slots used={holding} all={worker.slots} />
          </dd>
        </div>
        <div>
          <dt>Queues</dt>
          <dd>
            {worker.queues.length === 0
              ? "all"
              : worker.queues.map((name) => (
                  <span class="tag" key={name}>
                    {name}
                  </span>
                ))}
          </dd>
        </div>
        {worker.groups.length > 0 && (
          <div>
            <dt>Groups</dt>
            <dd>
              {worker.groups.map((name) => (
                <span class="tag" key={name}>
                  {name}
                </span>
              ))}
            </dd>
          </div>
        )}
        <div>
          <dt>Actions</dt>
          <dd class="num">{worker.actions.length}</dd>
        </div>
        <div>
          <dt>Version</dt>
          <dd>{worker.version ?? <span class="faint">unknown</span>}</dd>
        </div>
        {worker.started_at !== null && (
          <div>
            <dt>Started</dt>
            <dd>
              <Time at={worker.started_at} />
            </dd>
          </div>
        )}
        <div>
          <dt>Last heartbeat</dt>
          <dd class="num">
            {worker.silent_for < 1 ? "just now" : `${formatDuration(worker.silent_for)} ago`}
          </dd>
        </div>
        <div>
          <dt>ID</dt>
          <dd class="mono">{worker.id}</dd>
        </div>
      </dl>
      {worker.running.length === 0 ? (
        <p class="idle faint">Idle</p>
      ) : (
        <ul class="rows">
          {worker.running.map((one) => (
            <li key={`${one.execution_id} ${one.attempt}`}>
              <a href={href(`/executions/${encodeURIComponent(one.execution_id)}`)}>
                <StatusBadge plain status={one.started ? "running" : "queued"} />
                <span>{one.action_name}</span>
                {one.attempt > 1 && <span class="tag">attempt {one.attempt}</span>}
                {one.waits && <span class="tag">waiting for a child</span>}
                <span class="rows-end">
                  <Duration from={one.since} />
                </span>
              </a>
            </li>
          ))}
        </ul>
      )}
      <PythonEnvironments worker={worker} />
      {worker.problems.map((loadError) => (
        <LoadErrorCard key={`${loadError.place} ${loadError.message}`} error={loadError} />
      ))}
      {asking && (
        <Confirm
          title={`Drain ${worker.name || worker.id}?`}
          action="Drain"
          busy={busy}
          error={error}
          onConfirm={() => void drain()}
          onClose={() => setAsking(false)}
        >
          <p>
            The worker receives no new work
            {holding > 0 ? `, finishes ${count(holding, "attempt")}` : ""} and exits. Start it again
            to use it.
          </p>
        </Confirm>
      )}
    </li>
  );
}

/** The slots of a worker: a box for each, up to 32, and their numbers. */
function Slots({ used, all }: { used: number; all: number }) {
  return (
    <span class="slots">
      {all <= 32 && (
        <span class="slot-boxes" aria-hidden="true">
          {Array.from({ length: all }, (_, at) => (
            <i key={at} data-used={at < used || undefined} />
          ))}
        </span>
      )}
      <span class="num">
        {used} of {all}
      </span>
    </span>
  );
}
