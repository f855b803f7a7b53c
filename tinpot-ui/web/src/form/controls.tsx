// The controls of single values.

import { BytesControl } from "./bytes-control";
import { BooleanControl, EnumControl } from "./choice-controls";
import { AnyInput, type ControlProps, common, placeholder } from "./control-props";
import { DateTimeControl } from "./date-time-control";
import { formatProblem } from "./formats";
import { TextLine } from "./text-line";
import { type Node, UNSET } from "./value-tree";

/** Returns the text that a control shows for a node. */
export const textOf = (node: Node): string =>
  node.kind === "text" || node.kind === "raw" || node.kind === "moment" ? node.text : "";

/** The control of a shape. */
export function Control(props: ControlProps) {
  if (props.node.kind === "raw" || props.shape.kind === "any") return <RawControl {...props} />;
  switch (props.shape.kind) {
    case "string":
    case "password":
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

function TextControl(props: ControlProps) {
  return (
    <TextLine
      attributes={common(props)}
      text={textOf(props.node)}
      placeholder={placeholder(props)}
      secret={props.shape.kind === "password"}
      many={props.many}
      onMany={props.onMany}
      onText={(text) => props.onChange({ kind: "text", text })}
    />
  );
}

function LineControl(props: ControlProps) {
  const { shape, node } = props;
  const text = textOf(node);
  const numeric = shape.kind === "integer" || shape.kind === "number" || shape.kind === "decimal";
  // The native control of a date cannot show a text that is none.
  const date = shape.kind === "date" && (text === "" || formatProblem("date", text) === null);
  return (
    <AnyInput
      {...common(props)}
      class={
        numeric ? "number-control" : date || shape.kind === "time" ? "date-control" : undefined
      }
      type={date ? "date" : "text"}
      inputMode={
        shape.kind === "integer" && Number(shape.schema.minimum) >= 0
          ? "numeric"
          : numeric
            ? "decimal"
            : undefined
      }
      autocomplete="off"
      spellcheck={false}
      value={text}
      placeholder={placeholder(props)}
      onInput={(event) => props.onChange({ kind: "text", text: event.currentTarget.value })}
    />
  );
}

function RawControl(props: ControlProps) {
  return (
    <TextLine
      attributes={common(props)}
      class="mono"
      text={textOf(props.node)}
      placeholder={props.required ? "JSON" : "JSON; not set"}
      many={props.many}
      onMany={props.onMany}
      onText={(next) =>
        props.onChange(next === "" && !props.required ? UNSET : { kind: "raw", text: next })
      }
    />
  );
}
