import { discardText, type FormState, typeText } from "./form-state";
import type { Shape } from "./shape";
import type { FieldProblem } from "./submission";

interface JsonViewProps {
  shape: Shape;
  state: FormState;
  problems: readonly FieldProblem[];
  disabled: boolean;
  onState: (change: (state: FormState) => FormState) => void;
}

/** The parameters as JSON, with the errors of all fields below. */
export function JsonView({ shape, state, problems, disabled, onState }: JsonViewProps) {
  const shown = [
    ...problems.filter((one) => one.missing !== true || state.tried),
    ...state.refused.filter((one) => !problems.some((own) => own.path === one.path)),
  ];
  return (
    <div class="json-view">
      <textarea
        class="mono"
        aria-label="Parameters as JSON"
        aria-invalid={state.textProblem !== null || undefined}
        aria-describedby="json-problem"
        rows={Math.max(6, Math.min(30, state.text.split("\n").length + 1))}
        value={state.text}
        spellcheck={false}
        disabled={disabled}
        onInput={(event) => {
          const { value } = event.currentTarget;
          onState((old) => typeText(shape, old, value));
        }}
      />
      <div id="json-problem">
        {state.textProblem !== null ? (
          <p class="field-error">
            {state.textProblem}.{" "}
            <button
              type="button"
              class="link"
              onClick={() => onState((old) => discardText(shape, old))}
            >
              Discard changes and return to the form
            </button>
          </p>
        ) : (
          shown.map((one) => (
            <p class="field-error" key={`${one.path} ${one.message}`}>
              {one.path === "" ? "" : <code>{one.path}</code>} {one.message}
            </p>
          ))
        )}
      </div>
    </div>
  );
}
