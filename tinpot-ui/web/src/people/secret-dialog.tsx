// A dialog that shows a secret, once.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Button, Dialog } from "../ui";
import { toClipboard } from "../ui/copy";

interface Props {
  title: string;
  secret: string;
  onClose: () => void;
  /** More about its use. */
  children?: ComponentChildren;
}

/** Shows the secret of a token. Only its button closes the dialog. */
export function SecretDialog({ title, secret, onClose, children }: Props) {
  const [note, setNote] = useState("");
  const copy = (): void => {
    toClipboard(secret).then(
      () => setNote("Copied"),
      (error: unknown) => setNote(`Not copied: ${String(error)}`),
    );
  };
  return (
    <Dialog title={title} onClose={() => setNote("Copy the token, then press Done.")}>
      <p class="dialog-text">Copy the token now: it is not shown again.</p>
      <div class="secret">
        <textarea
          class="mono"
          aria-label="Secret of the token"
          rows={2}
          readOnly
          value={secret}
          onFocus={(event) => event.currentTarget.select()}
        />
        <Button icon="copy" onClick={copy} data-autofocus>
          Copy
        </Button>
      </div>
      {children}
      <p class="soft" role="status">
        {note}
      </p>
      <div class="dialog-buttons">
        <Button look="primary" onClick={onClose}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}
