// A field with its name, its type, its control and its error.
import type { ComponentChildren } from "preact";
import { writeJson } from "../json/lossless-json";
import { Button } from "../ui";
import { boundsHint } from "./bounds";
import { Control } from "./controls";
import { idOf, useForm } from "./form-context";
import { ListFields, MemberFields, ObjectFields, TupleFields } from "./nested-fields";
import type { Shape } from "./shape";
import { begin, fromJson, type Node, shown, UNSET } from "./value-tree";

export interface FieldProps {
  /** The label; empty for the value of a union. */
  name: ComponentChildren;
  /** The name for screen readers where `name` is not text. */
  spoken?: string;
  shape: Shape;
  node: Node;
  required: boolean;
  path: string;
  /** The buttons of the list that holds the field. */
  tools?: ComponentChildren;
  onChange: (node: Node) => void;
}

const GROUPS = new Set(["object", "array", "tuple", "union"]);

export function FieldView(props: FieldProps) {
  const { shape, node, required, path } = props;
  const form = useForm();
  const change = (next: Node): void => {
    form.touched(path);
    props.onChange(next);
  };
  // The default is "no value": an untouched field shows an empty control to type into.
  const bare = node.kind === "unset" && shape.hasDefault && shape.default === null;
  const now = bare ? (shape.kind === "array" ? begin(shape) : node) : shown(shape, node, required);
  // The errors of a union are shown at its selected member.
  const problem = shape.kind === "union" && now.kind === "member" ? null : form.problem(path);
  const id = idOf(form.prefix, path);
  const hint = [shape.schema.description ?? "", boundsHint(shape.schema)].filter(Boolean);
  const describedBy =
    [hint.length > 0 ? `${id}-hint` : "", problem === null ? "" : `${id}-error`]
      .filter(Boolean)
      .join(" ") || undefined;
  const group = GROUPS.has(shape.kind) && now.kind !== "raw";
  const noValue = now.kind === "null";
  const selects = shape.kind === "boolean" || shape.kind === "enum";

  const tools = (
    <span class="field-tools">
      {shape.nullable && !selects && (noValue || !(shape.hasDefault && shape.default === null)) && (
        <Button
          class="small"
          look="quiet"
          aria-pressed={noValue}
          disabled={form.disabled}
          onClick={() => change(noValue ? filled(shape) : { kind: "null" })}
        >
          No value
        </Button>
      )}
      {shape.kind === "string" && required && node.kind === "unset" && !shape.hasDefault && (
        <Button
          class="small"
          look="quiet"
          disabled={form.disabled}
          onClick={() => change({ kind: "text", text: "" })}
        >
          Empty text
        </Button>
      )}
      {shape.kind === "array" && required && node.kind === "unset" && !shape.hasDefault && (
        <Button
          class="small"
          look="quiet"
          disabled={form.disabled}
          onClick={() => change(begin(shape))}
        >
          Empty list
        </Button>
      )}
      {node.kind !== "unset" &&
        props.tools === undefined &&
        (!required || shape.hasDefault || node.kind === "raw") && (
          <Button
            class="small"
            look="quiet"
            icon="reset"
            aria-label={`Reset ${props.spoken ?? String(props.name)}${shape.hasDefault ? " to its default" : ""}`}
            disabled={form.disabled}
            onClick={() => change(UNSET)}
          />
        )}
      {props.tools}
    </span>
  );

  const label = (
    <>
      {props.name === "" && props.spoken !== undefined && (
        <span class="unseen">{props.spoken}</span>
      )}
      <span class="field-name">
        {props.name}
        {required && typeof props.name === "string" && (
          <span class="required" title="required" aria-hidden="true">
            *
          </span>
        )}
      </span>
      <span class="field-type">
        {shape.label}
        {required ? "" : ", optional"}
      </span>
    </>
  );
  const below = (
    <>
      {shape.kind === "string" && node.kind === "text" && node.text === "" && (
        <p class="field-hint">
          <span class="tag">Sends empty text</span>
        </p>
      )}
      {node.kind === "text" && node.text.trim() === "" && shape.kind !== "string" && !required && (
        <p class="field-hint">
          <span class="tag">
            Not sent{shape.hasDefault ? `: the default ${defaultText(shape)} applies` : ""}
          </span>
        </p>
      )}
      {now.kind === "raw" && shape.kind !== "any" && (
        <p class="field-hint">The value does not fit this field, so it is shown as JSON.</p>
      )}
      {hint.length > 0 && (
        <p class="field-hint" id={`${id}-hint`}>
          {hint.join(" · ")}
        </p>
      )}
      {problem !== null && (
        <p class={`field-error ${problem.soft ? "soft-error" : ""}`} id={`${id}-error`}>
          {problem.message}
        </p>
      )}
    </>
  );

  if (group) {
    const on = now.kind !== "unset" && !noValue;
    const switched =
      shape.kind === "object" && (!required || shape.nullable) && shape.fields.length > 0;
    return (
      <fieldset class="field group" data-path={path} aria-describedby={describedBy}>
        <legend class="field-label">
          {switched ? (
            <label class="switch">
              <input
                type="checkbox"
                checked={on}
                disabled={form.disabled}
                onChange={(event) =>
                  change(
                    event.currentTarget.checked
                      ? filled(shape)
                      : shape.nullable && (required || (shape.hasDefault && shape.default !== null))
                        ? { kind: "null" }
                        : UNSET,
                  )
                }
              />
              {label}
            </label>
          ) : (
            label
          )}
          {tools}
        </legend>
        {below}
        {bare && shape.kind === "array" && (
          <p class="field-hint">
            <span class="tag">No value</span>
          </p>
        )}
        {noValue ? (
          <p class="field-hint">
            <span class="tag">No value</span>
          </p>
        ) : (
          <Group {...props} node={now} onChange={change} />
        )}
      </fieldset>
    );
  }
  return (
    <div class="field" data-path={path}>
      <label class="field-label" for={id}>
        {label}
      </label>
      <div class="field-body">
        <div class="field-control">
          {noValue && !selects ? (
            <button
              type="button"
              class="null-control"
              id={id}
              disabled={form.disabled}
              onClick={() => change(filled(shape))}
            >
              No value
            </button>
          ) : (
            <Control
              shape={shape}
              node={now}
              untouched={node.kind === "unset"}
              required={required}
              id={id}
              describedBy={describedBy}
              invalid={problem !== null && !problem.soft}
              disabled={form.disabled}
              onChange={change}
            />
          )}
          {tools}
        </div>
        {below}
      </div>
    </div>
  );
}

/** Returns the node that replaces "no value": the default if there is one, else an empty field. */
function filled(shape: Shape): Node {
  if (shape.hasDefault && shape.default !== null) return fromJson(shape, shape.default);
  if (shape.kind === "object" || shape.kind === "array" || shape.kind === "tuple")
    return begin(shape);
  if (shape.kind === "union") return { kind: "member", index: 0, node: UNSET };
  // Not unset, because that would be the default, which is "no value".
  return shape.kind === "date-time"
    ? { kind: "moment", text: "", zoned: true }
    : { kind: "text", text: "" };
}

function defaultText(shape: Shape): string {
  const text = writeJson(shape.default);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function Group(props: FieldProps) {
  switch (props.shape.kind) {
    case "object":
      return props.node.kind === "object" ? <ObjectFields {...props} node={props.node} /> : null;
    case "array":
      return <ListFields {...props} />;
    case "tuple":
      return <TupleFields {...props} />;
    default:
      return <MemberFields {...props} />;
  }
}
