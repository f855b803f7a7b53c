// The controls of single values.

import { BytesControl } from "./bytes-control";
import { BooleanControl, EnumControl } from "./choice-controls";
import { AnyInput, type ControlProps, common, placeholder } from "./control-props";
import { DateTimeControl } from "./date-time-control";
import { formatProblem } from "./formats";
import type { Shape } from "./shape";
import { type Node, UNSET } from "./value-tree";

const textOf = (node: Node): string =>
  node.kind === "text" || node.kind === "raw" || node.kind === "moment" ? node.text : "";

/** The control of a shape. */
export function Control(props: ControlProps) {
  if (props.node.kind === "raw" || props.shape.kind === "any") return <RawControl {...props} />;
  switch (props.shape.kind) {
    case "string":
      return <TextControl {...props} />;
    case "boolean":
      return <BooleanControl {...props} />;
    case "enum":
      return <EnumControl {...props} />;
    case "date-time":
      return <DateTimeControl {...props} />;
    case "binary":
      return <BytesControl {...props} />;
    case "null":
      return <span class="faint">no value</span>;
    default:
      return <LineControl {...props} />;
  }
}

/** A control for text, which grows with its lines. */
function TextControl(props: ControlProps) {
  const text = textOf(props.node);
  const rows = Math.min(12, text.split("\n").length);
  return (
    <textarea
      {...common(props)}
      class="text-control"
      rows={rows}
      value={text}
      placeholder={placeholder(props)}
      spellcheck={false}
      onInput={(event) => props.onChange({ kind: "text", text: event.currentTarget.value })}
    />
  );
}

function LineControl(props: ControlProps) {
  const { shape, node } = props;
  const text = textOf(node);
  const native = nativeType(shape, text);
  const numeric = shape.kind === "integer" || shape.kind === "number" || shape.kind === "decimal";
  return (
    <AnyInput
      {...common(props)}
      class={
        numeric
          ? "number-control"
          : native === "date" || native === "time"
            ? "date-control"
            : undefined
      }
      type={native}
      // Seconds are optional.
      step={native === "time" ? "any" : undefined}
      inputMode={
        shape.kind === "integer" && Number(shape.schema.minimum) >= 0
          ? "numeric"
          : numeric
            ? "decimal"
            : undefined
      }
      autocomplete={shape.kind === "password" ? "new-password" : "off"}
      spellcheck={false}
      value={text}
      placeholder={placeholder(props)}
      onInput={(event) => props.onChange({ kind: "text", text: event.currentTarget.value })}
    />
  );
}

/** Returns the native input type, or "text" for a value that the native control cannot show. */
function nativeType(shape: Shape, text: string): "text" | "password" | "date" | "time" {
  if (shape.kind === "password") return "password";
  if (shape.kind === "date" && (text === "" || formatProblem("date", text) === null)) return "date";
  if (shape.kind === "time" && (text === "" || /^\d\d:\d\d(:\d\d(\.\d{1,3})?)?$/.test(text)))
    return "time";
  return "text";
}

function RawControl(props: ControlProps) {
  const text = textOf(props.node);
  return (
    <textarea
      {...common(props)}
      class="text-control mono"
      rows={Math.max(1, Math.min(16, text.split("\n").length))}
      value={text}
      placeholder={props.required ? "JSON" : "JSON; not set"}
      spellcheck={false}
      onInput={(event) => {
        const next = event.currentTarget.value;
        props.onChange(next === "" && !props.required ? UNSET : { kind: "raw", text: next });
      }}
    />
  );
}
