// Dialogs that send one request and close.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { errorText } from "../api/transport";
import { Button, Confirm, Dialog } from "../ui";

/** Sends one request at a time. Returns true if it succeeded. */
export function useRequest() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const run = async (request: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setError(null);
    try {
      await request();
      return true;
    } catch (failure) {
      setError(errorText(failure));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, run };
}

interface AskProps {
  title: string;
  /** The label of the button that sends the request: a verb. */
  action: string;
  request: () => Promise<unknown>;
  onDone?: () => void;
  onClose: () => void;
  children: ComponentChildren;
}

/** Asks before something that cannot be undone. */
export function AskFirst({ title, action, request, onDone, onClose, children }: AskProps) {
  const { busy, error, run } = useRequest();
  return (
    <Confirm
      title={title}
      action={action}
      danger
      busy={busy}
      error={error}
      onConfirm={() =>
        void run(request).then((done) => {
          if (done) onDone?.();
        })
      }
      onClose={onClose}
    >
      {children}
    </Confirm>
  );
}

/** A form in a dialog. */
export function FormDialog({
  title,
  action,
  request,
  onDone,
  onClose,
  children,
  disabled = false,
}: AskProps & { disabled?: boolean }) {
  const { busy, error, run } = useRequest();
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        class="stack"
        autocomplete="off"
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && !disabled)
            void run(request).then((done) => {
              if (done) onDone?.();
            });
        }}
      >
        {children}
        <p class="error-text" role="alert">
          {error}
        </p>
        <div class="dialog-buttons">
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" submit busy={busy} disabled={disabled}>
            {action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
