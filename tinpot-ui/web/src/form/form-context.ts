import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Shape } from "./shape";
import { join, type Node, shown } from "./value-tree";

/** The form that surrounds a field. */
export interface FormContext {
  /** The prefix of ids, so that two forms on a page do not share any. */
  prefix: string;
  /** Returns the error at a path; `soft` while the user may still be typing. */
  problem(path: string): { message: string; soft: boolean } | null;
  /** Returns true if the user has changed the field at a path. */
  changed(path: string): boolean;
  /** Reports a change at or below a path. */
  touched(path: string): void;
  disabled: boolean;
  /** The name of the action, for which large files are uploaded. */
  action: string;
}

export const Form = createContext<FormContext>({
  prefix: "form",
  problem: () => null,
  changed: () => false,
  touched: () => undefined,
  disabled: false,
  action: "",
});

export function useForm(): FormContext {
  return useContext(Form);
}

/** Returns the paths of all fields that are shown. */
export function shownPaths(
  shape: Shape,
  node: Node,
  required = true,
  path = "",
  into = new Set<string>(),
): Set<string> {
  into.add(path);
  const now = shown(shape, node, required);
  if (now.kind === "object") {
    for (const field of shape.fields)
      shownPaths(
        field.shape,
        now.fields[field.name] ?? { kind: "unset" },
        field.required,
        join(path, field.name),
        into,
      );
    for (const row of now.rows)
      if (shape.extra !== null) shownPaths(shape.extra, row.node, true, join(path, row.name), into);
      else into.add(join(path, row.name));
  } else if (now.kind === "list") {
    for (const [at, one] of now.items.entries()) {
      const inner = shape.kind === "tuple" ? shape.prefix[at] : shape.items;
      if (inner !== null && inner !== undefined)
        shownPaths(inner, one.node, true, `${path}[${at}]`, into);
    }
  } else if (now.kind === "member") {
    const member = shape.members[now.index];
    if (member !== undefined) shownPaths(member, now.node, true, path, into);
  }
  return into;
}

/** Returns the shown field for a path of the server: the field itself, or the one around it. */
export function nearestPath(shownFields: ReadonlySet<string>, path: string): string {
  let at = path;
  while (at !== "" && !shownFields.has(at))
    at = at.slice(0, Math.max(at.lastIndexOf("."), at.lastIndexOf("["), 0));
  return at;
}

/** Returns an element id for a path. */
export function idOf(prefix: string, path: string): string {
  return `${prefix}-${path.replace(/[^\w-]/g, (char) => `_${char.codePointAt(0)?.toString(16)}`)}`;
}

/**
 * Moves the focus to a control that the next rendering creates.
 *
 * Preact renders in a microtask, so the control exists before the next key is pressed: what a fast
 * typist writes after Enter belongs to the new control.
 */
export function focusSoon(id: string): void {
  const focus = (): boolean => {
    const control = document.getElementById(id);
    control?.focus();
    return control !== null;
  };
  queueMicrotask(() => focus() || requestAnimationFrame(focus));
}
