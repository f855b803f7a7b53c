import { sameJson } from "../json/lossless-json";
import { type ControlProps, common } from "./control-props";
import { UNSET } from "./value-tree";

/** Returns the text of a select without a choice. */
function blankText({ shape, required }: ControlProps): string {
  if (shape.hasDefault && shape.default === null) return "no value (default)";
  return required ? "Choose…" : "not set";
}

/** A checkbox, or a select where the value may be missing. */
export function BooleanControl(props: ControlProps) {
  const { shape, node, onChange } = props;
  // A checkbox always shows yes or no, so it needs a default.
  if (!shape.nullable && typeof shape.default === "boolean" && shape.hasDefault) {
    const on = node.kind === "bool" && node.value;
    return (
      <span class="check-control">
        <input
          {...common(props)}
          type="checkbox"
          checked={on}
          onChange={(event) => onChange({ kind: "bool", value: event.currentTarget.checked })}
        />
        <span class="soft" aria-hidden="true">
          {on ? "yes" : "no"}
        </span>
      </span>
    );
  }
  const value =
    props.node.kind === "null" ? "null" : node.kind === "bool" ? String(node.value) : "";
  return (
    <select
      {...common(props)}
      value={value}
      onChange={(event) => {
        const chosen = event.currentTarget.value;
        onChange(
          chosen === ""
            ? UNSET
            : chosen === "null"
              ? { kind: "null" }
              : { kind: "bool", value: chosen === "true" },
        );
      }}
    >
      {(value === "" || !(shape.hasDefault || props.required)) && (
        <option value="">{blankText(props)}</option>
      )}
      <option value="true">yes</option>
      <option value="false">no</option>
      {shape.nullable && <option value="null">no value</option>}
    </select>
  );
}

/** A select of the values of an enum. */
export function EnumControl(props: ControlProps) {
  const { shape, node, onChange } = props;
  const value = node.kind === "null" ? "null" : node.kind === "choice" ? String(node.index) : "";
  const defaultIndex = shape.hasDefault
    ? shape.choices.findIndex((choice) => sameJson(choice.value, shape.default))
    : -1;
  return (
    <select
      {...common(props)}
      value={value}
      onChange={(event) => {
        const chosen = event.currentTarget.value;
        onChange(
          chosen === ""
            ? UNSET
            : chosen === "null"
              ? { kind: "null" }
              : { kind: "choice", index: Number(chosen) },
        );
      }}
    >
      {(value === "" || !(shape.hasDefault || props.required)) && (
        <option value="">{blankText(props)}</option>
      )}
      {shape.choices.map((choice, at) => (
        <option key={at} value={String(at)}>
          {choice.name + (at === defaultIndex ? " (default)" : "")}
        </option>
      ))}
      {shape.nullable && <option value="null">no value</option>}
    </select>
  );
}
