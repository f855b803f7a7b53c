import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { Button } from "./button";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** If true, only screen readers read the title. */
  bare?: boolean;
  class?: string;
}

const FOCUSABLE =
  'a[href],button:not([disabled]),input:not([disabled]),select:not([disabled]),textarea:not([disabled]),[tabindex="0"]';

/** A modal dialog. Traps the focus and restores it; closes on Escape and on a click outside. */
export function Dialog({ title, onClose, children, bare = false, class: extra = "" }: DialogProps) {
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const before = document.activeElement;
    const element = box.current;
    if (element !== null && !element.contains(before)) {
      const first =
        element.querySelector<HTMLElement>("[data-autofocus]") ??
        element.querySelector<HTMLElement>(FOCUSABLE);
      (first ?? element).focus();
    }
    document.documentElement.classList.add("has-dialog");
    return () => {
      document.documentElement.classList.remove("has-dialog");
      // Restore the focus unless the code that closed the dialog has moved it, as to a new page.
      const at = document.activeElement;
      const nowhere = at === null || at === document.body || element?.contains(at) === true;
      if (nowhere && before instanceof HTMLElement) before.focus();
    };
  }, []);

  const pressed = (event: KeyboardEvent): void => {
    if (event.key === "Escape") {
      event.stopPropagation();
      onClose();
    } else if (event.key === "Tab" && box.current !== null) {
      const inside = [...box.current.querySelectorAll<HTMLElement>(FOCUSABLE)];
      const [first, last] = [inside[0], inside[inside.length - 1]];
      const at = document.activeElement;
      if (first === undefined || last === undefined) event.preventDefault();
      else if (event.shiftKey && (at === first || at === box.current)) {
        event.preventDefault();
        last.focus();
      } else if (!event.shiftKey && at === last) {
        event.preventDefault();
        first.focus();
      }
    }
  };

  return (
    <div
      class="backdrop"
      onMouseDown={(event) => event.target === event.currentTarget && onClose()}
    >
      <div
        ref={box}
        class={`dialog ${extra}`}
        role="dialog"
        aria-modal="true"
        aria-labelledby={id}
        tabIndex={-1}
        onKeyDown={pressed}
      >
        <h2 id={id} class={bare ? "unseen" : undefined}>
          {title}
        </h2>
        {children}
      </div>
    </div>
  );
}

interface ConfirmProps {
  title: string;
  children: ComponentChildren;
  /** The label of the button that confirms: a verb. */
  action: string;
  danger?: boolean;
  /** The label of the button that closes the dialog. */
  dismiss?: string;
  busy?: boolean;
  error?: string | null;
  onConfirm: () => void;
  onClose: () => void;
}

/** A dialog that asks for confirmation. */
export function Confirm({
  title,
  children,
  action,
  danger = false,
  dismiss = "Cancel",
  busy = false,
  error = null,
  onConfirm,
  onClose,
}: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="dialog-text">{children}</div>
      {error !== null && (
        <p class="error-text" role="alert">
          {error}
        </p>
      )}
      <div class="dialog-buttons">
        <Button onClick={onClose} data-autofocus>
          {dismiss}
        </Button>
        <Button look={danger ? "danger" : "primary"} busy={busy} onClick={onConfirm}>
          {action}
        </Button>
      </div>
    </Dialog>
  );
}
