import { useState } from "preact/hooks";
import { api } from "../api/client";
import { errorText } from "../api/transport";
import { type ExecutionView, isTerminal } from "../api/types";
import { href } from "../app/base-path";
import { navigate } from "../app/router";
import { identity } from "../identity/identity";
import { Button, Confirm } from "../ui";

interface ControlsProps {
  view: ExecutionView;
  changed: () => void;
  /** If true, only the buttons that do not lead to other pages are shown. */
  brief?: boolean;
}

/** The buttons of an execution: cancel it while it runs, or run it again. */
export function Controls({ view, changed, brief = false }: ControlsProps) {
  const ended = isTerminal(view.status);
  return (
    <>
      {!ended && identity.may("cancel") && <Cancel view={view} changed={changed} />}
      {ended && !brief && identity.may("rerun") && <Rerun id={view.execution_id} />}
      {!brief && identity.may("run") && (
        <a
          class="button"
          href={`${href(`/actions/${encodeURIComponent(view.action_name)}`)}?from=${encodeURIComponent(view.execution_id)}`}
        >
          Edit and run…
        </a>
      )}
    </>
  );
}

/** Cancels the execution; while it is cancelling, offers to kill it. */
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
        {force ? "Kill now…" : "Cancel…"}
      </Button>
      {asking && (
        <Confirm
          title={force ? "Kill this execution?" : "Cancel this execution?"}
          action={force ? "Kill now" : "Cancel execution"}
          danger
          dismiss="Keep running"
          busy={busy}
          error={error}
          onConfirm={() => void confirm()}
          onClose={close}
        >
          {force
            ? "The execution was asked to end and is still running. Killing it ends it at once: the action cannot clean up, and files it was writing may be incomplete."
            : "The action is asked to end, and so are the executions that it waits for. If it keeps running, you can kill it."}
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
        Run again
      </Button>
      {asking && (
        <Confirm
          title="Run this execution again?"
          action="Run again"
          busy={busy}
          error={error}
          onConfirm={() => void confirm()}
          onClose={() => setAsking(false)}
        >
          Submits the same action with the same parameters, including secrets, and the same options.
        </Confirm>
      )}
    </>
  );
}
