import { useState } from "preact/hooks";
import type { ExecutionView } from "../api/types";
import { serverUrl } from "../app/base-path";
import { isObject } from "../json/lossless-json";
import { CopyButton, Tabs } from "../ui";
import { type CallOptions, SNIPPET_KINDS, type SnippetKind, snippet } from "./snippet-text";

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
