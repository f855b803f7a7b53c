// The form of an action: fields or JSON, options, and what is sent.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, errorText } from "../api/transport";
import type { ActionView, Violation } from "../api/types";
import { type JsonObject, writeJson } from "../json/lossless-json";
import { Button, ErrorBox, Key, Tabs } from "../ui";
import { Form, type FormContext, idOf } from "./form-context";
import {
  discardText,
  type FormState,
  problemsOf,
  startState,
  toFormView,
  toJsonView,
  typeText,
  withoutRefusals,
} from "./form-state";
import { ObjectFields } from "./nested-fields";
import { NO_OPTIONS, OptionFields, type OptionTexts, readOptions } from "./options";
import type { Shape } from "./shape";
import { type Written, writeForm } from "./submission";

/** What is to be sent. */
export interface Submission {
  body: string;
  shape: Shape;
  node: FormState["node"];
  options: OptionTexts;
}

interface ActionFormProps {
  action: ActionView;
  shape: Shape;
  /** Values to begin with. */
  values: JsonObject;
  options?: Partial<OptionTexts>;
  queues: readonly string[];
  /** Throws an {@link ApiError} when the server refuses. */
  onSubmit: (submission: Submission) => Promise<void>;
  /** Everything as if the form had never been used. */
  onForget?: () => void;
  /** What happens with each change, for whoever has to make another form of it. */
  onWritten?: (written: Written) => void;
}

const PREFIX = "p";

