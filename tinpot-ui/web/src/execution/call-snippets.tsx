import { useEffect, useRef, useState } from "preact/hooks";
import type { ExecutionView } from "../api/types";
import { serverUrl } from "../app/base-path";
import { isObject } from "../json/lossless-json";
import { Button, Tabs } from "../ui";
import { type CallOptions, SNIPPET_KINDS, type SnippetKind, snippet } from "./snippet-text";

/**
 * Copies text to the clipboard. Browsers offer `navigator.clipboard` on secure pages only, so pages
 * of a server that is reached by plain HTTP copy a selection.
 */
function toClipboard(text: string): Promise<void> {
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard !== undefined) return clipboard.writeText(text);
  const area = document.createElement("textarea");
  const before = document.activeElement;
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return copied
    ? Promise.resolve()
    : Promise.reject(new Error("the browser denies access to the clipboard"));
}

/** A button that copies text and confirms it for two seconds. */
export function CopyButton({
  text,
  label,
  children,
}: {
  text: () => string;
  label: string;
  children?: string;
}) {
  const [state, setState] = useState<"idle" | "done" | "failed">("idle");
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
    },
    [],
  );
  const finish = (next: "done" | "failed") => (): void => {
    setState(next);
    timer.current = setTimeout(() => setState("idle"), 2_000);
  };
  const copy = (): void => {
    toClipboard(text()).then(finish("done"), finish("failed"));
  };
  const shown =
    state === "done" ? "Copied" : state === "failed" ? "Copy failed: select the text" : children;
  return (
    <Button
      look="quiet"
      class="small"
      icon={state === "done" ? "check" : "copy"}
      aria-label={state === "done" ? "Copied" : label}
      title={label}
      onClick={copy}
    >
      {shown}
    </Button>
  );
}

interface CopyAsProps {
  view: ExecutionView;
}

/** Returns the options of an execution that differ from the defaults. */
function optionsOf({ queue, priority, timeout, retries }: ExecutionView): CallOptions {
  const options: CallOptions = {};
  if (queue !== "default") options.queue = queue;
  if (priority !== 0) options.priority = priority;
  if (timeout !== null) options.timeout = timeout;
  if (retries !== 0) options.retries = retries;
  return options;
}

/** Code that submits the same execution, as a command or a program. */
export function CopyAs({ view }: CopyAsProps) {
  const { action_name: action, parameters } = view;
  const [kind, setKind] = useState<SnippetKind>("CLI");
  const values = isObject(parameters) ? parameters : {};
  const server = serverUrl();
  const text = snippet(kind, { action, parameters: values, options: optionsOf(view), server });
  return (
    <div class="copy-as">
      <div class="copy-head">
        <Tabs
          class="segments"
          label="Copy as"
          tabs={SNIPPET_KINDS.map((id) => ({ id, title: id }))}
          current={kind}
          onSelect={setKind}
        />
        <CopyButton text={() => text} label={`Copy as ${kind}`}>
          Copy
        </CopyButton>
      </div>
      <pre role="region" tabIndex={0} aria-label={`Code for ${kind}`}>
        {text}
      </pre>
      {JSON.stringify(values).includes('"***"') && (
        <p class="faint">Secrets are hidden: replace each &lt;name&gt; with its value.</p>
      )}
    </div>
  );
}
