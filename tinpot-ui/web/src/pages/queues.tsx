import { useEffect, useState } from "preact/hooks";
import { api } from "../api/client";
import { errorText } from "../api/transport";
import { type Queue, RUNNING } from "../api/types";
import { href } from "../app/base-path";
import { useTitle } from "../app/use-title";
import { identity } from "../identity/identity";
import { hub, useResource } from "../stream";
import { Button, count, Empty, ErrorBox, Loading, PageHead, Time } from "../ui";

export function QueuesPage() {
  useTitle("Queues");
  const page = useResource("queues", (signal) => api.queues({ signal }));
  useEffect(() => {
    const leave = [
      hub.onChange("queues", page.reload),
      hub.onChange("workers", page.reload),
      hub.onExecutions(page.reload),
    ];
    return () => {
      for (const stop of leave) stop();
    };
  }, [page.reload]);
  const queues = page.data?.queues;
  const waiting = queues?.reduce((sum, one) => sum + one.waiting, 0) ?? 0;
  return (
    <>
      <PageHead
        title="Queues"
        sub={
          queues === undefined ? undefined : `${count(queues.length, "queue")}, ${waiting} waiting`
        }
      />
      {page.error !== null && <ErrorBox error={page.error} retry={page.reload} />}
      {queues === undefined && page.error === null && <Loading />}
      {queues?.length === 0 && (
        <Empty title="No queues yet" icon="queues">
          A queue appears once an action or an execution uses it.
        </Empty>
      )}
      {queues !== undefined && queues.length > 0 && (
        <div class="panel table-wrap stale-dim">
          <table class="records">
            <thead>
              <tr>
                <th>Queue</th>
                <th class="right">Waiting</th>
                <th class="right">Running</th>
                <th class="right">Delayed</th>
                <th class="right">Workers</th>
                <th>Oldest waiting</th>
                <th>
                  <span class="unseen">Pause or resume</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {queues.map((one) => (
                <QueueRow key={one.name} queue={one} onChanged={page.reload} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function QueueRow({ queue, onChanged }: { queue: Queue; onChanged: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const paused = queue.paused;
  const toggle = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      await (paused ? api.resume(queue.name) : api.pause(queue.name));
      onChanged();
    } catch (failure) {
      setError(errorText(failure));
    } finally {
      setBusy(false);
    }
  };
  const link = (number: number, status: string) =>
    number === 0 ? (
      <span class="faint">0</span>
    ) : (
      <a href={href(`/executions?queue=${encodeURIComponent(queue.name)}&status=${status}`)}>
        {number.toLocaleString("en")}
      </a>
    );
  return (
    <tr data-paused={paused || undefined}>
      <td class="main-cell">
        <strong>{queue.name}</strong>{" "}
        {paused && (
          <span class="status" data-status="paused">
            <i />
            paused <Time at={queue.paused_at} />
          </span>
        )}
        {!paused && queue.reason !== null && queue.waiting + queue.delayed > 0 && (
          <p class="row-note">{queue.reason}</p>
        )}
        {error !== null && (
          <p class="error-text" role="alert">
            {error}
          </p>
        )}
      </td>
      <td class="right num" data-label="Waiting">
        {link(queue.waiting, "queued")}
      </td>
      <td class="right num" data-label="Running">
        {link(queue.granted, RUNNING.join())}
      </td>
      <td class="right num" data-label="Delayed">
        {queue.delayed === 0 ? <span class="faint">0</span> : queue.delayed}
      </td>
      <td class="right num" data-label="Workers">
        {queue.workers === 0 ? <span class="error-text">none</span> : queue.workers}
      </td>
      <td class="soft" data-label="Oldest waiting">
        {queue.waiting > 0 ? <Time at={queue.oldest_accepted_at} /> : <span class="faint">–</span>}
      </td>
      <td class="right">
        {identity.may("pause_queue") && (
          <Button
            class="small"
            icon={paused ? "actions" : "pause"}
            busy={busy}
            aria-label={`${paused ? "Resume" : "Pause"} ${queue.name}`}
            onClick={() => void toggle()}
          >
            {paused ? "Resume" : "Pause"}
          </Button>
        )}
      </td>
    </tr>
  );
}
