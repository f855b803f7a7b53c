import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Shape } from "./shape";
import { join, type Node, shown } from "./value-tree";

/** What fields know of the form that they are in. */
export interface FormContext {
  /** Before every id, so that two forms on a page do not meet. */
  prefix: string;
  /** What is wrong at a path; `soft` while something is merely not there yet. */
  problem(path: string): { message: string; soft: boolean } | null;
  /** Something at or below a path was changed. */
  touched(path: string): void;
  disabled: boolean;
}

export const Form = createContext<FormContext>({
  prefix: "form",
  problem: () => null,
  touched: () => undefined,
  disabled: false,
});

export function useForm(): FormContext {
  return useContext(Form);
}

/** The paths of all fields that are drawn. */
export function drawnPaths(
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
      drawnPaths(
        field.shape,
        now.fields[field.name] ?? { kind: "unset" },
        field.required,
        join(path, field.name),
        into,
      );
    for (const row of now.rows)
      if (shape.extra !== null) drawnPaths(shape.extra, row.node, true, join(path, row.name), into);
      else into.add(join(path, row.name));
  } else if (now.kind === "list") {
    for (const [at, one] of now.items.entries()) {
      const inner = shape.kind === "tuple" ? shape.prefix[at] : shape.items;
      if (inner !== null && inner !== undefined)
        drawnPaths(inner, one.node, true, `${path}[${at}]`, into);
    }
  } else if (now.kind === "member") {
    const member = shape.members[now.index];
    if (member !== undefined) drawnPaths(member, now.node, true, path, into);
  }
  return into;
}

/** The drawn field that is nearest to a path that the server names: itself, or what it is inside of. */
export function nearestPath(drawn: ReadonlySet<string>, path: string): string {
  let at = path;
  while (at !== "" && !drawn.has(at))
    at = at.slice(0, Math.max(at.lastIndexOf("."), at.lastIndexOf("["), 0));
  return at;
}

/** An id that any path makes, for labels. */
export function idOf(prefix: string, path: string): string {
  return `${prefix}-${path.replace(/[^\w-]/g, (char) => `_${char.codePointAt(0)?.toString(16)}`)}`;
}