export function ActionForm({
  action,
  shape,
  values,
  options,
  queues,
  onSubmit,
  onForget,
  onWritten,
}: ActionFormProps) {
  const [state, setState] = useState(() => startState(shape, values));
  const [texts, setTexts] = useState<OptionTexts>({ ...NO_OPTIONS, ...options });
  const [optionsOpen, setOptionsOpen] = useState(() =>
    Object.entries(options ?? {}).some(([name, text]) => name !== "requested_by" && text !== ""),
  );
  const [optionsRefused, setOptionsRefused] = useState<Partial<Record<string, string>>>({});
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const element = useRef<HTMLFormElement>(null);

  const written = useMemo(() => writeForm(shape, state.node), [shape, state.node]);
  const problems = useMemo(
    () => problemsOf(shape, state, written.problems),
    [shape, state, written],
  );
  const read = useMemo(() => readOptions(texts), [texts]);
  useEffect(() => onWritten?.(written), [written]);

  const context = useMemo<FormContext>(
    () => ({
      prefix: PREFIX,
      problem: (path) => problems.get(path) ?? null,
      touched: (path) =>
        setState((old) => ({ ...old, refused: withoutRefusals(old.refused, path) })),
      disabled: busy,
    }),
    [problems, busy],
  );

  const show = (path: string): void => {
    requestAnimationFrame(() => {
      const field = element.current?.querySelector<HTMLElement>(
        `[data-path="${CSS.escape(path)}"]`,
      );
      const control =
        document.getElementById(idOf(PREFIX, path)) ??
        field?.querySelector<HTMLElement>("input,select,textarea,button");
      control?.focus();
      field?.scrollIntoView({ block: "nearest" });
    });
  };

  const submit = async (): Promise<void> => {
    if (busy) return;
    setFailure(null);
    setState((old) => ({ ...old, tried: true }));
    if (state.textProblem !== null) return;
    // The browser has no value for a date that is half typed; it must not be taken for none.
    const half = [...(element.current?.querySelectorAll("input") ?? [])].find(
      (input) => input.validity.badInput,
    );
    if (half !== undefined) {
      const path = half.closest<HTMLElement>("[data-path]")?.dataset.path ?? "";
      setState((old) => ({ ...old, refused: [{ path, message: "is not complete" }] }));
      return show(path);
    }
    const [wrong] = written.problems;
    if (wrong !== undefined) return state.view === "form" ? show(wrong.path) : undefined;
    if (Object.keys(read.problems).length > 0) return setOptionsOpen(true);
    const parts = [`"parameters":${writeJson(written.value)}`];
    if (Object.keys(read.values).length > 0) parts.push(`"options":${JSON.stringify(read.values)}`);
    setBusy(true);
    try {
      await onSubmit({ body: `{${parts.join()}}`, shape, node: state.node, options: texts });
    } catch (error) {
      const { errors, optionErrors } = refusalOf(error);
      setOptionsRefused(optionErrors);
      if (Object.keys(optionErrors).length > 0) setOptionsOpen(true);
      else if (errors.length === 0 || state.view === "json") setFailure(error);
      setState((old) => ({ ...old, refused: errors }));
      if (errors[0] !== undefined && state.view === "form") show(errors[0].path);
    } finally {
      setBusy(false);
    }
  };

  const whole = problems.get("");
  const empty = shape.fields.length === 0 && shape.extra === null;
  const hidden =
    state.view === "json"
      ? [...written.problems].filter((one) => one.missing !== true || state.tried)
      : [];
  return (
    <Form.Provider value={context}>
      <form
        ref={element}
        class="panel action-form"
        noValidate
        autocomplete="off"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            void submit();
          }
        }}
      >
        <div class="form-head">
          <h2>Parameters</h2>
          <span class="form-head-end">
            {onForget !== undefined && (
              <Button class="small" look="quiet" icon="reset" onClick={onForget}>
                Defaults
              </Button>
            )}
            <Tabs
              class="segments"
              label="How parameters are shown"
              current={state.view}
              tabs={[
                { id: "form", title: "Form", disabled: state.textProblem !== null },
                { id: "json", title: "JSON" },
              ]}
              onSelect={(view) =>
                setState((old) =>
                  view === old.view
                    ? old
                    : view === "json"
                      ? toJsonView(shape, old)
                      : toFormView(old),
                )
              }
            />
          </span>
        </div>
        {whole !== undefined && (
          <p class="field-error form-error" role="alert">
            {whole.message}
          </p>
        )}
        {state.view === "json" ? (
          <div class="json-view">
            <textarea
              class="mono"
              aria-label="Parameters as JSON"
              aria-invalid={state.textProblem !== null || undefined}
              aria-describedby="json-problem"
              rows={Math.max(6, Math.min(30, state.text.split("\n").length + 1))}
              value={state.text}
              spellcheck={false}
              disabled={busy}
              onInput={(event) => {
                const { value } = event.currentTarget;
                setState((old) => typeText(shape, old, value));
              }}
            />
            <div id="json-problem">
              {state.textProblem !== null && (
                <p class="field-error">
                  {state.textProblem}.{" "}
                  <button
                    type="button"
                    class="link"
                    onClick={() => setState((old) => discardText(shape, old))}
                  >
                    Back to the form as it was
                  </button>
                </p>
              )}
              {state.textProblem === null &&
                hidden.map((one) => (
                  <p class="field-error" key={one.path}>
                    {one.path === "" ? "" : <code>{one.path}</code>} {one.message}
                  </p>
                ))}
              {state.textProblem === null &&
                state.refused.map((one) => (
                  <p class="field-error" key={one.path}>
                    <code>{one.path}</code> {one.message}
                  </p>
                ))}
            </div>
          </div>
        ) : empty ? (
          <p class="form-empty soft">This action takes no parameters.</p>
        ) : (
          state.node.kind === "object" && (
            <ObjectFields
              shape={shape}
              node={state.node}
              path=""
              onChange={(node) => setState((old) => ({ ...old, node }))}
            />
          )
        )}
        <OptionFields
          action={action}
          texts={texts}
          read={read}
          refused={optionsRefused}
          queues={queues}
          open={optionsOpen}
          onToggle={setOptionsOpen}
          onChange={(next) => {
            setTexts(next);
            setOptionsRefused({});
          }}
        />
        {failure !== null && <ErrorBox error={failure} />}
        <div class="form-foot">
          <Button
            look="primary"
            icon="actions"
            submit
            busy={busy}
            disabled={state.textProblem !== null}
          >
            Run
          </Button>
          <span class="faint">
            <Key>Ctrl</Key> <Key>Enter</Key>
          </span>
          {state.tried && written.problems.length > 0 && (
            <span class="error-text" role="status">
              {written.problems.length === 1
                ? "One field needs"
                : `${written.problems.length} fields need`}{" "}
              a look
            </span>
          )}
        </div>
      </form>
    </Form.Provider>
  );
}

/** What the server said, by field. Options are named in the text only. */
function refusalOf(error: unknown): {
  errors: readonly Violation[];
  optionErrors: Partial<Record<string, string>>;
} {
  if (!(error instanceof ApiError)) return { errors: [], optionErrors: {} };
  const option =
    error.errors.length === 0 ? /^options\.(\w+): (.*)$/s.exec(errorText(error)) : null;
  const name = option?.[1];
  if (name !== undefined && name in NO_OPTIONS)
    return { errors: [], optionErrors: { [name]: option?.[2] ?? "" } };
  return { errors: error.errors, optionErrors: {} };
}
