// The buttons of a field: its menu, and the arrow that resets it.
import type { ComponentChildren } from "preact";
import { Button, Menu } from "../ui";
import type { MenuItem } from "../ui/menu";
import { textOf } from "./controls";
import { useForm } from "./form-context";
import type { Shape } from "./shape";
import { begin, fromJson, type Node, UNSET } from "./value-tree";

/** The kinds whose controls hold text, and can have many lines. */
const TEXTS = new Set(["string", "password", "binary", "any"]);

interface FieldToolsProps {
  /** The name of the field for screen readers. */
  name: string;
  shape: Shape;
  node: Node;
  required: boolean;
  path: string;
  /** If true, the control shows "no value". */
  noValue: boolean;
  many: boolean;
  onMany: (many: boolean) => void;
  onChange: (node: Node) => void;
  /** The buttons of the list that holds the field. */
  children?: ComponentChildren;
}

export function FieldTools({
  name,
  shape,
  node,
  required,
  path,
  noValue,
  many,
  onMany,
  onChange,
  children,
}: FieldToolsProps) {
  const form = useForm();
  const selects = shape.kind === "boolean" || shape.kind === "enum";
  const resets =
    node.kind !== "unset" &&
    children === undefined &&
    (!required || shape.hasDefault || node.kind === "raw");
  const reset = shape.hasDefault ? "Reset to the default" : "Clear";
  const items: MenuItem[] = [];
  const add = (label: string, when: boolean, onSelect: () => void): void => {
    if (when) items.push({ label, onSelect });
  };
  const set = (next: Node) => (): void => onChange(next);
  add("Empty text", shape.kind === "string" && textOf(node) === "" && node.kind !== "text", () =>
    onChange({ kind: "text", text: "" }),
  );
  add("Empty list", shape.kind === "array" && node.kind === "unset", set(begin(shape)));
  add(
    "No value",
    shape.nullable && !selects && !noValue && !(shape.hasDefault && shape.default === null),
    set({ kind: "null" }),
  );
  add("Enter a value", noValue && !selects, set(filled(shape)));
  const text = TEXTS.has(shape.kind) && !noValue && !(node.kind === "bytes" && node.name);
  add("Many lines", text && !many, () => onMany(true));
  add("One line", text && many && !textOf(node).includes("\n"), () => onMany(false));
  add(reset, resets, set(UNSET));
  return (
    <span class="field-tools">
      {resets && form.changed(path) && (
        <Button
          class="small"
          look="quiet"
          icon="reset"
          aria-label={`Reset ${name}${shape.hasDefault ? " to its default" : ""}`}
          disabled={form.disabled}
          onClick={() => onChange(UNSET)}
        />
      )}
      {children}
      {items.length > 0 && (
        <Menu label={`More for ${name}`} items={items} disabled={form.disabled} />
      )}
    </span>
  );
}

/** Returns the node that replaces "no value": the default if there is one, else an empty field. */
export function filled(shape: Shape): Node {
  if (shape.hasDefault && shape.default !== null) return fromJson(shape, shape.default);
  if (shape.kind === "object" || shape.kind === "array" || shape.kind === "tuple")
    return begin(shape);
  if (shape.kind === "union") return { kind: "member", index: 0, node: UNSET };
  // Not unset, because that would be the default, which is "no value".
  return shape.kind === "date-time"
    ? { kind: "moment", text: "", zoned: true }
    : { kind: "text", text: "" };
}
