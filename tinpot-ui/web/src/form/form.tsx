// The form of an action: its parameters as fields or JSON, and its options.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, errorText } from "../api/transport";
import type { ActionView, Violation } from "../api/types";
import { lazy } from "../app/lazy";
import { isOtherRequester } from "../app/requester";
import { identity } from "../identity/identity";
import { type JsonObject, writeJson } from "../json/lossless-json";
import { Button, count, ErrorBox, Key, Tabs } from "../ui";
import { Form, type FormContext, idOf } from "./form-context";
import {
  type FormState,
  problemsOf,
  startState,
  toFormView,
  toJsonView,
  toRemember,
  touch,
} from "./form-state";
import { JsonView } from "./json-view";
import { ObjectFields } from "./nested-fields";
import { NO_OPTIONS, OptionFields, type OptionTexts, readOptions } from "./options";
import type { Preset } from "./presets";
import type { Shape } from "./shape";
import { type Written, writeForm } from "./submission";

/** The request of a form, and the values that it was made from. */
export interface Submission {
  body: string;
  shape: Shape;
  node: FormState["node"];
  options: OptionTexts;
}

interface ActionFormProps {
  action: ActionView;
  shape: Shape;
  /** The first values of the fields. */
  values: JsonObject;
  options?: Partial<OptionTexts>;
  queues: readonly string[];
  /** Rejects with an {@link ApiError} if the server refuses. */
  onSubmit: (submission: Submission) => Promise<void>;
  /** Discards the remembered values. */
  onForget?: () => void;
  /** Fills in the parameters of a preset. */
  onPreset?: (preset: Preset) => void;
  /** Called with the values after each change. */
  onWritten?: (written: Written) => void;
}

const PresetsDialog = lazy(async () => (await import("./presets-dialog")).PresetsDialog, {
  rows: 0,
});

const PREFIX = "p";

export function ActionForm({
  action,
  shape,
  values,
  options,
  queues,
  onSubmit,
  onForget,
  onPreset,
  onWritten,
}: ActionFormProps) {
  const [state, setState] = useState(() => startState(shape, values));
  const [texts, setTexts] = useState<OptionTexts>({ ...NO_OPTIONS, ...options });
  const [optionsOpen, setOptionsOpen] = useState(() =>
    Object.entries(options ?? {}).some(([name, text]) => name !== "requested_by" && text !== ""),
  );
  const [optionsRefused, setOptionsRefused] = useState<Partial<Record<string, string>>>({});
  const [presetsOpen, setPresetsOpen] = useState(false);
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
      changed: (path) => state.changed.has(path),
      touched: (path) => setState((old) => touch(old, path)),
      disabled: busy,
      action: action.name,
    }),
    [problems, state.changed, busy, action.name],
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
    if (busy || !identity.may("run")) return;
    setFailure(null);
    setState((old) => ({ ...old, tried: true }));
    if (state.textProblem !== null) return;
    // The browser reports a half-typed date as empty; it must not count as no value.
    const half = [...(element.current?.querySelectorAll("input") ?? [])].find(
      (input) => input.validity.badInput,
    );
    if (half !== undefined) {
      const path = half.closest<HTMLElement>("[data-path]")?.dataset.path ?? "";
      setState((old) => ({ ...old, refused: [{ path, message: "is incomplete" }] }));
      return show(path);
    }
    const [wrong] = written.problems;
    if (wrong !== undefined) return state.view === "form" ? show(wrong.path) : undefined;
    if (Object.keys(read.problems).length > 0) return setOptionsOpen(true);
    const send = (options: OptionTexts): Promise<void> => {
      const { values: given } = readOptions(options);
      const parts = [`"parameters":${writeJson(written.value)}`];
      if (Object.keys(given).length > 0) parts.push(`"options":${JSON.stringify(given)}`);
      return onSubmit({ body: `{${parts.join()}}`, shape, node: state.node, options });
    };
    setBusy(true);
    try {
      await send(texts).catch((error: unknown) => {
        // A remembered name gives way to that of a proxy, which knows who is signed in.
        if (!isOtherRequester(error) || texts.requested_by !== options?.requested_by) throw error;
        const unnamed = { ...texts, requested_by: "" };
        setTexts(unnamed);
        return send(unnamed);
      });
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
            {onPreset !== undefined && !empty && (
              <Button
                class="small"
                look="quiet"
                icon="bookmark"
                aria-haspopup="dialog"
                onClick={() => setPresetsOpen(true)}
              >
                Presets
              </Button>
            )}
            {onForget !== undefined && (
              <Button class="small" look="quiet" icon="reset" onClick={onForget}>
                Reset to defaults
              </Button>
            )}
            <Tabs
              class="segments"
              label="Parameter view"
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
          <JsonView
            shape={shape}
            state={state}
            problems={written.problems}
            disabled={busy}
            onState={setState}
          />
        ) : empty ? (
          <p class="form-empty soft">This action has no parameters.</p>
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
          {identity.may("run") ? (
            <>
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
            </>
          ) : (
            <span class="soft">Your role does not include running actions.</span>
          )}
          {state.tried && written.problems.length > 0 && (
            <span class="error-text" role="status">
              {count(written.problems.length, "field needs", "fields need")} attention
            </span>
          )}
        </div>
      </form>
      {presetsOpen && onPreset !== undefined && (
        <PresetsDialog
          action={action.name}
          values={toRemember(shape, state.node)}
          onLoad={(preset) => {
            setPresetsOpen(false);
            onPreset(preset);
          }}
          onClose={() => setPresetsOpen(false)}
        />
      )}
    </Form.Provider>
  );
}

/** Returns the errors of a refusal by field. The API names options in its text only. */
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
