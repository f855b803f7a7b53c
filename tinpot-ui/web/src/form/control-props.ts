// The properties that all controls of single values share.
import type { FunctionComponent } from "preact";
import type { Shape } from "./shape";
import type { Node } from "./value-tree";

export interface ControlProps {
  shape: Shape;
  /** The node to show: that of the form, or the default. */
  node: Node;
  /** If true, the node is the default, which is not sent. */
  untouched: boolean;
  required: boolean;
  id: string;
  describedBy: string | undefined;
  invalid: boolean;
  disabled: boolean;
  /** If true, a text control has many lines. */
  many: boolean;
  onMany: () => void;
  onChange: (node: Node) => void;
}

type Attributes = Record<string, unknown>;

/** An input whose type is known only at run time, which Preact's types do not allow. */
export const AnyInput = "input" as unknown as FunctionComponent<
  Attributes & { onInput: (event: { currentTarget: HTMLInputElement }) => void }
>;

/** Returns the attributes that all controls share. */
export function common({ id, describedBy, invalid, disabled, required }: ControlProps): Attributes {
  return {
    id,
    disabled,
    "aria-describedby": describedBy,
    "aria-invalid": invalid || undefined,
    "aria-required": required || undefined,
  };
}

/** Returns the placeholder of an empty control, which says what is sent for it. */
export function placeholder({ shape, required }: ControlProps): string {
  if (shape.kind === "password") return "";
  if (shape.hasDefault) return shape.default === null ? "no value" : "default";
  const example = shape.schema.examples?.[0];
  if (typeof example === "string" || typeof example === "number") return `e.g. ${example}`;
  if (shape.kind === "duration") return "1h 30m";
  if (shape.kind === "time") return "HH:MM";
  if (shape.kind === "uuid") return "00000000-0000-0000-0000-000000000000";
  return required ? "" : "not set";
}
