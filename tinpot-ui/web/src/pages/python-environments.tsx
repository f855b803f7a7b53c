import { useEffect, useState } from "preact/hooks";
import { api } from "../api/client";
import { errorText } from "../api/transport";
import type { PythonEnvironment, Worker } from "../api/types";
import { count, formatBytes, Time } from "../ui";

/** The names of the states, and the statuses of executions that have their colours. */
const STATES = {
  building: ["building", "running"],
  ready: ["ready", "succeeded"],
  failed: ["failed", "failed"],
  kept: ["last good kept", "failed"],
} as const;

/** The Python environments that the actions of a worker ask for. */
export function PythonEnvironments({ worker }: { worker: Worker }) {
  if (worker.python_environments.length === 0) return null;
  return (
    <section class="environments">
      <h3>Python environments</h3>
      <ul>
        {worker.python_environments.map((one) => (
          <li key={one.place}>
            <Environment worker={worker.id} environment={one} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Environment({ worker, environment }: { worker: string; environment: PythonEnvironment }) {
  const [open, setOpen] = useState(false);
  const [name, status] = STATES[environment.state] ?? [environment.state, "queued"];
  const facts = [
    environment.python !== null && `Python ${environment.python}`,
    environment.installer,
    environment.bytes > 0 && count(environment.packages, "package"),
    environment.bytes > 0 && formatBytes(environment.bytes),
    environment.asked.length > 1 && `asked by ${environment.asked.join(", ")}`,
  ].filter(Boolean);
  const head = (
    <div class="environment">
      <span class="status" data-status={status}>
        <i />
        {name}
      </span>
      <span class="mono">{environment.place}</span>
      <span class="faint">{facts.join(" · ")}</span>
      <span class="rows-end">
        <Time at={environment.since} />
      </span>
    </div>
  );
  if (environment.reason === null) return head;
  return (
    <>
      {head}
      <details
        class="load-error"
        onToggle={(event) => setOpen((event.currentTarget as HTMLDetailsElement).open)}
      >
        <summary>
          <span class="load-error-head">{environment.reason}</span>
        </summary>
        {open && <BuildLog worker={worker} environment={environment} />}
      </details>
    </>
  );
}

/** The end of the log of a failed build, which the list of workers leaves out. */
function BuildLog({ worker, environment }: { worker: string; environment: PythonEnvironment }) {
  const [text, setText] = useState("Loading…");
  const { place, since } = environment;
  // Each build has another log.
  useEffect(() => {
    const stop = new AbortController();
    api
      .worker(worker, { signal: stop.signal })
      .then((found) => {
        const log = found.python_environments.find((one) => one.place === place)?.log;
        setText(log ?? "No log: the build has not begun");
      })
      .catch((failure) => {
        if (!stop.signal.aborted) setText(errorText(failure));
      });
    return () => stop.abort();
  }, [worker, place, since]);
  return (
    <>
      <pre tabIndex={0}>{text}</pre>
      {environment.key !== null && (
        <p class="faint">
          The whole log, on the worker's host: <code>tinpot python log {environment.key}</code>
        </p>
      )}
    </>
  );
}
