// A field with its name, its type, its control and its error.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { writeJson } from "../json/lossless-json";
import { Prose } from "../ui";
import { boundsHint } from "./bounds";
import { Control, textOf } from "./controls";
import { FieldTools, filled } from "./field-tools";
import { idOf, useForm } from "./form-context";
import { textOfBase64 } from "./formats";
import { ListFields } from "./list-fields";
import { MemberFields, ObjectFields, TupleFields } from "./nested-fields";
import type { Shape } from "./shape";
import { begin, type Node, shown, UNSET } from "./value-tree";

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
  /** Called on Enter in one line, unless it submits the form. Returns true if it was handled. */
  onEnter?: (() => boolean) | undefined;
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
  const [many, setMany] = useState(false);
  const lines = many || linesOf(now);
  // A control that has had many lines keeps them: another one would lose the focus.
  useEffect(() => {
    if (lines) setMany(true);
  }, [lines]);
  const bounds = boundsHint(shape.schema);
  const description = shape.schema.description ?? "";
  const hinted = bounds !== "" || description !== "";
  const describedBy =
    [hinted ? `${id}-hint` : "", problem === null ? "" : `${id}-error`].filter(Boolean).join(" ") ||
    undefined;
  const group = GROUPS.has(shape.kind) && now.kind !== "raw";
  const noValue = now.kind === "null";
  const selects = shape.kind === "boolean" || shape.kind === "enum";

  const tools = (
    <FieldTools
      name={props.spoken ?? String(props.name)}
      shape={shape}
      node={node}
      required={required}
      path={path}
      noValue={noValue}
      many={lines}
      onMany={setMany}
      onChange={change}
    >
      {props.tools}
    </FieldTools>
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
      <Sent shape={shape} node={node} shows={now} required={required} />
      {hinted && (
        <p class="field-hint" id={`${id}-hint`}>
          <Prose text={description} />
          {description !== "" && bounds !== "" && " · "}
          {bounds}
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
        {noValue || (bare && shape.kind === "array") ? (
          <p class="field-hint">
            <span class="tag">No value</span>
          </p>
        ) : null}
        {!noValue && <Group {...props} node={now} onChange={change} />}
      </fieldset>
    );
  }
  return (
    <div class="field" data-path={path}>
      <label class="field-label" for={id}>
        {label}
      </label>
      <div class="field-body">
        <div
          class="field-control"
          onKeyDown={(event) => {
            const { target } = event;
            if (event.key !== "Enter" || event.defaultPrevented || event.isComposing) return;
            if (event.ctrlKey || event.metaKey || !(target instanceof HTMLInputElement)) return;
            if (target.id === id && props.onEnter?.() === true) event.preventDefault();
          }}
        >
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
              many={lines}
              onMany={() => setMany(true)}
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

/** Returns true if the text of a node has many lines. */
function linesOf(node: Node): boolean {
  const text = node.kind === "bytes" ? (textOfBase64(node.base64) ?? "") : textOf(node);
  return text.includes("\n");
}

/** The note about a value that is sent in another form than the control shows. */
function Sent({
  shape,
  node,
  shows,
  required,
}: {
  shape: Shape;
  node: Node;
  shows: Node;
  required: boolean;
}) {
  const blank = node.kind === "text" && node.text.trim() === "";
  const note =
    shape.kind === "string" && node.kind === "text" && node.text === ""
      ? "Sends empty text"
      : blank && shape.kind !== "string" && !required
        ? `Not sent${shape.hasDefault ? `: the default ${defaultText(shape)} applies` : ""}`
        : null;
  if (note !== null)
    return (
      <p class="field-hint">
        <span class="tag">{note}</span>
      </p>
    );
  if (shows.kind === "raw" && shape.kind !== "any")
    return <p class="field-hint">The value does not fit this field, so it is shown as JSON.</p>;
  return null;
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
