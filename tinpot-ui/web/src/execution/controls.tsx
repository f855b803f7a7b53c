import { useState } from "preact/hooks";
import { api } from "../api/client";
import { errorText } from "../api/transport";
import { type ExecutionView, isTerminal } from "../api/types";
import { href } from "../app/base-path";
import { navigate } from "../app/router";
import { Button, Confirm } from "../ui";

/** What can be done with an execution: end it, or have it again. */
export function Controls({ view, changed }: { view: ExecutionView; changed: () => void }) {
  const over = isTerminal(view.status);
  return (
    <>
      {!over && <Cancel view={view} changed={changed} />}
      {over && <Rerun id={view.execution_id} />}
      <a
        class="button"
        href={`${href(`/actions/${encodeURIComponent(view.action_name)}`)}?from=${encodeURIComponent(view.execution_id)}`}
      >
        Run again…
      </a>
    </>
  );
}

/** Asks it to end; while that is awaited, it can be killed. */
function Cancel({ view, changed }: { view: ExecutionView; changed: () => void }) {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const force = view.status === "cancelling";
  const close = (): void => {
    setAsking(false);
    setError(null);
  };
  const confirm = async (): Promise<void> => {
    setBusy(true);
    try {
      await api.cancel(view.execution_id, force);
      close();
      changed();
    } catch (failure) {
      setError(errorText(failure));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button look="danger" onClick={() => setAsking(true)}>
        {force ? "Force…" : "Cancel…"}
      </Button>
      {asking && (
        <Confirm
          title={force ? "Kill this execution?" : "Cancel this execution?"}
          action={force ? "Kill it" : "Cancel it"}
          danger
          busy={busy}
          error={error}
          onConfirm={() => void confirm()}
          onClose={close}
        >
          {force
            ? "It was asked to end and has not done so yet. Killed, it ends at once: it cannot clean up, and what it was writing may be half done."
            : "The action is asked to end, and what it waits for with it. If it does not, it can be forced."}
        </Confirm>
      )}
    </>
  );
}

function Rerun({ id }: { id: string }) {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const confirm = async (): Promise<void> => {
    setBusy(true);
    try {
      const { execution_id } = await api.rerun(id);
      navigate(`/executions/${encodeURIComponent(execution_id)}`);
    } catch (failure) {
      setError(errorText(failure));
      setBusy(false);
    }
  };
  return (
    <>
      <Button icon="reset" onClick={() => setAsking(true)}>
        Rerun as is
      </Button>
      {asking && (
        <Confirm
          title="Rerun it as it was?"
          action="Rerun"
          busy={busy}
          error={error}
          onConfirm={() => void confirm()}
          onClose={() => setAsking(false)}
        >
          The same action runs again, with the same parameters, secrets included, and the same
          options.
        </Confirm>
      )}
    </>
  );
}
